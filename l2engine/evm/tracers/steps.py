"""Traces of every step: geth's struct logs, and the JSON lines of EIP-3155."""

from typing import Any, TextIO

import orjson

from l2engine.evm import opcodes
from l2engine.evm.tracers.base import NoopTracer, to_hex
from l2engine.types.base import Address, Gas, Wei
from l2engine.types.failure import Failure
from l2engine.types.json_text import JsonText
from l2engine.types.tracing import TracedFrame


class StructLogger(NoopTracer):
    """Every step with stack, memory and storage as the options ask, as debug_trace* answers without a tracer.

    Each step is written when it is done. `limit` is in bytes of JSON: the step that passes it is the last one (0: none).
    """

    steps = opcodes.EVERY_OPCODE

    def __init__(
        self,
        text: JsonText,
        enable_memory: bool = False,
        disable_stack: bool = False,
        disable_storage: bool = False,
        enable_return_data: bool = False,
        limit: int = 0,
    ) -> None:
        self.memory, self._stack, self._storage = enable_memory, not disable_stack, not disable_storage
        self._return_data, self._limit = enable_return_data, limit
        self._text, self._separator = text, b'{"structLogs":['
        self._entry: dict[str, Any] = {}
        self._size = 0
        self._seen_storage: dict[Address, dict[str, str]] = {}
        self._output, self._failed, self._gas_used, self._depth = b"", False, 0, 0

    def enter(self, kind: str, sender: Address, to: Address, value: Wei, gas: Gas, data: bytes) -> None:
        self._depth += 1

    def leave(self, output: bytes, gas_used: Gas, failure: Failure | None) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._output, self._failed = output, failure is not None

    def step(self, frame: TracedFrame, pc: int, opcode: int) -> None:
        stack = frame.stack
        entry: dict[str, Any] = {"pc": pc, "op": opcodes.name(opcode), "gas": frame.gas, "gasCost": 0, "depth": frame.depth}
        if self._stack:
            entry["stack"] = [hex(item) for item in stack]
        if self.memory and frame.memory_size:
            entry["memory"] = _memory_words(frame.memory)
        if self._return_data and frame.return_data:
            entry["returnData"] = to_hex(frame.return_data)
        if self._storage and opcode in (0x54, 0x55) and len(stack) >= (1 if opcode == 0x54 else 2):
            address, slot = frame.address, stack[-1]
            value = self.transaction.state.storage(address, slot) if opcode == 0x54 else stack[-2]
            seen = self._seen_storage.setdefault(address, {})
            seen[f"{slot:064x}"] = f"{value:064x}"
            entry["storage"] = dict(seen)
        self._entry = entry

    def step_done(self, frame: TracedFrame, cost: Gas, error: str | None) -> None:
        entry = self._entry
        entry["gasCost"] = cost
        if frame.refund:
            entry["refund"] = frame.refund
        if error is not None:
            entry["error"] = error
        if self._limit and self._size > self._limit:
            return
        log = orjson.dumps(entry)
        self._text.write(self._separator + log)
        self._separator = b","
        self._size += len(log)

    def end(self, gas_used: Gas, error: str | None) -> None:
        self._gas_used = gas_used

    def finish(self, text: JsonText) -> None:
        if not self._size:
            text.write(self._separator)
        text.write(b"]," + orjson.dumps({"gas": self._gas_used, "failed": self._failed, "returnValue": to_hex(self._output)})[1:])


def _memory_words(memory: bytes) -> list[str]:
    return [memory[i : i + 32].ljust(32, b"\0").hex() for i in range(0, len(memory), 32)]


class JsonTracer(NoopTracer):
    """Writes what geth's `evm --trace` does: each step once its cost is known, again with the error if it then fails, and what
    each frame gives back."""

    steps = opcodes.EVERY_OPCODE

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._frames: list[dict[str, Any] | None] = []
        """The last step of each running frame that was paid for, innermost last."""
        self._step: dict[str, Any] | None = None
        """The step whose cost is not known yet."""
        self._result: dict[str, Any] | None = None
        """Of a frame that ended within that step: SELFDESTRUCT's, or one that could not be opened."""

    def enter(self, kind: str, sender: Address, to: Address, value: Wei, gas: Gas, data: bytes) -> None:
        self._frames.append(None)

    def leave(self, output: bytes, gas_used: Gas, failure: Failure | None) -> None:
        last = self._frames.pop()
        error = {} if failure is None else {"error": failure.text}
        if failure is not None and last is not None and last["op"] not in _LAST_STEPS:
            self._write(last | _contents_when_failed(last) | error)
        result = {"output": output.hex(), "gasUsed": hex(gas_used)} | error
        if self._step is None:
            self._write(result)
        else:
            self._result = result

    def step(self, frame: TracedFrame, pc: int, opcode: int) -> None:
        self._step = {
            "pc": pc,
            "op": opcode,
            "gas": hex(frame.gas),
            "gasCost": "0x0",
            "memSize": frame.memory_size,
            "stack": [hex(item) for item in frame.stack],
            "depth": frame.depth,
            "refund": 0,
            "opName": opcodes.name(opcode),
        }

    def step_done(self, frame: TracedFrame, cost: Gas, error: str | None) -> None:
        line, result = self._step, self._result
        assert line is not None
        self._step = self._result = None
        line["gasCost"], line["refund"] = hex(cost), frame.refund
        self._frames[-1] = line if error is None else None
        self._write(line if error is None else line | {"error": error})
        if result is not None:
            self._write(result)

    def _write(self, line: dict[str, Any]) -> None:
        print(orjson.dumps(line).decode(), file=self._out)


_LAST_STEPS = frozenset((0x00, 0xF3, 0xFF))  # STOP, RETURN, SELFDESTRUCT: a frame that fails after one fails for its code
_REFUSED_WHOLE = frozenset((0x5D, *range(0xA0, 0xA5), 0xF0, 0xF5))  # writes, which a static frame refuses before they take anything


def _contents_when_failed(line: dict[str, Any]) -> dict[str, Any]:
    """A failing step has its memory, and has taken its operands."""
    opcode, stack = line["op"], line["stack"]
    end = opcodes.memory_end(opcode, [int(item, 16) for item in stack[-7:]])
    taken = 0 if opcode in _REFUSED_WHOLE else opcodes.POPS[opcode]
    return {"memSize": max(line["memSize"], (end + 31) // 32 * 32), "stack": stack[: len(stack) - taken]}
