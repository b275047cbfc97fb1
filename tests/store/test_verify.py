"""A damaged database is found out, whichever row is wrong, missing or left over; a genesis is written once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2engine.errors import GenesisMismatch, StateUnavailable, StoreError
from l2engine.store import schema
from l2engine.store.diffs import decode_diff, encode_diff
from l2engine.store.genesis import write_genesis
from l2engine.store.kv import MemoryKeyValue
from l2engine.store.state import LayeredState
from l2engine.store.verify import stats, verify
from l2engine.types.base import keccak
from l2engine.types.state import Account, AccountDiff, StateDiff
from tests.store.model import ADDRESSES, ModelAccount, make_block, random_diff, state_root
from tests.store.test_crash import Driver, start

OWNER = keccak(ADDRESSES[5])


@pytest.fixture
def kv() -> MemoryKeyValue:
    alloc = {address: ModelAccount(1, 5, b"\x60", {slot: slot for slot in range(1, 20)}) for address in ADDRESSES}
    block = make_block(None, state_root(alloc), 0)
    kv = MemoryKeyValue()
    write_genesis(kv, block, alloc, b"{}")
    return kv


def change(kv: MemoryKeyValue, key: bytes, value: bytes | None) -> None:
    batch = kv.batch()
    if value is None:
        batch.delete(key)
    else:
        batch.put(key, value)
    batch.write()


def test_whole_database_has_no_differences(kv: MemoryKeyValue) -> None:
    assert list(verify(kv)) == []
    driver_kv = MemoryKeyValue()
    driver = Driver(driver_kv, start(driver_kv), 1)
    for _ in range(20):
        driver.step()
    assert list(verify(driver_kv)) == []


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (schema.slot_key(OWNER, keccak((3).to_bytes(32, "big"))), b"\x09", "storage root of account"),
        (schema.slot_key(OWNER, keccak((3).to_bytes(32, "big"))), None, "storage root of account"),
        (schema.slot_key(b"\x00" * 32, b"\x01" * 32), b"\x09", "which does not exist"),
        (schema.slot_key(b"\xff" * 32, b"\x01" * 32), b"\x09", "which does not exist"),
        (schema.account_key(OWNER), None, "which does not exist"),
        (schema.account_key(b"\x01" * 32), schema.encode_account(1, 1, b"\x02" * 32, b"\x03" * 32), "storage root of account"),
        (schema.node_key(None, ""), b"\xc0", "trie node root is wrong"),
        (schema.node_key(None, "abc"), b"\xc0", "account trie nodes are stored"),
        (schema.node_key(OWNER, ""), None, "root is missing"),
        (schema.node_key(OWNER, "abcd"), b"\xc0", "storage trie nodes are stored"),
        (schema.code_key(keccak(b"\x60")), b"\x61", "code 0x"),
        (schema.HEAD, b"\x01" * 32, "head block is missing"),
        (schema.SAFE, b"\x01" * 32, "the safe block is missing"),
        (schema.FINALIZED, b"\x01" * 32, "the finalized block is missing"),
        (schema.BASE, None, "no state"),
    ],
)
def test_damage_is_found(kv: MemoryKeyValue, key: bytes, value: bytes | None, message: str) -> None:
    change(kv, key, value)
    differences = list(verify(kv))
    assert differences and message in "\n".join(differences)


def test_stats_count_rows_and_bytes(kv: MemoryKeyValue) -> None:
    counts = {row.name: row for row in stats(kv)}
    assert counts["accounts"].rows == len(ADDRESSES) and counts["slots"].rows == 19 * len(ADDRESSES)
    assert counts["code"].value_bytes == 1 and counts["code"].key_bytes == 33


def test_genesis_of_another_chain_is_refused_with_both_hashes(kv: MemoryKeyValue) -> None:
    other = make_block(None, state_root({}), 1)
    with pytest.raises(GenesisMismatch) as error:
        write_genesis(kv, other, {}, b"{}")
    assert error.value.expected == kv.get(schema.GENESIS) and error.value.got == other.hash


def test_same_genesis_again_only_replaces_the_configuration() -> None:
    kv = MemoryKeyValue()
    block = make_block(None, state_root({}), 1)
    write_genesis(kv, block, {}, b"{}")
    rows = list(kv.iterate(b"", b"\xff"))
    write_genesis(kv, block, {}, b'{"new":1}')
    assert [(key, b'{"new":1}' if key == schema.CONFIG else value) for key, value in rows] == list(kv.iterate(b"", b"\xff"))


def test_genesis_that_does_not_give_its_root_is_refused() -> None:
    kv = MemoryKeyValue()
    with pytest.raises(GenesisMismatch):
        write_genesis(kv, make_block(None, b"\x01" * 32, 0), {ADDRESSES[0]: ModelAccount(1, 1)}, b"{}")
    assert kv.get(schema.GENESIS) is None


def test_database_without_state_is_refused() -> None:
    with pytest.raises(StoreError, match="genesis"):
        LayeredState(MemoryKeyValue())


def test_unknown_block_has_no_state(kv: MemoryKeyValue) -> None:
    with pytest.raises(StateUnavailable):
        LayeredState(kv).view(b"\x01" * 32)
    with pytest.raises(StoreError, match="missing code"):
        LayeredState(kv).code(b"\x01" * 32)


@given(st.randoms(use_true_random=False))
def test_diff_survives_its_row(rng) -> None:
    _, diff = random_diff({ADDRESSES[0]: ModelAccount(1, 2, b"", {1: 1})}, rng, size=8)
    row = encode_diff(b"\x01" * 32, b"\x02" * 32, diff)
    assert decode_diff(row) == (b"\x01" * 32, b"\x02" * 32, StateDiff(diff.accounts, {}))


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_short_diff_is_a_store_error(cut: int) -> None:
    diff = StateDiff({ADDRESSES[0]: AccountDiff(Account(1, 2), {1: 2}), ADDRESSES[1]: AccountDiff(None)}, {})
    with pytest.raises(StoreError):
        decode_diff(encode_diff(b"\x01" * 32, b"\x02" * 32, diff)[:-cut])
