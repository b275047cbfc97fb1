"""flatCallTracer: the calls of a transaction in one list (geth, eth/tracers/native/call_flat.go)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from l2engine.errors import ResponseTooLarge
from l2engine.evm.tracers.base import NoopTracer, to_hex
from l2engine.evm.tracers.calls import CREATES, outcome, unopened
from l2engine.types.base import Address, Gas, Wei
from l2engine.types.failure import Failure, FailureKind
from l2engine.types.json_text import JsonText

MAX_BYTES = 256 << 20
"""As much as the calls of one transaction may take as JSON: an entry comes before those of its calls, so all wait for the last."""


@dataclass(slots=True)
class _OpenCall:
    """A running call."""

    frame: dict[str, Any]
    """Its fields as callTracer shows them."""
    address: list[int]
    """The way to it in the tree of calls."""
    place: int | None
    """The place of its entry in the list; None when it is not shown."""
    calls: int = 0
    """The calls in it that are shown."""
    failure: Failure | None = None


class FlatCallTracer(NoopTracer):
    """The calls in one list, in the form of Parity's trace API. `place` names block and transaction in each entry."""

    def __init__(self, place: Mapping[str, Any] | None = None, convert_errors: bool = False, include_precompiles: bool = False) -> None:
        self._place, self._convert, self._include_precompiles = place or _NOWHERE, convert_errors, include_precompiles
        self._open: list[_OpenCall] = []
        self._entries: list[bytes] = []
        self._size = 0

    def enter(self, kind: str, sender: Address, to: Address, value: Wei, gas: Gas, data: bytes) -> None:
        frame = {"type": kind, "from": to_hex(sender), "to": to_hex(to), "input": to_hex(data), "value": hex(value)}
        if not self._open:
            self._begin(frame | {"gas": hex(self.transaction.gas)}, [])
            return
        parent = self._open[-1]
        if not self._include_precompiles and kind in ("CALL", "STATICCALL") and to in self.transaction.precompiles:
            self._open.append(_OpenCall(frame, [], None))
            return
        self._begin(frame | {"gas": hex(gas)}, [*parent.address, parent.calls])
        parent.calls += 1

    def leave(self, output: bytes, gas_used: Gas, failure: Failure | None) -> None:
        call = self._open[-1]
        call.frame |= outcome(output, failure)
        call.failure = failure
        if failure is not None and call.frame["type"] in CREATES:
            del call.frame["to"]
        if len(self._open) > 1:
            self._open.pop()
            self._close(call, gas_used)

    def end(self, gas_used: Gas, error: str | None) -> None:
        if not self._open:
            self._begin(unopened(gas_used, error), [])
        self._close(self._open.pop(), gas_used)

    def finish(self, text: JsonText) -> None:
        separator = b"["
        for entry in self._entries:
            text.write(separator + entry)
            separator = b","
        text.write(b"]" if self._entries else b"[]")

    def _begin(self, frame: dict[str, Any], address: list[int]) -> None:
        self._open.append(_OpenCall(frame, address, len(self._entries)))
        self._entries.append(b"")

    def _close(self, call: _OpenCall, gas_used: Gas) -> None:
        if call.place is None:
            return
        call.frame["gasUsed"] = hex(gas_used)
        entry = orjson.dumps(self._entry(call))
        self._entries[call.place] = entry
        self._size += len(entry)
        if self._size > MAX_BYTES:
            raise ResponseTooLarge(f"the trace takes more than {MAX_BYTES} bytes: use callTracer")

    def _entry(self, call: _OpenCall) -> dict[str, Any]:
        frame, kind = call.frame, call.frame["type"]
        if kind in CREATES:
            action = {"creationMethod": kind.lower(), "from": frame["from"], "gas": frame["gas"], "init": frame["input"]}
            action["value"] = frame["value"]
            result: dict[str, Any] = {"code": frame.get("output", "0x"), "gasUsed": frame["gasUsed"]}
            if "to" in frame:
                result["address"] = frame["to"]
            type_name = "create"
        elif kind == "SELFDESTRUCT":
            action = {"address": frame["from"], "refundAddress": frame["to"], "balance": frame["value"]}
            result, type_name = {}, "suicide"
        else:
            action = {"callType": kind.lower(), "from": frame["from"], "gas": frame["gas"], "input": frame["input"]}
            if "to" in frame:
                action |= {"to": frame["to"], "value": "0x0" if kind == "STATICCALL" else frame["value"]}
            result = {"gasUsed": frame["gasUsed"], "output": frame.get("output", "0x")}
            type_name = "call"
        entry = {"action": action, **self._place, "subtraces": call.calls, "traceAddress": call.address, "type": type_name}
        error, failure = frame.get("error"), call.failure
        if error is not None:
            entry["error"] = _PARITY_WORDS.get(failure.kind, error) if self._convert and failure is not None else error
        reverted = failure is not None and failure.kind is FailureKind.REVERTED
        if reverted or (error is None and kind != "SELFDESTRUCT"):
            entry["result"] = result
        return entry


_PARITY_WORDS = {
    FailureKind.CODE_STORAGE_OUT_OF_GAS: "Out of gas",
    FailureKind.OUT_OF_GAS: "Out of gas",
    FailureKind.GAS_OVERFLOW: "Out of gas",
    FailureKind.CODE_TOO_LARGE: "Out of gas",
    FailureKind.INVALID_JUMP: "Bad jump destination",
    FailureKind.REVERTED: "Reverted",
    FailureKind.RETURN_DATA_OUT_OF_BOUNDS: "Out of bounds",
    FailureKind.PRECOMPILE_INPUT_LENGTH: "Built-in failed",
    FailureKind.INVALID_OPCODE: "Bad instruction",
    FailureKind.STACK_UNDERFLOW: "Stack underflow",
    FailureKind.STACK_OVERFLOW: "Out of stack",
}
"""Parity's words; it has none for the other kinds."""

_NOWHERE = {"blockHash": None, "blockNumber": 0, "transactionHash": None, "transactionPosition": 0}
"""The place of a call that is in no block."""
