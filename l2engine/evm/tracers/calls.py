"""callTracer, flatCallTracer and 4byteTracer: who called whom with what (geth, eth/tracers/native)."""

from collections.abc import Mapping
from typing import Any

from l2engine.evm.tracers.base import NoopTracer, to_hex
from l2engine.types.base import ZERO_ADDRESS, Address, Gas, Hash32, Wei
from l2engine.types.failure import Failure, FailureKind


class CallTracer(NoopTracer):
    """The tree of calls, with the logs when asked (`withLog`), or only its top (`onlyTopCall`)."""

    def __init__(self, only_top_call: bool = False, with_log: bool = False, first_log_index: int = 0) -> None:
        self._only_top, self._with_log, self._log_index = only_top_call, with_log, first_log_index
        self._stack: list[dict[str, Any]] = []
        self._depth = 0

    def enter(self, kind: str, sender: Address, to: Address, value: Wei, gas: Gas, data: bytes) -> None:
        self._depth += 1
        if self._only_top and self._depth > 1:
            return
        shown_gas = self.transaction.gas if self._depth == 1 else gas
        frame = {"from": to_hex(sender), "gas": hex(shown_gas), "gasUsed": "0x0", "to": to_hex(to), "input": to_hex(data)}
        if kind != "STATICCALL":
            frame["value"] = hex(value)
        frame["type"] = kind
        self._stack.append(frame)

    def leave(self, output: bytes, gas_used: Gas, failure: Failure | None) -> None:
        self._depth -= 1
        if self._only_top and self._depth > 0:
            return
        frame = self._stack[-1]
        _finish(frame, output, failure)
        if self._depth:
            self._stack.pop()
            frame["gasUsed"] = hex(gas_used)
            self._stack[-1].setdefault("calls", []).append(frame)

    def log(self, address: Address, topics: tuple[Hash32, ...], data: bytes) -> None:
        index, self._log_index = self._log_index, self._log_index + 1
        if not self._with_log or (self._only_top and self._depth > 1):
            return
        frame = self._stack[-1]
        position = hex(len(frame.get("calls", ())))
        entry = {"address": to_hex(address), "topics": [to_hex(topic) for topic in topics], "data": to_hex(data)}
        frame.setdefault("logs", []).append({**entry, "index": hex(index), "position": position})

    def end(self, gas_used: Gas, error: str | None) -> None:
        if not self._stack:  # a deposit that failed before it ran: geth shows its frame as it was made
            self._stack.append({"from": to_hex(ZERO_ADDRESS), "gas": "0x0", "gasUsed": hex(gas_used), "input": "0x", "type": "STOP"})
            if error is not None:
                self._stack[0]["error"] = error
        else:
            self._stack[0]["gasUsed"] = hex(gas_used)
            _drop_failed_logs(self._stack[0], False)

    def result(self) -> Any:
        return self._stack[0] if self._stack else {}


def _finish(frame: dict[str, Any], output: bytes, failure: Failure | None) -> None:
    if failure is None:
        if output:
            frame["output"] = to_hex(output)
        return
    frame["error"] = failure.text
    if frame["type"] in ("CREATE", "CREATE2"):
        frame.pop("to", None)
    if failure.kind is FailureKind.REVERTED and output:
        frame["output"] = to_hex(output)
        reason = revert_reason(output)
        if reason is not None:
            frame["revertReason"] = reason


def _drop_failed_logs(frame: dict[str, Any], failed: bool) -> None:
    """Remove the logs of failed calls and of all calls inside them."""
    failed = failed or "error" in frame
    if failed:
        frame.pop("logs", None)
    for call in frame.get("calls", ()):
        _drop_failed_logs(call, failed)


_ERROR, _PANIC = b"\x08\xc3\x79\xa0", b"\x4e\x48\x7b\x71"  # selectors
_PANICS = {
    0x00: "generic panic",
    0x01: "assert(false)",
    0x11: "arithmetic underflow or overflow",
    0x12: "division or modulo by zero",
    0x21: "enum overflow",
    0x22: "invalid encoded storage byte array accessed",
    0x31: "out-of-bounds array access; popping on an empty array",
    0x32: "out-of-bounds access of an array or bytesN",
    0x41: "out of memory",
    0x51: "uninitialized function",
}


def revert_reason(output: bytes) -> str | None:
    """The text in revert data made by Solidity's Error(string) or Panic(uint256); None for anything else."""
    if output[:4] not in (_ERROR, _PANIC):
        return None
    from eth_abi.abi import decode  # its parser takes an eighth of a node's start
    from eth_abi.exceptions import DecodingError

    try:
        if output[:4] == _ERROR:
            return str(decode(["string"], output[4:])[0])
        code = int(decode(["uint256"], output[4:])[0])
        return _PANICS.get(code, f"unknown panic code: {code:#x}")
    except (DecodingError, UnicodeDecodeError, OverflowError):
        return None


class FlatCallTracer(CallTracer):
    """The calls in one list, in the form of Parity's trace API. `place` names block and transaction in each entry."""

    def __init__(self, place: Mapping[str, Any] | None = None, convert_errors: bool = False, include_precompiles: bool = False) -> None:
        super().__init__()
        self._place, self._convert, self._include_precompiles = place or _NOWHERE, convert_errors, include_precompiles

    def leave(self, output: bytes, gas_used: Gas, failure: Failure | None) -> None:
        self._stack[-1]["failure"] = failure  # not for JSON: entries are made of the tree
        super().leave(output, gas_used, failure)

    def result(self) -> Any:
        entries: list[dict[str, Any]] = []
        if self._stack:
            self._flatten(self._stack[0], [], entries)
        return entries

    def _flatten(self, frame: dict[str, Any], address: list[int], entries: list[dict[str, Any]]) -> None:
        calls = [call for call in frame.get("calls", ()) if self._include_precompiles or not self._is_precompile(call)]
        entries.append(self._entry(frame, address, len(calls)))
        for index, call in enumerate(calls):
            self._flatten(call, [*address, index], entries)

    def _is_precompile(self, frame: dict[str, Any]) -> bool:
        """Calls of precompiled contracts are left out."""
        return frame["type"] in ("CALL", "STATICCALL") and bytes.fromhex(frame["to"][2:]) in self.transaction.precompiles

    def _entry(self, frame: dict[str, Any], address: list[int], subtraces: int) -> dict[str, Any]:
        kind = frame["type"]
        if kind in ("CREATE", "CREATE2"):
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
                action |= {"to": frame["to"], "value": frame.get("value", "0x0")}
            result = {"gasUsed": frame["gasUsed"], "output": frame.get("output", "0x")}
            type_name = "call"
        entry: dict[str, Any] = {"action": action, **self._place, "subtraces": subtraces, "traceAddress": address, "type": type_name}
        error, failure = frame.get("error"), frame.get("failure")
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


class FourByteTracer(NoopTracer):
    """How often each selector was called with how many bytes of arguments."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def enter(self, kind: str, sender: Address, to: Address, value: Wei, gas: Gas, data: bytes) -> None:
        if len(data) < 4 or kind in ("CREATE", "CREATE2", "SELFDESTRUCT") or to in self.transaction.precompiles:
            return
        key = f"{to_hex(data[:4])}-{len(data) - 4}"
        self._counts[key] = self._counts.get(key, 0) + 1

    def result(self) -> Any:
        return self._counts
