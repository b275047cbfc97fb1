"""callTracer and 4byteTracer: who called whom with what (geth, eth/tracers/native)."""

from dataclasses import dataclass, field
from typing import Any

import orjson

from l2engine.evm.tracers.base import NoopTracer, to_hex
from l2engine.types.base import ZERO_ADDRESS, Address, Gas, Hash32, Wei
from l2engine.types.failure import Failure, FailureKind
from l2engine.types.json_text import JsonText, pieces

CREATES = ("CREATE", "CREATE2")


@dataclass(slots=True)
class _OpenCall:
    """A running call: what is still to be written of it."""

    kind: str
    tail: dict[str, Any]
    """The fields that are known only when it ends."""
    spans_before: int
    """The number of spans with logs before it began."""
    calls: int = 0
    logs: list[dict[str, Any]] = field(default_factory=list)


class CallTracer(NoopTracer):
    """The tree of calls, with the logs when asked (`withLog`), or only its top (`onlyTopCall`).

    A call is written while it runs, its own calls in the middle, so that only the open ones take memory. Logs of a call that fails
    are not shown, nor those of the calls in it, which are written by then: where logs are asked for, a text of its own is
    copied without them in the end.
    """

    def __init__(self, text: JsonText, only_top_call: bool = False, with_log: bool = False, first_log_index: int = 0) -> None:
        self._only_top, self._with_log, self._log_index = only_top_call, with_log, first_log_index
        self._text = JsonText() if with_log else text
        self._open: list[_OpenCall] = []
        self._depth = 0
        self._spans: list[tuple[int, int]] = []
        """Where the logs of the calls that have not failed are in the text, ascending."""
        self._dropped: list[tuple[int, int]] = []

    def enter(self, kind: str, sender: Address, to: Address, value: Wei, gas: Gas, data: bytes) -> None:
        self._depth += 1
        if self._only_top and self._depth > 1:
            return
        shown_gas = self.transaction.gas if self._depth == 1 else gas
        head = {"from": to_hex(sender), "gas": hex(shown_gas), "input": to_hex(data), "type": kind}
        if kind != "STATICCALL":
            head["value"] = hex(value)
        tail: dict[str, Any] = {"to": to_hex(to)}
        if self._open:
            self._text.write(b"," if self._open[-1].calls else b',"calls":[')
            self._open[-1].calls += 1
        self._text.write(orjson.dumps(head)[:-1])
        self._open.append(_OpenCall(kind, tail, len(self._spans)))

    def leave(self, output: bytes, gas_used: Gas, failure: Failure | None) -> None:
        self._depth -= 1
        if self._only_top and self._depth > 0:
            return
        call = self._open[-1]
        call.tail |= outcome(output, failure)
        if failure is not None:
            call.logs.clear()
            self._dropped += self._spans[call.spans_before :]
            del self._spans[call.spans_before :]
            if call.kind in CREATES:
                del call.tail["to"]
        if self._depth:
            self._open.pop()
            self._close(call, gas_used)

    def log(self, address: Address, topics: tuple[Hash32, ...], data: bytes) -> None:
        index, self._log_index = self._log_index, self._log_index + 1
        if not self._with_log or (self._only_top and self._depth > 1):
            return
        call = self._open[-1]
        entry = {"address": to_hex(address), "topics": [to_hex(topic) for topic in topics], "data": to_hex(data)}
        call.logs.append({**entry, "index": hex(index), "position": hex(call.calls)})

    def end(self, gas_used: Gas, error: str | None) -> None:
        if self._open:
            self._close(self._open.pop(), gas_used)
        else:
            self._text.write(orjson.dumps(unopened(gas_used, error)))

    def finish(self, text: JsonText) -> None:
        if self._with_log:
            _copy_without(sorted(self._dropped), self._text, text)

    def _close(self, call: _OpenCall, gas_used: Gas) -> None:
        """Write the rest of a call that has ended."""
        if call.calls:
            self._text.write(b"]")
        if call.logs:
            start = len(self._text)
            self._text.write(b',"logs":' + orjson.dumps(call.logs))
            self._spans.append((start, len(self._text)))
        self._text.write(b"," + orjson.dumps({"gasUsed": hex(gas_used), **call.tail})[1:])


def _copy_without(spans: list[tuple[int, int]], source: JsonText, text: JsonText) -> None:
    """Copy `source` to `text` without some spans, which are ascending and apart."""
    left = spans[::-1]
    offset = 0
    for piece in pieces(source.finish()):
        position, end = offset, offset + len(piece)
        while left and left[-1][0] < end:
            start, stop = left[-1]
            text.write(piece[position - offset : max(start - offset, 0)])
            position = min(stop, end)
            if stop > end:
                break  # it goes on in the next piece
            left.pop()
        text.write(piece[position - offset :])
        offset = end


def outcome(output: bytes, failure: Failure | None) -> dict[str, Any]:
    """The fields of a call that tell how it ended."""
    if failure is None:
        return {"output": to_hex(output)} if output else {}
    fields: dict[str, Any] = {"error": failure.text}
    if failure.kind is FailureKind.REVERTED and output:
        fields["output"] = to_hex(output)
        reason = revert_reason(output)
        if reason is not None:
            fields["revertReason"] = reason
    return fields


def unopened(gas_used: Gas, error: str | None) -> dict[str, Any]:
    """The call of a deposit that failed before it ran, as geth shows it."""
    call = {"from": to_hex(ZERO_ADDRESS), "gas": "0x0", "gasUsed": hex(gas_used), "input": "0x", "type": "STOP"}
    return call if error is None else {**call, "error": error}


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
