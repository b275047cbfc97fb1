"""EIP-3155 traces: one JSON line a step and a last one with the outcome, as `--json-trace` writes them."""

import json
from typing import Any, TextIO

from l2engine.evm import opcodes
from l2engine.evm.tracers import NoopTracer, _int, refund_so_far
from l2engine.types.base import Address, Gas, Wei


class JsonTracer(NoopTracer):
    """Writes each step to `out` once its cost is known."""

    wants_steps = True

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._pending: list[dict[str, Any]] = []
        self._output, self._depth = b"", 0

    def enter(self, kind: str, sender: Address, to: Address, value: Wei, gas: Gas, data: bytes) -> None:
        self._depth += 1

    def leave(self, output: bytes, gas_used: Gas, error: str | None) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._output = output

    def step(self, frame: Any, pc: int, opcode: int) -> None:
        self._pending.append(
            {
                "pc": pc,
                "op": opcode,
                "gas": hex(frame._gas_meter.gas_remaining),
                "gasCost": "0x0",
                "memSize": len(frame._memory),
                "stack": [hex(_int(item)) for item in frame._stack.values],
                "depth": frame.msg.depth + 1,
                "refund": 0,
                "opName": opcodes.name(opcode),
            }
        )

    def step_done(self, frame: Any, cost: Gas, error: str | None) -> None:
        line = self._pending.pop()
        line["gasCost"], line["refund"] = hex(cost), refund_so_far(frame)
        if error is not None:
            line["error"] = error
        print(json.dumps(line), file=self._out)

    def end(self, gas_used: Gas, error: str | None) -> None:
        summary: dict[str, Any] = {"output": self._output.hex(), "gasUsed": hex(gas_used)}
        if error is not None:
            summary["error"] = error
        print(json.dumps(summary), file=self._out)
