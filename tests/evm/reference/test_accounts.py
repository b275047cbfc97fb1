"""The account database against a naive model that copies everything at each checkpoint."""

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from l2engine.evm.reference.accounts import AccountDatabase
from l2engine.types.base import EMPTY_CODE_HASH, keccak
from l2engine.types.state import Account, StateDiff
from tests.evm.states import Before, world

ADDRESSES = [bytes([n]) * 20 for n in (0x11, 0x22, 0x33)] + [(3).to_bytes(20, "big")]
addresses, slots, values = st.sampled_from(ADDRESSES), st.integers(0, 2), st.integers(0, 2)
existing = st.builds(
    Before,
    balance=values,
    nonce=values,
    code=st.sampled_from([b"", b"\x00", b"\x5b\x00"]),
    storage=st.dictionaries(slots, st.integers(1, 2)),
)


class Model:
    """The overlay's expected contents: accounts by address, with all their storage."""

    def __init__(self, before: dict[bytes, Before]) -> None:
        self.accounts = copy.deepcopy(before)
        self.warm: set[Any] = set()
        self.transient: dict[Any, int] = {}
        self.touched: set[bytes] = set()

    def change(self, address: bytes) -> Before:
        self.touched.add(address)
        return self.accounts.setdefault(address, Before())


class Journal(RuleBasedStateMachine):
    @initialize(before=st.dictionaries(addresses, existing))
    def start(self, before: dict[bytes, Before]) -> None:
        self.view = world(before)
        self.database, self.model = AccountDatabase(self.view), Model(before)
        self.checkpoints: list[tuple[int, Model]] = []
        self.ripemd_touched = False
        self.database.begin_transaction(())

    @rule(address=addresses, balance=values)
    def set_balance(self, address: bytes, balance: int) -> None:
        self.database.set_balance(address, balance)
        self.model.change(address).balance = balance
        self.note_ripemd(address)

    @rule(address=addresses)
    def increment_nonce(self, address: bytes) -> None:
        self.database.increment_nonce(address)
        self.model.change(address).nonce += 1

    @rule(address=addresses, code=st.sampled_from([b"", b"\x01\x02", b"\x00"]))
    def set_code(self, address: bytes, code: bytes) -> None:
        self.database.set_code(address, code)
        self.model.change(address).code = code
        self.note_ripemd(address)

    @rule(address=addresses)
    def touch(self, address: bytes) -> None:
        self.database.touch_account(address)
        self.model.change(address)
        self.note_ripemd(address)

    @rule(address=addresses, slot=slots, value=values)
    def set_storage(self, address: bytes, slot: int, value: int) -> None:
        if address in self.model.accounts:  # only running code stores, and it has an account
            self.database.set_storage(address, slot, value)
            self.model.accounts[address].storage[slot] = value

    @rule(address=addresses)
    def delete_account(self, address: bytes) -> None:
        self.database.delete_account(address)
        self.model.accounts.pop(address, None)

    @rule(address=addresses, slot=slots, value=values)
    def warm_and_transient(self, address: bytes, slot: int, value: int) -> None:
        self.database.mark_address_warm(address)
        self.database.mark_storage_warm(address, slot)
        self.database.set_transient_storage(address, slot, value)
        self.model.warm |= {address, (address, slot)}
        self.model.transient[address, slot] = value

    @rule()
    def checkpoint(self) -> None:
        self.checkpoints.append((self.database.record(), copy.deepcopy(self.model)))

    @precondition(lambda self: self.checkpoints)
    @rule(data=st.data())
    def revert(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.checkpoints) - 1))
        position, self.model = self.checkpoints[index]
        del self.checkpoints[index:]
        self.database.discard(position)

    @rule(remove_empty=st.booleans())
    def next_transaction(self, remove_empty: bool) -> None:
        self.database.end_transaction(remove_empty)
        self.database.begin_transaction(())
        if remove_empty:
            for address in self.model.touched | ({ADDRESSES[3]} if self.ripemd_touched else set()):
                account = self.model.accounts.get(address)
                if account is not None and (account.nonce, account.balance, account.code) == (0, 0, b""):
                    del self.model.accounts[address]
        self.model.warm, self.model.transient, self.model.touched = set(), {}, set()
        self.checkpoints, self.ripemd_touched = [], False

    def note_ripemd(self, address: bytes) -> None:
        account = self.model.accounts[address]
        if address == ADDRESSES[3] and (account.nonce, account.balance, account.code) == (0, 0, b""):
            self.ripemd_touched = True

    @invariant()
    def reads_are_the_models(self) -> None:
        for address in ADDRESSES:
            account = self.model.accounts.get(address)
            shown = account or Before()
            assert self.database.account_exists(address) == (account is not None)
            assert self.database.get_balance(address) == shown.balance
            assert self.database.get_nonce(address) == shown.nonce
            assert self.database.get_code(address) == shown.code
            assert self.database.is_address_warm(address) == (address in self.model.warm)
            for slot in range(3):
                assert self.database.get_storage(address, slot) == shown.storage.get(slot, 0)
                assert self.database.is_storage_warm(address, slot) == ((address, slot) in self.model.warm)
                assert self.database.get_transient_storage(address, slot) == self.model.transient.get((address, slot), 0)

    @invariant()
    def diff_leads_from_the_view_to_the_model(self) -> None:
        diff = self.database.diff()
        after = self.view.after(diff)
        assert after.accounts == {
            address: Account(item.nonce, item.balance, keccak(item.code)) for address, item in self.model.accounts.items()
        }
        for address, item in self.model.accounts.items():
            assert nonzero(after.storages.get(address, {})) == nonzero(item.storage)
            assert after.code(keccak(item.code)) == item.code
        assert_minimal(self.view, diff)


def nonzero(storage: Any) -> dict[int, int]:
    return {slot: value for slot, value in storage.items() if value}


def assert_minimal(view: Any, diff: StateDiff) -> None:
    """Nothing in the diff repeats what the view says."""
    for address, change in diff.accounts.items():
        assert change.destroyed or change.storage or change.account != view.account(address)
        assert not (change.destroyed and view.account(address) is None)
        for slot, value in change.storage.items():
            assert value != (0 if change.destroyed else view.storage(address, slot))
    deployed = {change.account.code_hash for change in diff.accounts.values() if change.account is not None}
    assert set(diff.codes) <= deployed - {EMPTY_CODE_HASH}


Journal.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
test_journal = Journal.TestCase


@given(before=values, writes=st.lists(values, min_size=1))
def test_original_is_the_value_at_the_transactions_start(before: int, writes: list[int]) -> None:
    address = ADDRESSES[0]
    database = AccountDatabase(world({address: Before(nonce=1, storage={1: before})}))
    database.begin_transaction(())
    for value in writes:
        checkpoint = database.record()
        database.set_storage(address, 1, value)
        assert database.get_storage(address, 1, from_journal=False) == before
    database.discard(checkpoint)
    assert database.get_storage(address, 1, from_journal=False) == before
    kept = database.get_storage(address, 1)
    database.end_transaction(remove_empty=True)
    database.begin_transaction(())
    assert database.get_storage(address, 1, from_journal=False) == kept


def test_destroyed_and_created_again_starts_empty() -> None:
    address = ADDRESSES[0]
    database = AccountDatabase(world({address: Before(nonce=1, code=b"\x00", storage={1: 7, 2: 8})}))
    database.begin_transaction(())
    database.delete_account(address)
    database.end_transaction(remove_empty=True)
    database.begin_transaction(())
    assert database.get_storage(address, 1) == 0
    assert not database.account_has_code_or_nonce(address)
    database.set_nonce(address, 1)
    database.set_storage(address, 2, 8)
    change = database.diff().accounts[address]
    assert change.destroyed and change.storage == {2: 8} and change.account == Account(1, 0)


def test_created_and_destroyed_in_one_block_leaves_nothing() -> None:
    database = AccountDatabase(world({}))
    database.begin_transaction(())
    database.set_code(ADDRESSES[0], b"\x00")
    database.set_storage(ADDRESSES[0], 1, 1)
    database.delete_account(ADDRESSES[0])
    assert database.diff() == StateDiff({}, {})


def test_reads_leave_no_diff() -> None:
    database = AccountDatabase(world({ADDRESSES[0]: Before(nonce=1, balance=2, storage={1: 3})}))
    database.begin_transaction(())
    assert database.get_balance(ADDRESSES[0]) == 2 and database.get_storage(ADDRESSES[0], 1) == 3
    database.set_storage(ADDRESSES[0], 1, 9)
    database.set_storage(ADDRESSES[0], 1, 3)
    database.set_balance(ADDRESSES[0], 2)
    database.end_transaction(remove_empty=True)
    assert database.diff() == StateDiff({}, {})
