"""The tracers of debug_trace*: callTracer, flatCallTracer, 4byteTracer, prestateTracer, muxTracer, noopTracer, and the struct logs
that geth gives when none is named. Results are in geth's JSON shapes (eth/tracers/native, eth/tracers/logger).
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from eth_abi import decode as abi_decode
from eth_abi.exceptions import DecodingError

from l2engine.errors import InvalidParams
from l2engine.evm import opcodes
from l2engine.types.base import EMPTY_CODE_HASH, Address, Gas, Hash32, Wei
from l2engine.types.state import Account, TracedTransaction


class NoopTracer:
    """Does nothing; the others override what they listen to."""

    wants_steps = False

    def begin(self, transaction: TracedTransaction) -> None:
        self.transaction = transaction

    def enter(self, kind: str, sender: Address, to: Address, value: Wei, gas: Gas, data: bytes) -> None: ...
    def leave(self, output: bytes, gas_used: Gas, error: str | None) -> None: ...
    def log(self, address: Address, topics: tuple[Hash32, ...], data: bytes) -> None: ...
    def step(self, frame: Any, pc: int, opcode: int) -> None: ...
    def step_done(self, frame: Any, cost: Gas, error: str | None) -> None: ...
    def end(self, gas_used: Gas, error: str | None) -> None: ...

    def result(self) -> Any:
        """What the RPC answers, ready for JSON."""
        return {}


# ---- calls ----------------------------------------------------------------------------------------------------------


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
        frame = {"from": _hex(sender), "gas": hex(shown_gas), "gasUsed": "0x0", "to": _hex(to), "input": _hex(data)}
        if kind != "STATICCALL":
            frame["value"] = hex(value)
        frame["type"] = kind
        self._stack.append(frame)

    def leave(self, output: bytes, gas_used: Gas, error: str | None) -> None:
        self._depth -= 1
        if self._only_top and self._depth > 0:
            return
        frame = self._stack[-1]
        _finish(frame, output, error)
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
        entry = {"address": _hex(address), "topics": [_hex(topic) for topic in topics], "data": _hex(data)}
        frame.setdefault("logs", []).append({**entry, "index": hex(index), "position": position})

    def end(self, gas_used: Gas, error: str | None) -> None:
        if self._stack:
            self._stack[0]["gasUsed"] = hex(gas_used)
            if error is not None and "error" not in self._stack[0]:
                self._stack[0]["error"] = error
            _drop_failed_logs(self._stack[0], False)

    def result(self) -> Any:
        return self._stack[0] if self._stack else {}


def _finish(frame: dict[str, Any], output: bytes, error: str | None) -> None:
    if error is None:
        if output:
            frame["output"] = _hex(output)
        return
    frame["error"] = error
    if frame["type"] in ("CREATE", "CREATE2"):
        frame.pop("to", None)
    if error == "execution reverted" and output:
        frame["output"] = _hex(output)
        reason = revert_reason(output)
        if reason is not None:
            frame["revertReason"] = reason


def _drop_failed_logs(frame: dict[str, Any], failed: bool) -> None:
    """What a failed call, or anything under it, emitted never happened."""
    failed = failed or "error" in frame
    if failed:
        frame.pop("logs", None)
    for call in frame.get("calls", ()):
        _drop_failed_logs(call, failed)


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
    try:
        if output[:4] == b"\x08\xc3\x79\xa0":
            return str(abi_decode(["string"], output[4:])[0])
        if output[:4] == b"\x4e\x48\x7b\x71":
            code = int(abi_decode(["uint256"], output[4:])[0])
            return _PANICS.get(code, f"unknown panic code: {code:#x}")
    except (DecodingError, UnicodeDecodeError, OverflowError):
        return None
    return None


class FlatCallTracer(CallTracer):
    """The calls in one list, in the form of Parity's trace API. `place` names block and transaction in each entry."""

    def __init__(self, place: Mapping[str, Any] | None = None, convert_errors: bool = False, include_precompiles: bool = False) -> None:
        super().__init__()
        self._place, self._convert, self._include_precompiles = place or {}, convert_errors, include_precompiles

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
            action = {"callType": kind.lower(), "from": frame["from"], "gas": frame["gas"], "input": frame["input"], "to": frame["to"]}
            action["value"] = frame.get("value", "0x0")
            result = {"gasUsed": frame["gasUsed"], "output": frame.get("output", "0x")}
            type_name = "call"
        entry: dict[str, Any] = {"action": action, **self._place, "subtraces": subtraces, "traceAddress": address, "type": type_name}
        error = frame.get("error")
        if error is not None:
            entry["error"] = _PARITY_ERRORS.get(error, error) if self._convert else error
        if error == "execution reverted" or (error is None and kind != "SELFDESTRUCT"):
            entry["result"] = result
        return entry


_PARITY_ERRORS = {
    "contract creation code storage out of gas": "Out of gas",
    "out of gas": "Out of gas",
    "gas uint64 overflow": "Out of gas",
    "max code size exceeded": "Out of gas",
    "invalid jump destination": "Bad jump destination",
    "execution reverted": "Reverted",
    "return data out of bounds": "Out of bounds",
    "precompiled failed": "Built-in failed",
    "invalid input length": "Built-in failed",
}


class FourByteTracer(NoopTracer):
    """How often each selector was called with how many bytes of arguments."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def enter(self, kind: str, sender: Address, to: Address, value: Wei, gas: Gas, data: bytes) -> None:
        if len(data) < 4 or kind in ("CREATE", "CREATE2", "SELFDESTRUCT") or to in self.transaction.precompiles:
            return
        key = f"{_hex(data[:4])}-{len(data) - 4}"
        self._counts[key] = self._counts.get(key, 0) + 1

    def result(self) -> Any:
        return self._counts


# ---- state ----------------------------------------------------------------------------------------------------------


class PrestateTracer(NoopTracer):
    """The accounts that a transaction touches as they were before it, or (`diffMode`) what it changed, before and after."""

    wants_steps = True

    def __init__(
        self, diff_mode: bool = False, disable_code: bool = False, disable_storage: bool = False, include_empty: bool = False
    ) -> None:
        self._diff, self._no_code, self._no_storage, self._include_empty = diff_mode, disable_code, disable_storage, include_empty
        self._pre: dict[Address, tuple[Account | None, bytes]] = {}
        self._slots: dict[Address, dict[int, int]] = {}
        self._created: set[Address] = set()
        self._deleted: set[Address] = set()
        self._post: dict[str, Any] = {}
        self._added: list[tuple[Address, int | None]] = []
        """Accounts and slots that the running step has named."""

    def begin(self, transaction: TracedTransaction) -> None:
        super().begin(transaction)
        self._look_up(transaction.sender)
        self._look_up(transaction.to)
        self._look_up(transaction.env.beneficiary)
        if transaction.base_fee_recipient is not None:
            self._look_up(transaction.base_fee_recipient)
        if transaction.creates:
            self._created.add(transaction.to)
        for authority in transaction.authorities:
            self._look_up(authority)

    def step(self, frame: Any, pc: int, opcode: int) -> None:
        stack = frame._stack.values
        height = len(stack)
        self._added.clear()
        if opcode in (0x54, 0x55) and height:
            self._look_up_slot(frame.msg.storage_address, _int(stack[-1]))
        elif opcode in (0x31, 0x3B, 0x3C, 0x3F, 0xFF) and height:
            self._look_up(_address(stack[-1]))
            if opcode == 0xFF:
                self._deleted.add(frame.msg.storage_address)
        elif opcode in (0xF1, 0xF2, 0xF4, 0xFA) and height >= 5:
            self._look_up_with_delegate(_address(stack[-2]))

    def enter(self, kind: str, sender: Address, to: Address, value: Wei, gas: Gas, data: bytes) -> None:
        if to == self.transaction.to:
            self._look_up_with_delegate(to)
        if kind in ("CREATE", "CREATE2") and to != self.transaction.to:
            self._look_up(to)
            self._created.add(to)

    def step_done(self, frame: Any, cost: Gas, error: str | None) -> None:
        if error is None:
            return
        for address, slot in self._added:  # a step that fails before it runs touches nothing
            if slot is None:
                del self._pre[address]
            else:
                del self._slots[address][slot]

    def end(self, gas_used: Gas, error: str | None) -> None:
        if self._diff:
            self._compare()

    def result(self) -> Any:
        pre = {_hex(address): self._account_json(address) for address in self._pre if self._is_shown(address)}
        return {"pre": pre, "post": self._post} if self._diff else pre

    def _is_shown(self, address: Address) -> bool:
        if self._diff and address in self._created and not self._existed(address):
            return False
        return self._include_empty or self._existed(address) or any(self._slots.get(address, {}).values())

    def _existed(self, address: Address) -> bool:
        account = self._pre[address][0]
        return account is not None and not account.is_empty

    def _look_up(self, address: Address) -> None:
        if address not in self._pre:
            account = self.transaction.state.account(address)
            code = self.transaction.state.code(account.code_hash) if account is not None else b""
            self._pre[address] = (account, code)
            self._slots[address] = {}
            self._added.append((address, None))

    def _look_up_with_delegate(self, address: Address) -> None:
        """A call also touches the account whose code runs for a delegated one (EIP-7702)."""
        self._look_up(address)
        state = self.transaction.state
        account = state.account(address)
        code = state.code(account.code_hash) if account is not None else b""
        if len(code) == 23 and code.startswith(b"\xef\x01\x00"):
            self._look_up(code[3:])

    def _look_up_slot(self, address: Address, slot: int) -> None:
        self._look_up(address)
        if not self._no_storage and slot not in self._slots[address]:
            self._slots[address][slot] = self.transaction.state.storage(address, slot)
            self._added.append((address, slot))

    def _account_json(self, address: Address) -> dict[str, Any]:
        account, code = self._pre[address]
        fields: dict[str, Any] = {"balance": hex(account.balance if account is not None else 0)}
        if account is not None and account.nonce:
            fields["nonce"] = account.nonce
        if code and not self._no_code:
            fields["code"] = _hex(code)
        if account is not None and account.code_hash != EMPTY_CODE_HASH:
            fields["codeHash"] = _hex(account.code_hash)
        slots = {slot: value for slot, value in self._slots[address].items() if value or not self._diff}
        if slots:
            fields["storage"] = {_word(slot): _word(value) for slot, value in slots.items()}
        return fields

    def _compare(self) -> None:
        """Keep what changed: the old values in `_pre`, the new ones in `_post`."""
        for address in list(self._pre):
            if address in self._deleted and self.transaction.state.account(address) is None:
                continue
            before = self._pre[address][0] or Account()
            after = self.transaction.state.account(address) or Account()
            changes: dict[str, Any] = {}
            if after.balance != before.balance:
                changes["balance"] = hex(after.balance)
            if after.nonce != before.nonce:
                changes["nonce"] = after.nonce
            if after.code_hash != before.code_hash:
                new_code = self.transaction.state.code(after.code_hash)
                if not self._no_code:
                    changes["code"] = _hex(new_code)
                changes["codeHash"] = _hex(after.code_hash)
            changed_slots = {}
            for slot, value in list(self._slots[address].items()):
                new = self.transaction.state.storage(address, slot)
                if new == value:
                    del self._slots[address][slot]
                elif new:
                    changed_slots[_word(slot)] = _word(new)
            if changed_slots:
                changes["storage"] = changed_slots
            if changes or self._slots[address]:
                self._post[_hex(address)] = changes
            else:
                del self._pre[address]


# ---- steps ----------------------------------------------------------------------------------------------------------


class StructLogger(NoopTracer):
    """Every step with stack, memory and storage as the options ask, as debug_trace* answers without a tracer.

    `limit` is in bytes of JSON: the step that passes it is the last one (0: none).
    """

    wants_steps = True

    def __init__(
        self,
        enable_memory: bool = False,
        disable_stack: bool = False,
        disable_storage: bool = False,
        enable_return_data: bool = False,
        limit: int = 0,
    ) -> None:
        self._memory, self._stack, self._storage = enable_memory, not disable_stack, not disable_storage
        self._return_data, self._limit = enable_return_data, limit
        self._logs: list[dict[str, Any]] = []
        self._entry: dict[str, Any] = {}
        self._size = 0
        self._seen_storage: dict[Address, dict[str, str]] = {}
        self._output, self._failed, self._gas_used, self._depth = b"", False, 0, 0

    def enter(self, kind: str, sender: Address, to: Address, value: Wei, gas: Gas, data: bytes) -> None:
        self._depth += 1

    def leave(self, output: bytes, gas_used: Gas, error: str | None) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._output, self._failed = output, error is not None

    def step(self, frame: Any, pc: int, opcode: int) -> None:
        stack = frame._stack.values
        entry: dict[str, Any] = {"pc": pc, "op": opcodes.name(opcode), "gas": frame._gas_meter.gas_remaining, "gasCost": 0}
        entry["depth"] = frame.msg.depth + 1
        if self._stack:
            entry["stack"] = [hex(_int(item)) for item in stack]
        if self._memory and len(frame._memory):
            entry["memory"] = _memory_words(bytes(frame._memory._bytes))
        if self._return_data and frame.return_data:
            entry["returnData"] = _hex(frame.return_data)
        if self._storage and opcode in (0x54, 0x55) and len(stack) >= (1 if opcode == 0x54 else 2):
            address, slot = frame.msg.storage_address, _int(stack[-1])
            value = frame.state.get_storage(address, slot) if opcode == 0x54 else _int(stack[-2])
            seen = self._seen_storage.setdefault(address, {})
            seen[f"{slot:064x}"] = f"{value:064x}"
            entry["storage"] = dict(seen)
        self._entry = entry

    def step_done(self, frame: Any, cost: Gas, error: str | None) -> None:
        entry = self._entry
        entry["gasCost"] = cost
        refund = refund_so_far(frame)
        if refund:
            entry["refund"] = refund
        if error is not None:
            entry["error"] = error
        if not self._limit:
            self._logs.append(entry)
        elif self._size <= self._limit:
            self._logs.append(entry)
            self._size += len(json.dumps(entry, separators=(",", ":")))

    def end(self, gas_used: Gas, error: str | None) -> None:
        self._gas_used, self._failed = gas_used, self._failed or error is not None

    def result(self) -> Any:
        return {"gas": self._gas_used, "failed": self._failed, "returnValue": _hex(self._output), "structLogs": self._logs}


def refund_so_far(frame: Any) -> Gas:
    """The refund counter of the whole transaction while `frame` runs."""
    running = (step.computation for step in frame.state.tracing.steps)
    base: int = getattr(frame.state.tracing.steps[0].computation.msg, "refund", 0)  # delegations that were refunded (EIP-7702)
    return base + sum(outer._gas_meter.gas_refunded for outer in running)


def _memory_words(memory: bytes) -> list[str]:
    return [memory[i : i + 32].ljust(32, b"\0").hex() for i in range(0, len(memory), 32)]


class MuxTracer(NoopTracer):
    """Several tracers at once, by name."""

    def __init__(self, tracers: Mapping[str, NoopTracer]) -> None:
        self._tracers = dict(tracers)
        self.wants_steps = any(tracer.wants_steps for tracer in tracers.values())

    def begin(self, transaction: TracedTransaction) -> None:
        for tracer in self._tracers.values():
            tracer.begin(transaction)

    def enter(self, kind: str, sender: Address, to: Address, value: Wei, gas: Gas, data: bytes) -> None:
        for tracer in self._tracers.values():
            tracer.enter(kind, sender, to, value, gas, data)

    def leave(self, output: bytes, gas_used: Gas, error: str | None) -> None:
        for tracer in self._tracers.values():
            tracer.leave(output, gas_used, error)

    def log(self, address: Address, topics: tuple[Hash32, ...], data: bytes) -> None:
        for tracer in self._tracers.values():
            tracer.log(address, topics, data)

    def step(self, frame: Any, pc: int, opcode: int) -> None:
        for tracer in self._tracers.values():
            tracer.step(frame, pc, opcode)

    def step_done(self, frame: Any, cost: Gas, error: str | None) -> None:
        for tracer in self._tracers.values():
            tracer.step_done(frame, cost, error)

    def end(self, gas_used: Gas, error: str | None) -> None:
        for tracer in self._tracers.values():
            tracer.end(gas_used, error)

    def result(self) -> Any:
        return {name: tracer.result() for name, tracer in self._tracers.items()}


# ---- by name --------------------------------------------------------------------------------------------------------


def make(options: Mapping[str, Any] | None, place: Mapping[str, Any] | None = None, first_log_index: int = 0) -> NoopTracer:
    """The tracer that a debug_trace* options object asks for. `place` and `first_log_index` say where the transaction
    stands in its block. `InvalidParams` for a name that is no tracer."""
    options = options or {}
    name, config = options.get("tracer"), options.get("tracerConfig") or {}
    if not name:
        return StructLogger(
            bool(options.get("enableMemory")),
            bool(options.get("disableStack")),
            bool(options.get("disableStorage")),
            bool(options.get("enableReturnData")),
            int(options.get("limit") or 0),
        )
    if name == "muxTracer":
        return MuxTracer({key: make({"tracer": key, "tracerConfig": value}, place, first_log_index) for key, value in config.items()})
    if name not in _TRACERS:
        raise InvalidParams(f"ReferenceError: {name} is not defined at <eval>:1:2(0)")
    return _TRACERS[name](config, place, first_log_index)


_TRACERS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any] | None, int], NoopTracer]] = {
    "callTracer": lambda c, place, index: CallTracer(bool(c.get("onlyTopCall")), bool(c.get("withLog")), index),
    "flatCallTracer": lambda c, place, index: FlatCallTracer(place, bool(c.get("convertParityErrors")), bool(c.get("includePrecompiles"))),
    "4byteTracer": lambda c, place, index: FourByteTracer(),
    "prestateTracer": lambda c, place, index: PrestateTracer(
        bool(c.get("diffMode")), bool(c.get("disableCode")), bool(c.get("disableStorage")), bool(c.get("includeEmpty"))
    ),
    "noopTracer": lambda c, place, index: NoopTracer(),
}


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _word(value: int) -> str:
    return f"0x{value:064x}"


def _int(item: int | bytes) -> int:
    return item if isinstance(item, int) else int.from_bytes(item, "big")


def _address(item: int | bytes) -> Address:
    return (_int(item) & (2**160 - 1)).to_bytes(20, "big")
