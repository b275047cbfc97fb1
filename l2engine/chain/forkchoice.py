"""How two branches relate: ancestry, and which blocks leave and join the canonical chain when the head moves."""

from dataclasses import dataclass

from l2engine.errors import InvalidForkchoice, UnknownBlock
from l2engine.store.blocks import BlockStore
from l2engine.types.base import ZERO_HASH, Hash32
from l2engine.types.block import Block
from l2engine.types.header import Header
from l2engine.types.payload import ForkchoiceState


@dataclass(frozen=True, slots=True)
class Switch:
    """The way from one head to another, through their last common ancestor."""

    ancestor: Header
    removed: tuple[Block, ...]
    """From the old head down."""
    added: tuple[Block, ...]
    """Up to the new head."""


def switch(blocks: BlockStore, old: Header, new: Header) -> Switch:
    """The blocks between two heads; `UnknownBlock` when they share no ancestor here."""
    removed, added = [], []
    while old.hash != new.hash:
        if old.number >= new.number:
            removed.append(_block(blocks, old.hash))
            old = _header(blocks, old.parent_hash)
        else:
            added.append(_block(blocks, new.hash))
            new = _header(blocks, new.parent_hash)
    return Switch(old, tuple(removed), tuple(reversed(added)))


def labelled(blocks: BlockStore, label: str, wanted: Hash32, head: Header) -> Hash32 | None:
    """The block that a forkchoice calls `label` ("safe" or "final"); None when it leaves the label as it is.

    `InvalidForkchoice` when the block is unknown or not on the chain of `head`; a canonical block above a head that is
    itself canonical is accepted, as op-geth does.
    """
    if wanted == ZERO_HASH:
        return None
    header = blocks.header(wanted)
    if header is None:
        raise InvalidForkchoice(f"{label} block not available in database")
    if not is_ancestor(blocks, header, head) and not (blocks.is_canonical(header) and blocks.is_canonical(head)):
        raise InvalidForkchoice(f"{label} block not in canonical chain")
    return wanted


def labels(blocks: BlockStore, state: ForkchoiceState, head: Header) -> tuple[Hash32 | None, Hash32 | None]:
    """The safe and finalized hashes to store for a new head, None for those left alone. Errors as `labelled`."""
    finalized = labelled(blocks, "final", state.finalized, head)
    return labelled(blocks, "safe", state.safe, head), finalized


def is_ancestor(blocks: BlockStore, ancestor: Header, head: Header) -> bool:
    """Whether `ancestor` lies on the chain that ends in `head`, itself included."""
    while head.number > ancestor.number:
        if blocks.is_canonical(head):  # from here down the canonical index answers
            return blocks.is_canonical(ancestor)
        parent = blocks.header(head.parent_hash)
        if parent is None:
            return False
        head = parent
    return head.hash == ancestor.hash


def _header(blocks: BlockStore, block_hash: Hash32) -> Header:
    header = blocks.header(block_hash)
    if header is None:
        raise UnknownBlock(f"missing block 0x{block_hash.hex()}")
    return header


def _block(blocks: BlockStore, block_hash: Hash32) -> Block:
    block = blocks.block(block_hash)
    if block is None:
        raise UnknownBlock(f"missing block 0x{block_hash.hex()}")
    return block
