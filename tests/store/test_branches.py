"""Which dropped blocks keep their state: by number, place and weight; and that a store with thousands of them is as small as one without."""

import random
from dataclasses import dataclass

import pytest

from l2engine.store import schema
from l2engine.store.branches import choose_kept
from l2engine.store.genesis import write_genesis
from l2engine.store.kv import MemoryKeyValue
from l2engine.store.native import NativeKeyValue, NativeState
from l2engine.store.state import SIDE_LAYERS, LayeredState
from l2engine.types.block import Block
from tests.store.model import ModelAccount, make_block, random_diff, state_root

DROPPED = 5_000


@dataclass(frozen=True)
class Link:
    number: int
    hash: bytes
    parent_hash: bytes
    size: int = 1


def links(*branches: str, size: int = 1) -> list[Link]:
    """Chains such as "base:A1 A2": a parent and the blocks that follow it; a block's number is the digit in its name."""
    found = []
    for branch in branches:
        parent, _, names = branch.partition(":")
        for name in names.split():
            found.append(Link(int(name[1]), name.encode(), parent.encode(), size))
            parent = name
    return found


def kept(found: list[Link], head: str, side_blocks: int = 9, side_bytes: int = 9) -> str:
    chosen = choose_kept(found, head.encode(), lambda parent: parent == b"base", side_blocks, side_bytes)
    return " ".join(sorted(link.hash.decode() for link in found if link.hash in chosen))


def test_side_branches_stay_while_they_stand_on_the_base_or_above() -> None:
    assert kept(links("base:A1 A2 A3", "base:B1 B2", "A2:C3"), "A3") == "A1 A2 A3 B1 B2 C3"


def test_what_the_base_has_left_behind_goes_with_all_that_stands_on_it() -> None:
    assert kept(links("base:A2 A3", "older:B1 B2 B3", "B2:C3"), "A3") == "A2 A3"


def test_blocks_on_top_of_the_head_always_stay() -> None:
    assert kept(links("base:A1 A2 A3", "A1:B2 B3", "A2:C3"), "A1", side_blocks=0) == "A1 A2 A3 B2 B3 C3"
    assert kept(links("base:A1 A2", "base:B1"), "base", side_blocks=0) == "A1 A2 B1"


def test_the_branches_that_begin_highest_stay_whole_or_not_at_all() -> None:
    found = links("base:A1 A2 A3", "base:B1 B2 B3", "A1:C2 C3", "A2:D3")
    assert kept(found, "A3", side_blocks=3) == "A1 A2 A3 C2 C3 D3"
    assert kept(found, "A3", side_blocks=2) == "A1 A2 A3 D3"
    assert kept(found, "A3", side_bytes=3) == "A1 A2 A3 C2 C3 D3"


def test_damaged_rows_that_name_each_other_do_not_hang() -> None:
    assert kept([Link(1, b"A1", b"B1"), Link(1, b"B1", b"A1")], "A1") == "A1 B1"


class Chain:
    """Blocks over either store, and one dropped block beside each."""

    def __init__(self, native: bool) -> None:
        self.kv = NativeKeyValue(None) if native else MemoryKeyValue()
        self.kind = NativeState if native else LayeredState
        alloc = {bytes([index]) * 20: ModelAccount(0, 5) for index in range(1, 5)}
        genesis = make_block(None, state_root(alloc), 0)
        write_genesis(self.kv, genesis, alloc, b"{}")
        self.state = self.kind(self.kv)
        self.head, self.after, self.rng = genesis, alloc, random.Random(1)

    def execute(self, parent: Block, salt: int) -> Block:
        _, diff = random_diff(self.after, random.Random(salt), size=1)
        prepared = self.state.prepare(parent.hash, diff)
        block = make_block(parent.header, prepared.root, salt)
        batch = self.kv.batch()
        batch.put(schema.number_key(block.hash), schema.u64(block.number))
        self.state.push(batch, block, prepared)
        batch.write()
        self.state.attach(block, prepared)
        return block

    def move(self, head: Block) -> None:
        batch = self.kv.batch()
        batch.put(schema.HEAD, head.hash)
        batch.write()
        self.state.set_head([head.header])
        self.head = head

    def diffs(self) -> int:
        return sum(1 for _ in self.kv.iterate(b"d", b"e"))


@pytest.mark.parametrize("native", [False, True], ids=["reference", "native"])
def test_thousands_of_dropped_blocks_leave_nothing_behind(native: bool) -> None:
    chain = Chain(native)
    salt = 0
    while salt < DROPPED:
        parent = chain.head
        for _ in range(100):
            salt += 1
            chain.execute(parent, salt)
        salt += 1
        chain.move(chain.execute(parent, salt))
        assert chain.diffs() <= chain.head.number + SIDE_LAYERS
    for _ in range(130):
        salt += 1
        chain.move(chain.execute(chain.head, salt))
    assert chain.diffs() == 128


@pytest.mark.parametrize("native", [False, True], ids=["reference", "native"])
def test_a_database_full_of_dropped_blocks_is_cleaned_at_the_start(native: bool) -> None:
    """As earlier versions left them."""
    chain = Chain(native)
    parent, salt = chain.head, 0
    for salt in range(300):
        chain.execute(parent, salt)
    last = chain.execute(parent, salt + 1)
    batch = chain.kv.batch()
    batch.put(schema.HEAD, last.hash)
    batch.write()
    assert chain.diffs() == 301
    again = chain.kind(chain.kv)
    assert again.has(last.hash) and chain.diffs() == 1 + SIDE_LAYERS
