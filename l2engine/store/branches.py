"""Which blocks above the base keep their state when the head has moved, and which dropped blocks lose it.

A dropped block costs memory, and time at every start. Its header and body stay, so that a rollup node may still come back to it: the
engine executes it again. op-geth drops the state of a side block as well, once its 128 layers have left the block's parent behind.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from l2engine.types.base import BlockNumber, Hash32


class Link(Protocol):
    """A block that has a state above the base."""

    @property
    def number(self) -> BlockNumber: ...
    @property
    def hash(self) -> Hash32: ...
    @property
    def parent_hash(self) -> Hash32: ...
    @property
    def size(self) -> int:
        """What its state takes, in bytes."""


def choose_kept(
    links: Iterable[Link], head: Hash32, can_stand_on: Callable[[Hash32], bool], side_blocks: int, side_bytes: int
) -> set[Hash32]:
    """The blocks to keep: those below the head, those on top of it, which may become the head next, and side branches whole.

    A side branch must begin on a block below the head, or on one that `can_stand_on` accepts. Those that begin highest come first, as
    long as no more than `side_blocks` blocks and `side_bytes` bytes are kept.
    """
    ordered = sorted(links, key=lambda link: (link.number, link.hash))
    parents = {link.hash: link.parent_hash for link in ordered}
    kept: set[Hash32] = set()
    ancestor = head
    while ancestor in parents and ancestor not in kept:
        kept.add(ancestor)
        ancestor = parents[ancestor]
    above = {head}
    roots: list[list[Link]] = []
    branch_of: dict[Hash32, list[Link]] = {}
    for link in ordered:
        if link.hash in kept:
            continue
        if link.parent_hash in above:
            above.add(link.hash)
        elif link.parent_hash in branch_of:
            branch = branch_of[link.hash] = branch_of[link.parent_hash]
            branch.append(link)
        elif link.parent_hash in kept or can_stand_on(link.parent_hash):
            branch_of[link.hash] = [link]
            roots.append(branch_of[link.hash])
    for branch in reversed(roots):
        size = sum(link.size for link in branch)
        if len(branch) <= side_blocks and size <= side_bytes:
            side_blocks, side_bytes = side_blocks - len(branch), side_bytes - size
            kept.update(link.hash for link in branch)
    return kept | above
