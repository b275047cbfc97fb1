"""prestateTracer: what a transaction found, and what it changed (geth, eth/tracers/native/prestate.go)."""

from typing import Any

from l2engine.evm.opcodes import ACCOUNT_OPCODES, CALL_OPCODES, SLOT_OPCODES, stack_address
from l2engine.evm.tracers.base import NoopTracer, to_hex
from l2engine.types.base import EMPTY_CODE_HASH, ZERO_HASH, Address, Gas, Wei
from l2engine.types.delegation import is_delegation
from l2engine.types.state import Account
from l2engine.types.tracing import TracedFrame, TracedTransaction


class PrestateTracer(NoopTracer):
    """The accounts that a transaction touches as they were before it, or (`diffMode`) what it changed, before and after."""

    steps = SLOT_OPCODES | ACCOUNT_OPCODES | CALL_OPCODES

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
        self._look_up_with_delegate(transaction.to)
        self._look_up(transaction.env.beneficiary)
        if transaction.base_fee_recipient is not None:
            self._look_up(transaction.base_fee_recipient)
        if transaction.creates:
            self._created.add(transaction.to)
        for authority in transaction.authorities:
            self._look_up(authority)

    def step(self, frame: TracedFrame, pc: int, opcode: int) -> None:
        stack = frame.stack
        height = len(stack)
        self._added.clear()
        if opcode in SLOT_OPCODES and height:
            self._look_up_slot(frame.address, stack[-1])
        elif opcode in ACCOUNT_OPCODES and height:
            self._look_up(stack_address(stack[-1]))
            if opcode == 0xFF:
                self._deleted.add(frame.address)
        elif opcode in CALL_OPCODES and height >= 5:
            self._look_up_with_delegate(stack_address(stack[-2]))

    def enter(self, kind: str, sender: Address, to: Address, value: Wei, gas: Gas, data: bytes) -> None:
        if kind in ("CREATE", "CREATE2") and to != self.transaction.to:
            self._look_up(to)
            self._created.add(to)

    def step_done(self, frame: TracedFrame, cost: Gas, error: str | None) -> None:
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
        pre = {to_hex(address): self._account_json(address) for address in self._pre if self._is_shown(address)}
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
        if is_delegation(code):
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
            fields["code"] = to_hex(code)
        if account is not None and account.code_hash != EMPTY_CODE_HASH:
            fields["codeHash"] = to_hex(account.code_hash)
        slots = {slot: value for slot, value in self._slots[address].items() if value or not self._diff}
        if slots:
            fields["storage"] = {_word(slot): _word(value) for slot, value in slots.items()}
        return fields

    def _compare(self) -> None:
        """Keep only changed values: the old ones in `_pre`, the new ones in `_post`."""
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
                if new_code and not self._no_code:
                    changes["code"] = to_hex(new_code)
                changes["codeHash"] = to_hex(after.code_hash if new_code else ZERO_HASH)
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
                self._post[to_hex(address)] = {name: value for name, value in changes.items() if value != 0}  # as geth, no nonce of 0
            else:
                del self._pre[address]


def _word(value: int) -> str:
    return f"0x{value:064x}"
