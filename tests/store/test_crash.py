"""A process that dies between two batches, or whose last write is torn, leaves a database that goes on from what was acknowledged."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2engine.store import schema
from l2engine.store.genesis import write_genesis
from l2engine.store.kv import LevelDB, MemoryKeyValue
from l2engine.store.verify import verify
from l2engine.types.block import Block
from tests.store.model import ADDRESSES, ModelAccount, make_block, random_diff, state_root
from tests.store.test_state import Known, Node, assert_proofs, assert_state

WINDOWS = {"layers": 3, "history_state": 12, "history_proofs": 12}


class Crash(Exception):
    """The process is gone."""


class Dying:
    """A store in which only the first `batches` batches get written."""

    def __init__(self, kv: MemoryKeyValue, batches: int) -> None:
        self.get, self.iterate, self.snapshot, self.close = kv.get, kv.iterate, kv.snapshot, kv.close
        self._kv, self.left = kv, batches

    def batch(self) -> "Dying.Batch":
        return Dying.Batch(self)

    class Batch:
        def __init__(self, store: "Dying") -> None:
            self._store, self._batch = store, store._kv.batch()
            self.put, self.delete = self._batch.put, self._batch.delete

        def write(self, sync: bool = False) -> None:
            if self._store.left == 0:
                raise Crash
            self._store.left -= 1
            self._batch.write(sync)


class Driver:
    """A rollup node that extends the chain and reorganises it, and notes what was acknowledged."""

    def __init__(self, kv, genesis: Known, seed: int) -> None:
        self.node, self.rng = Node(kv, **WINDOWS), random.Random(seed)
        self.known = {genesis.block.hash: genesis}
        self.canonical = [genesis.block]
        self.acknowledged = genesis.block  # the head that the last answered forkchoice named

    def step(self) -> None:
        back = self.rng.choice([0, 0, 0, 0, 1, 2, 5, 8])
        parent = self.canonical[max(0, len(self.canonical) - 1 - back)]
        branch: list[Block] = []
        for _ in range(back + 1):
            after, diff = random_diff(self.known[parent.hash].state, self.rng)
            parent = self._execute(parent, after, diff)
            branch.append(parent)
        at = branch[0].number
        removed = self.canonical[at:]
        node, batch = self.node, self.node.kv.batch()
        node.blocks.set_canonical(batch, removed, branch)
        node.blocks.set_markers(batch, head=parent.hash, finalized=self.canonical[max(0, at - 10)].hash)
        batch.write()
        self.acknowledged = parent
        self.canonical[at:] = branch
        node.state.set_head([block.header for block in branch])

    def _execute(self, parent: Block, after, diff) -> Block:
        block = make_block(parent.header, state_root(after), self.rng.getrandbits(60))
        self.known[block.hash] = Known(block, after, parent.hash)
        prepared = self.node.state.prepare(parent.hash, diff)
        batch = self.node.kv.batch()
        self.node.blocks.put(batch, block, ())
        self.node.state.push(batch, block, prepared)
        batch.write()
        self.node.state.attach(block, prepared)
        return block


def start(kv) -> Known:
    alloc = {address: ModelAccount(0, 5, b"\x01" * i, {1: i} if i else {}) for i, address in enumerate(ADDRESSES[:6])}
    block = make_block(None, state_root(alloc), 0)
    write_genesis(kv, block, alloc, b"{}")
    return Known(block, alloc, b"")


def check(kv, driver: Driver) -> None:
    """The state after a restart: the acknowledged head with its state, and nothing that contradicts itself."""
    assert list(verify(kv)) == []
    node = Node(kv, **WINDOWS)
    assert node.blocks.head == driver.acknowledged.hash
    assert node.state.has(driver.acknowledged.hash)
    for known in driver.known.values():
        if node.state.has(known.block.hash):
            assert_state(node, known, slots=(0, 1))
            if known.block.number >= node.state.oldest[1]:
                assert_proofs(node, known, driver.rng.choice(ADDRESSES))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), batches=st.integers(0, 120))
def test_death_after_any_batch_loses_nothing_acknowledged(seed: int, batches: int) -> None:
    kv = MemoryKeyValue()
    genesis = start(kv)
    driver = Driver(Dying(kv, batches), genesis, seed)
    with pytest.raises(Crash):
        while True:
            driver.step()
    head = driver.acknowledged
    if kv.get(schema.HEAD) != head.hash:  # written, though the answer never got out
        driver.acknowledged = driver.known[kv.get(schema.HEAD)].block
    check(kv, driver)
    assert driver.acknowledged.number >= head.number

    # The chain goes on from there.
    driver.node = Node(kv, **WINDOWS)
    canonical = [driver.acknowledged]
    while canonical[-1].number:
        canonical.append(driver.known[canonical[-1].header.parent_hash].block)
    driver.canonical = canonical[::-1]
    for _ in range(3):
        driver.step()
    check(kv, driver)


def log_files(path: Path) -> Iterator[Path]:
    return path.glob("*.log")


@pytest.mark.parametrize("cut", [1, 7, 40, 300, 2000, 9000])
def test_torn_end_of_the_log_falls_back_to_an_earlier_block(tmp_path, cut: int) -> None:
    kv = LevelDB(tmp_path / "db")
    driver = Driver(kv, start(kv), seed=cut)
    for _ in range(12):
        driver.step()
    shutil.copytree(tmp_path / "db", tmp_path / "copy")  # as kill -9 leaves it
    kv.close()
    (log,) = log_files(tmp_path / "copy")
    with open(log, "r+b") as file:
        file.truncate(log.stat().st_size - cut)
    torn = LevelDB(tmp_path / "copy")
    try:
        assert list(verify(torn)) == []
        head = torn.get(schema.HEAD)
        driver.acknowledged = driver.known[head].block
        check(torn, driver)
    finally:
        torn.close()


def test_damaged_head_is_repaired_with_a_log_line(caplog) -> None:
    kv = MemoryKeyValue()
    driver = Driver(kv, start(kv), seed=3)
    for _ in range(6):
        driver.step()
    batch = kv.batch()
    for block in driver.canonical[-2:]:
        batch.delete(schema.body_key(block.number, block.hash))
    batch.write()
    node = Node(kv, **WINDOWS)
    node.blocks.repair_tail()
    assert node.blocks.head == driver.canonical[-3].hash
    assert node.blocks.canonical_hash(driver.canonical[-2].number) is None
    assert "repaired the end of the chain: 2 damaged blocks dropped" in caplog.text


def test_damaged_diff_is_dropped_with_a_log_line(caplog) -> None:
    kv = MemoryKeyValue()
    driver = Driver(kv, start(kv), seed=5)
    for _ in range(6):
        driver.step()
    head = driver.acknowledged
    key = schema.diff_key(head.number, head.hash)
    row = kv.get(key)
    batch = kv.batch()
    batch.put(key, row[:-1])
    batch.write()
    node = Node(kv, **WINDOWS)
    assert not node.state.has(head.hash)
    assert node.state.has(head.header.parent_hash)
    assert f"dropped the stored state of block {head.number}" in caplog.text
