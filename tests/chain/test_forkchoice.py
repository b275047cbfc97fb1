"""Ancestors and the way between two heads, over headers that stand in a store without any state."""

import pytest

from l2engine.chain.forkchoice import is_ancestor, labelled, switch
from l2engine.errors import InvalidForkchoice, UnknownBlock
from l2engine.store.blocks import BlockStore
from l2engine.store.kv import MemoryKeyValue
from l2engine.types.base import EMPTY_BLOOM, EMPTY_OMMERS_HASH, EMPTY_ROOT, ZERO_HASH
from l2engine.types.block import Block
from l2engine.types.header import Header


class Tree:
    """Blocks by name; the children of "a" are made on "a"."""

    def __init__(self) -> None:
        self.kv = MemoryKeyValue()
        self.blocks = BlockStore(self.kv)
        self.named: dict[str, Block] = {}

    def grow(self, parent: str | None, *names: str) -> None:
        for name in names:
            above = self.named[parent].header if parent else None
            header = Header(
                above.hash if above else ZERO_HASH, EMPTY_OMMERS_HASH, bytes(20), EMPTY_ROOT, EMPTY_ROOT, EMPTY_ROOT, EMPTY_BLOOM, 0,
                above.number + 1 if above else 0, 30_000_000, 0, 0, name.encode(), bytes(32), bytes(8), 1,
            )  # fmt: skip
            self.named[name] = Block(header, ())
            batch = self.kv.batch()
            self.blocks.put(batch, self.named[name], ())
            batch.write()
            parent = name

    def make_canonical(self, *names: str) -> None:
        batch = self.kv.batch()
        self.blocks.set_canonical(batch, (), [self.named[name] for name in names])
        batch.write()

    def header(self, name: str) -> Header:
        return self.named[name].header


@pytest.fixture
def tree() -> Tree:
    """The canonical chain g a b c d, and x y on a."""
    tree = Tree()
    tree.grow(None, "g", "a", "b", "c", "d")
    tree.grow("a", "x", "y")
    tree.make_canonical("g", "a", "b", "c", "d")
    return tree


@pytest.mark.parametrize(
    ("old", "new", "ancestor", "removed", "added"),
    [
        ("b", "d", "b", "", "cd"),
        ("d", "b", "b", "dc", ""),
        ("d", "y", "a", "dcb", "xy"),
        ("y", "d", "a", "yx", "bcd"),
        ("y", "y", "y", "", ""),
        ("x", "b", "a", "x", "b"),
    ],
)
def test_switch_goes_through_the_last_common_ancestor(tree: Tree, old: str, new: str, ancestor: str, removed: str, added: str) -> None:
    way = switch(tree.blocks, tree.header(old), tree.header(new))
    assert way.ancestor == tree.header(ancestor)
    assert way.removed == tuple(tree.named[name] for name in removed)
    assert way.added == tuple(tree.named[name] for name in added)


def test_switch_between_strangers_is_refused(tree: Tree) -> None:
    tree.grow(None, "other")
    with pytest.raises(UnknownBlock, match="missing block"):
        switch(tree.blocks, tree.header("d"), tree.header("other"))


@pytest.mark.parametrize(
    ("ancestor", "head", "expected"),
    [
        ("a", "d", True),
        ("d", "d", True),
        ("a", "y", True),
        ("x", "y", True),
        ("b", "y", False),
        ("x", "d", False),
        ("d", "a", False),
        ("y", "x", False),
    ],
)
def test_ancestor(tree: Tree, ancestor: str, head: str, expected: bool) -> None:
    assert is_ancestor(tree.blocks, tree.header(ancestor), tree.header(head)) is expected


def test_labels_are_checked_against_the_new_head(tree: Tree) -> None:
    hashes = {name: block.hash for name, block in tree.named.items()}
    assert labelled(tree.blocks, "safe", ZERO_HASH, tree.header("d")) is None
    assert labelled(tree.blocks, "safe", hashes["x"], tree.header("y")) == hashes["x"]
    assert labelled(tree.blocks, "safe", hashes["d"], tree.header("b")) == hashes["d"]  # above a canonical ancestor
    with pytest.raises(InvalidForkchoice, match=r"^safe block not in canonical chain$"):
        labelled(tree.blocks, "safe", hashes["b"], tree.header("y"))
    with pytest.raises(InvalidForkchoice, match=r"^final block not available in database$"):
        labelled(tree.blocks, "final", b"\1" * 32, tree.header("y"))
