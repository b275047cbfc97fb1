"""From one head to another: which blocks left the canonical chain and which joined it. Filters and subscriptions report these."""

from collections.abc import Sequence
from dataclasses import dataclass

from l2engine.store.blocks import BlockStore
from l2engine.types.header import Header

MAX_DEPTH = 10_000  # a consumer further behind than this starts again at the head


@dataclass(frozen=True, slots=True)
class Changes:
    """The events between two heads."""

    removed: Sequence[Header]
    """The newest first."""
    added: Sequence[Header]
    """The oldest first."""


def between(blocks: BlockStore, old: Header, new: Header) -> Changes:
    """Walk both chains back to where they meet."""
    removed: list[Header] = []
    added: list[Header] = []
    left: Header | None = old
    right: Header | None = new
    while left is not None and right is not None and left.hash != right.hash:
        if len(removed) + len(added) > MAX_DEPTH:
            return Changes((), (new,))
        if left.number >= right.number:
            removed.append(left)
            left = blocks.header(left.parent_hash)
        else:
            added.append(right)
            right = blocks.header(right.parent_hash)
    return Changes(removed, added[::-1])
