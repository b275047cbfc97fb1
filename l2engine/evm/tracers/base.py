"""The base class of all tracers, and how traces format values."""

from typing import Any

import orjson

from l2engine.types.base import Address, Gas, Hash32, Wei
from l2engine.types.failure import Failure
from l2engine.types.json_text import JsonText
from l2engine.types.tracing import TracedFrame, TracedTransaction


class NoopTracer:
    """Does nothing; the others override what they listen to."""

    steps: frozenset[int] = frozenset()
    memory = False

    def begin(self, transaction: TracedTransaction) -> None:
        self.transaction = transaction

    def enter(self, kind: str, sender: Address, to: Address, value: Wei, gas: Gas, data: bytes) -> None: ...
    def leave(self, output: bytes, gas_used: Gas, failure: Failure | None) -> None: ...
    def log(self, address: Address, topics: tuple[Hash32, ...], data: bytes) -> None: ...
    def step(self, frame: TracedFrame, pc: int, opcode: int) -> None: ...
    def step_done(self, frame: TracedFrame, cost: Gas, error: str | None) -> None: ...
    def end(self, gas_used: Gas, error: str | None) -> None: ...

    def finish(self, text: JsonText) -> None:
        """Write the result, for the RPC answer. A tracer with much to tell is made with this text and has begun to write already."""
        text.write(orjson.dumps(self.result()))

    def result(self) -> Any:
        """The result, ready for JSON."""
        return {}


def to_hex(data: bytes) -> str:
    """Bytes with 0x."""
    return "0x" + data.hex()
