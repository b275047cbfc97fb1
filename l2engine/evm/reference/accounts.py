"""The state under execution: a dictionary overlay over a `StateView` with one undo journal, in the shape py-evm asks for.

Everything that a revert must undo (accounts, storage, code, warm sets, transient storage, touched accounts) lives in
plain dictionaries, and each change notes the dictionary, the key and the value before. A checkpoint is a position in
that journal. `diff` compares the overlay with what the view said. Sources: EIP-161, 1153, 2200, 2929, 6780.
"""

from collections.abc import Iterable
from typing import Any, TypeAlias

from eth.abc import AccountDatabaseAPI

from l2engine.types.base import EMPTY_CODE_HASH, MAX_UINT64, Address, BlockNumber, Hash32, Wei, keccak
from l2engine.types.state import Account, AccountDiff, StateDiff, StateView

_Fields: TypeAlias = tuple[int, Wei, Hash32]  # nonce, balance, code hash: a tuple is built three times as fast as an Account

_EMPTY: _Fields = (0, 0, EMPTY_CODE_HASH)
_ABSENT: Any = object()
_RIPEMD160: Address = (3).to_bytes(20, "big")


class AccountDatabase(AccountDatabaseAPI):
    """Accounts and storage of one block under execution. Amounts are in wei; slots and their values are integers."""

    def __init__(self, view: StateView) -> None:
        self._view = view
        self._journal: list[tuple[dict[Any, Any], Any, Any]] = []
        self._accounts: dict[Address, _Fields | None] = {}
        self._storage: dict[Address, dict[int, int]] = {}
        """Slots that were read or written, by account."""
        self._wiped: dict[Address, bool] = {}
        """Accounts whose slots in the view are gone."""
        self._codes: dict[Hash32, bytes] = {EMPTY_CODE_HASH: b""}
        self._before: dict[Address, _Fields | None] = {}
        """Accounts as read from the view; `_slots_before` has the slots."""
        self._slots_before: dict[Address, dict[int, int]] = {}

        # for one transaction
        self._originals: dict[tuple[Address, int], int] = {}
        """Values of written slots when the transaction began (EIP-2200)."""
        self._warm_addresses: dict[Address, bool] = {}
        self._warm_slots: dict[tuple[Address, int], bool] = {}
        self._transient: dict[tuple[Address, int], int] = {}
        self._touched: dict[Address, bool] = {}
        self._ripemd_touched = False

    # ---- accounts ---------------------------------------------------------------------------------------------------

    def _fields(self, address: Address) -> _Fields | None:
        try:
            return self._accounts[address]
        except KeyError:
            account = self._view.account(address)
            fields = None if account is None else (account.nonce, account.balance, account.code_hash)
            self._accounts[address] = self._before[address] = fields
            return fields

    def _set_fields(self, address: Address, before: _Fields | None, after: _Fields) -> None:
        self._journal.append((self._accounts, address, before))
        self._accounts[address] = after
        if address not in self._touched:
            self._journal.append((self._touched, address, _ABSENT))
            self._touched[address] = True
        if address == _RIPEMD160 and after == _EMPTY:
            self._ripemd_touched = True

    def get_balance(self, address: Address) -> Wei:
        fields = self._fields(address)
        return 0 if fields is None else fields[1]

    def set_balance(self, address: Address, balance: Wei) -> None:
        before = self._fields(address)
        nonce, _, code_hash = before or _EMPTY
        self._set_fields(address, before, (nonce, balance, code_hash))

    def delta_balance(self, address: Address, delta: Wei) -> None:
        """Add to a balance (or take from it)."""
        before = self._fields(address)
        nonce, balance, code_hash = before or _EMPTY
        self._set_fields(address, before, (nonce, balance + delta, code_hash))

    def get_nonce(self, address: Address) -> int:
        fields = self._fields(address)
        return 0 if fields is None else fields[0]

    def set_nonce(self, address: Address, nonce: int) -> None:
        before = self._fields(address)
        _, balance, code_hash = before or _EMPTY
        self._set_fields(address, before, (nonce, balance, code_hash))

    def increment_nonce(self, address: Address) -> None:
        """Only deposits and calls get beyond 2^64 - 1, and begin again at 0 as in op-geth."""
        self.set_nonce(address, (self.get_nonce(address) + 1) & MAX_UINT64)

    def get_code_hash(self, address: Address) -> Hash32:
        fields = self._fields(address)
        return EMPTY_CODE_HASH if fields is None else fields[2]

    def get_code(self, address: Address) -> bytes:
        fields = self._fields(address)
        if fields is None:
            return b""
        code = self._codes.get(fields[2])
        if code is None:
            code = self._codes[fields[2]] = self._view.code(fields[2])
        return code

    def set_code(self, address: Address, code: bytes) -> None:
        before = self._fields(address)
        nonce, balance, _ = before or _EMPTY
        code_hash = keccak(code)
        self._codes[code_hash] = code
        self._set_fields(address, before, (nonce, balance, code_hash))

    def delete_code(self, address: Address) -> None:
        self.set_code(address, b"")

    def account_exists(self, address: Address) -> bool:
        return self._fields(address) is not None

    def account_is_empty(self, address: Address) -> bool:
        """Whether the account is missing or empty in the sense of EIP-161."""
        fields = self._fields(address)
        return fields is None or fields == _EMPTY

    def account_has_code_or_nonce(self, address: Address) -> bool:
        """Whether no contract can be created here. Storage forbids it as well (EIP-7610); without code and nonce only a genesis
        leaves any behind, so the view is the one to ask."""
        fields = self._fields(address)
        return fields is not None and (fields[0] != 0 or fields[2] != EMPTY_CODE_HASH or self.has_storage(address))

    def touch_account(self, address: Address) -> None:
        """Create the account if it is missing; an empty one will be removed from Spurious Dragon on."""
        before = self._fields(address)
        if before is None or before == _EMPTY:
            self._set_fields(address, before, _EMPTY)

    def delete_account(self, address: Address) -> None:
        """Remove the account with its storage."""
        self.delete_storage(address)
        self._journal.append((self._accounts, address, self._fields(address)))
        self._accounts[address] = None

    # ---- storage ----------------------------------------------------------------------------------------------------

    def get_storage(self, address: Address, slot: int, from_journal: bool = True) -> int:
        """The slot's value now, or with `from_journal` False when the transaction began."""
        if not from_journal:
            original = self._originals.get((address, slot))
            if original is not None:
                return original
        slots = self._storage.get(address)
        if slots is None:
            slots = self._storage[address] = {}
        value = slots.get(slot)
        if value is None:
            value = slots[slot] = self._load_slot(address, slot)
        return value

    def _load_slot(self, address: Address, slot: int) -> int:
        if address in self._wiped:
            return 0
        value = 0 if self._fields(address) is None else self._view.storage(address, slot)
        self._slots_before.setdefault(address, {})[slot] = value
        return value

    def set_storage(self, address: Address, slot: int, value: int) -> None:
        before = self.get_storage(address, slot)
        self._originals.setdefault((address, slot), before)
        if value != before:
            slots = self._storage[address]
            self._journal.append((slots, slot, before))
            slots[slot] = value

    def delete_storage(self, address: Address) -> None:
        """Forget all slots of the account, those in the view included."""
        self._journal.append((self._storage, address, self._storage.get(address, _ABSENT)))
        self._storage[address] = {}
        if address not in self._wiped:
            self._journal.append((self._wiped, address, _ABSENT))
            self._wiped[address] = True

    def get_transient_storage(self, address: Address, slot: int) -> int:
        return self._transient.get((address, slot), 0)

    def set_transient_storage(self, address: Address, slot: int, value: int) -> None:
        key = (address, slot)
        self._journal.append((self._transient, key, self._transient.get(key, 0)))
        self._transient[key] = value

    # ---- warm sets --------------------------------------------------------------------------------------------------

    def is_address_warm(self, address: Address) -> bool:
        return address in self._warm_addresses

    def mark_address_warm(self, address: Address) -> None:
        if address not in self._warm_addresses:
            self._journal.append((self._warm_addresses, address, _ABSENT))
            self._warm_addresses[address] = True

    def is_storage_warm(self, address: Address, slot: int) -> bool:
        return (address, slot) in self._warm_slots

    def mark_storage_warm(self, address: Address, slot: int) -> None:
        key = (address, slot)
        if key not in self._warm_slots:
            self._journal.append((self._warm_slots, key, _ABSENT))
            self._warm_slots[key] = True

    # ---- checkpoints and transactions -------------------------------------------------------------------------------

    def record(self) -> int:
        """A checkpoint to go back to. Later ones are undone with it; nothing needs to be done to keep changes."""
        return len(self._journal)

    def discard(self, checkpoint: int) -> None:
        """Undo everything since the checkpoint."""
        journal = self._journal
        while len(journal) > checkpoint:
            mapping, key, before = journal.pop()
            if before is _ABSENT:
                del mapping[key]
            else:
                mapping[key] = before

    def commit(self, checkpoint: int) -> None:
        """Keep everything since the checkpoint."""

    def begin_transaction(self, warm: Iterable[Address]) -> None:
        """Start a transaction with these warm addresses."""
        self._warm_addresses = dict.fromkeys(warm, True)
        self._warm_slots, self._transient, self._originals, self._touched = {}, {}, {}, {}
        self._ripemd_touched = False
        self._journal = []

    def end_transaction(self, remove_empty: bool) -> None:
        """Close a transaction: from Spurious Dragon on, touched empty accounts vanish (EIP-161).

        RIPEMD-160 vanishes even if what touched it was reverted: clients once did so, and it became the rule (EIP-716).
        """
        if remove_empty:
            if self._ripemd_touched:
                self._touched[_RIPEMD160] = True
            for address in self._touched:
                if self._accounts.get(address) == _EMPTY:
                    self.delete_account(address)
        self._touched, self._ripemd_touched = {}, False
        self._journal = []

    def lock_changes(self) -> None:
        """Make the current values the original values (EIP-2200) of later writes."""
        self._originals = {}

    # ---- results ----------------------------------------------------------------------------------------------------

    def diff(self) -> StateDiff:
        """All that differs from the view."""
        accounts: dict[Address, AccountDiff] = {}
        codes: dict[Hash32, bytes] = {}
        for address, after in self._accounts.items():
            before = self._before[address]
            destroyed = before is not None and address in self._wiped
            if after is None:
                if before is not None:
                    accounts[address] = AccountDiff(None, {}, destroyed=True)
                continue
            storage = self._changed_slots(address)
            if before != after or storage or destroyed:
                accounts[address] = AccountDiff(Account(*after), storage, destroyed)
                if after[2] != EMPTY_CODE_HASH and (before is None or before[2] != after[2]):
                    codes[after[2]] = self._codes[after[2]]
        return StateDiff(accounts, codes)

    def _changed_slots(self, address: Address) -> dict[int, int]:
        slots = self._storage.get(address)
        if not slots:
            return {}
        before = {} if address in self._wiped else self._slots_before.get(address, {})
        return {slot: value for slot, value in slots.items() if value != before.get(slot, 0)}

    # ---- a live `StateView`, for tracers ----------------------------------------------------------------------------

    def account(self, address: Address) -> Account | None:
        fields = self._fields(address)
        return None if fields is None else Account(*fields)

    def storage(self, address: Address, slot: int) -> int:
        return self.get_storage(address, slot)

    def has_storage(self, address: Address) -> bool:
        """As it was before the block, unless the account was removed since."""
        return address not in self._wiped and self._view.has_storage(address)

    def code(self, code_hash: Hash32) -> bytes:
        code = self._codes.get(code_hash)
        return self._view.code(code_hash) if code is None else code

    def block_hash(self, number: BlockNumber) -> Hash32 | None:
        return self._view.block_hash(number)

    # ---- what py-evm's interface names and a State here never calls -------------------------------------------------

    @property
    def state_root(self) -> Hash32:
        raise NotImplementedError("roots are computed by the state store")

    def has_root(self, state_root: bytes) -> bool:
        raise NotImplementedError("roots are computed by the state store")

    def make_state_root(self) -> Hash32:
        raise NotImplementedError("roots are computed by the state store")

    def persist(self) -> Any:
        raise NotImplementedError("the state store persists the diff")
