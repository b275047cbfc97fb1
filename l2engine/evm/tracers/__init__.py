"""The tracers of debug_trace*, by name. Results are in geth's JSON shapes (eth/tracers/native, eth/tracers/logger)."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from l2engine.errors import InvalidParams
from l2engine.evm.tracers.base import NoopTracer
from l2engine.evm.tracers.calls import CallTracer, FourByteTracer
from l2engine.evm.tracers.flat_calls import FlatCallTracer
from l2engine.evm.tracers.prestate import PrestateTracer
from l2engine.evm.tracers.steps import StructLogger
from l2engine.types.base import Address, Gas, Hash32, Wei
from l2engine.types.failure import Failure
from l2engine.types.json_text import JsonText
from l2engine.types.tracing import TracedFrame, TracedTransaction

__all__ = ["MuxTracer", "NoopTracer", "make"]


def make(options: Mapping[str, Any] | None, text: JsonText, place: Mapping[str, Any] | None = None, first_log_index: int = 0) -> NoopTracer:
    """The tracer that a debug_trace* options object asks for, which writes its result to `text`. `place` and `first_log_index`
    say where the transaction is in its block. `InvalidParams` for an unknown tracer name or a contradictory configuration."""
    options = options or {}
    name, config = options.get("tracer"), options.get("tracerConfig") or {}
    if not name:
        return StructLogger(
            text,
            bool(options.get("enableMemory")),
            bool(options.get("disableStack")),
            bool(options.get("disableStorage")),
            bool(options.get("enableReturnData")),
            int(options.get("limit") or 0),
        )
    if name == "muxTracer":
        mux = MuxTracer()
        for key, value in config.items():
            own = JsonText()
            mux.add(key, make({"tracer": key, "tracerConfig": value}, own, place, first_log_index), own)
        return mux
    if name not in _TRACERS:
        raise InvalidParams(f"ReferenceError: {name} is not defined at <eval>:1:2(0)")
    if config.get("diffMode") and config.get("includeEmpty"):
        raise InvalidParams("cannot use diffMode with includeEmpty")
    return _TRACERS[name](config, text, place, first_log_index)


_TRACERS: dict[str, Callable[[Mapping[str, Any], JsonText, Mapping[str, Any] | None, int], NoopTracer]] = {
    "callTracer": lambda c, text, place, index: CallTracer(text, bool(c.get("onlyTopCall")), bool(c.get("withLog")), index),
    "flatCallTracer": lambda c, text, place, index: FlatCallTracer(
        place, bool(c.get("convertParityErrors")), bool(c.get("includePrecompiles"))
    ),
    "4byteTracer": lambda c, text, place, index: FourByteTracer(),
    "prestateTracer": lambda c, text, place, index: PrestateTracer(
        bool(c.get("diffMode")), bool(c.get("disableCode")), bool(c.get("disableStorage")), bool(c.get("includeEmpty"))
    ),
    "noopTracer": lambda c, text, place, index: NoopTracer(),
}


class MuxTracer(NoopTracer):
    """Several tracers at once, by name."""

    def __init__(self) -> None:
        self._tracers: dict[str, NoopTracer] = {}
        self._texts: dict[str, JsonText] = {}

    def add(self, name: str, tracer: NoopTracer, text: JsonText) -> None:
        """Let another tracer listen, which writes to a text of its own."""
        self._tracers[name], self._texts[name] = tracer, text
        self.steps |= tracer.steps
        self.memory |= tracer.memory

    def begin(self, transaction: TracedTransaction) -> None:
        for tracer in self._tracers.values():
            tracer.begin(transaction)

    def enter(self, kind: str, sender: Address, to: Address, value: Wei, gas: Gas, data: bytes) -> None:
        for tracer in self._tracers.values():
            tracer.enter(kind, sender, to, value, gas, data)

    def leave(self, output: bytes, gas_used: Gas, failure: Failure | None) -> None:
        for tracer in self._tracers.values():
            tracer.leave(output, gas_used, failure)

    def log(self, address: Address, topics: tuple[Hash32, ...], data: bytes) -> None:
        for tracer in self._tracers.values():
            tracer.log(address, topics, data)

    def step(self, frame: TracedFrame, pc: int, opcode: int) -> None:
        for tracer in self._tracers.values():
            tracer.step(frame, pc, opcode)

    def step_done(self, frame: TracedFrame, cost: Gas, error: str | None) -> None:
        for tracer in self._tracers.values():
            tracer.step_done(frame, cost, error)

    def end(self, gas_used: Gas, error: str | None) -> None:
        for tracer in self._tracers.values():
            tracer.end(gas_used, error)

    def finish(self, text: JsonText) -> None:
        separator = b"{"
        for name, tracer in self._tracers.items():
            own = self._texts[name]
            tracer.finish(own)
            text.write(separator + orjson.dumps(name) + b":")
            text.copy(own.finish())
            separator = b","
        text.write(b"}" if self._tracers else b"{}")
