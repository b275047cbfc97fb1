"""Blocks by hash and number, the transaction and log indexes under reorganisation, the markers."""

from hypothesis import given
from hypothesis import strategies as st

from l2engine.store import schema
from l2engine.store.blocks import BlockStore
from l2engine.store.kv import MemoryKeyValue
from l2engine.types.base import EMPTY_ROOT, keccak
from l2engine.types.block import Block
from l2engine.types.receipt import Log, Receipt
from tests.store.model import make_block

A, B = b"\xaa" * 20, b"\xbb" * 20
T1, T2 = b"\x01" * 32, b"\x02" * 32


def logs(*pairs: tuple[bytes, tuple[bytes, ...]]) -> list[Receipt]:
    return [Receipt(2, 1, 21000, tuple(Log(address, topics, b"data") for address, topics in pairs))]


class Chain:
    """A block store with a canonical chain that tests push and switch."""

    def __init__(self) -> None:
        self.kv = MemoryKeyValue()
        self.blocks = BlockStore(self.kv)
        self.canonical: list[Block] = []
        self.add()

    def put(self, parent: Block | None, receipts=(), transactions=(), salt: int = 0) -> Block:
        block = make_block(parent.header if parent else None, EMPTY_ROOT, salt, tuple(transactions))
        batch = self.kv.batch()
        self.blocks.put(batch, block, receipts)
        batch.write()
        return block

    def add(self, receipts=(), transactions=()) -> Block:
        block = self.put(self.canonical[-1] if self.canonical else None, receipts, transactions)
        self.switch([], [block])
        return block

    def switch(self, removed: list[Block], added: list[Block]) -> None:
        batch = self.kv.batch()
        self.blocks.set_canonical(batch, removed, added)
        self.blocks.set_markers(batch, head=added[-1].hash)
        batch.write()
        self.canonical[added[0].number :] = added


def test_stored_block_is_read_back_by_another_store() -> None:
    chain = Chain()
    block = chain.add(logs((A, (T1,))), [b"\x02raw"])
    fresh = BlockStore(chain.kv)
    assert fresh.block(block.hash) == block and fresh.header(block.hash) == block.header
    assert fresh.receipts(block.hash) == tuple(logs((A, (T1,))))
    assert fresh.canonical_block(1) == block and fresh.head == block.hash and fresh.number(block.hash) == 1


def test_unknown_hashes_give_none() -> None:
    blocks = Chain().blocks
    assert [blocks.header(T1), blocks.block(T1), blocks.receipts(T1), blocks.number(T1), blocks.transaction_location(T1)] == [None] * 5
    assert blocks.safe is None and blocks.finalized is None and not blocks.has(T1)


def test_reorg_moves_transactions_and_logs() -> None:
    chain = Chain()
    old = [chain.add(logs((A, (T1,))), [b"\x02one"]), chain.add(logs((B, ())), [b"\x02two"])]
    new = chain.put(chain.canonical[0], logs((B, (T2,))), [b"\x02two", b"\x02three"], salt=1)
    chain.switch(old, [new])
    assert chain.blocks.transaction_location(keccak(b"\x02one")) is None
    assert chain.blocks.transaction_location(keccak(b"\x02two")) == (new.hash, 0)
    assert chain.blocks.transaction_location(keccak(b"\x02three")) == (new.hash, 1)
    assert chain.blocks.canonical_hash(2) is None
    assert list(chain.blocks.log_candidates(0, 9, [A], [])) == []
    assert list(chain.blocks.log_candidates(0, 9, [B], [[T2]])) == [1]


def test_removing_a_later_duplicate_keeps_the_rest() -> None:
    chain = Chain()
    first = chain.add((), [b"\x02same"])
    second = chain.add((), [b"\x02other"])
    batch = chain.kv.batch()
    chain.blocks.set_canonical(batch, [second], [])
    batch.write()
    assert chain.blocks.transaction_location(keccak(b"\x02same")) == (first.hash, 0)
    assert chain.blocks.transaction_location(keccak(b"\x02other")) is None


def test_without_conditions_every_block_is_a_candidate() -> None:
    assert list(Chain().blocks.log_candidates(3, 6, [], [[], []])) == [3, 4, 5, 6]


ITEM = st.sampled_from([T1, T2, b"\x03" * 32])
EVENT = st.tuples(st.sampled_from([A, B]), st.lists(ITEM, max_size=3).map(tuple))


@given(
    st.lists(st.lists(EVENT, max_size=3), max_size=8),
    st.lists(st.sampled_from([A, B]), max_size=2),
    st.lists(st.lists(ITEM, max_size=2), max_size=3),
    st.integers(0, 8),
    st.integers(0, 8),
)
def test_candidates_are_the_blocks_with_one_item_of_each_condition(blocks, addresses, topics, first, last) -> None:
    chain = Chain()
    for events in blocks:
        chain.add(logs(*events))
    last = min(last, len(blocks))
    expected = []
    for number in range(first, last + 1):
        items = {item for address, event_topics in (blocks[number - 1] if number else []) for item in (address, *event_topics)}
        if all(not wanted or items & set(wanted) for wanted in [addresses, *topics]):
            expected.append(number)
    assert list(chain.blocks.log_candidates(first, last, addresses, topics)) == expected


def test_log_index_digest_is_eight_bytes() -> None:
    assert len(schema.log_key(T1, 5)) == 17
