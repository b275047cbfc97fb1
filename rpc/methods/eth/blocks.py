"""Blocks, headers, their receipts, counts and uncles."""

from typing import Any

from l2engine.types.base import Hash32
from rpc.context import Context
from rpc.jsonrpc import RunsOn, method
from rpc.read.blocks import BlockReference, BlockTag, block_reference, block_tag
from rpc.read.values import boolean, hash32, uint
from rpc.show.blocks import show_block, show_header
from rpc.show.receipts import show_receipts


def block_number(context: Context) -> str:
    """The number of the head."""
    return hex(context.engine.head.number)


def get_block(context: Context, reference: BlockReference, full: bool) -> dict[str, Any] | None:
    """A block with its transactions, or their hashes; null when it is not known."""
    block = context.block(reference)
    if block is None:
        return None
    return show_block(block, full, context.receipts(block.hash) if full else ())


def get_header(context: Context, reference: BlockReference) -> dict[str, Any] | None:
    """A header; null when it is not known."""
    header = context.header(reference)
    return None if header is None else show_header(header)


def get_block_receipts(context: Context, reference: BlockReference) -> list[dict[str, Any]] | None:
    """All receipts of a block; null when it is not known."""
    block = context.block(reference)
    return None if block is None else show_receipts(context.config, block, context.receipts(block.hash))


def count_transactions(context: Context, reference: BlockReference) -> str | None:
    """How many transactions a block has; null when it is not known."""
    block = context.block(reference)
    return None if block is None else hex(len(block.transactions))


def count_uncles(context: Context, reference: BlockReference) -> str | None:
    """How many uncles a block has; null when it is not known."""
    block = context.block(reference)
    return None if block is None else hex(len(block.ommers))


def get_uncle(context: Context, reference: Hash32 | BlockTag, index: int) -> dict[str, Any] | None:
    """An uncle's header; null when the block or the uncle does not exist."""
    block = context.block(reference)
    if block is None or index >= len(block.ommers):
        return None
    return show_header(block.ommers[index])


METHODS = {
    "eth_blockNumber": method(block_number),
    "eth_getBlockByNumber": method(get_block, block_tag, boolean, runs_on=RunsOn.READ),
    "eth_getBlockByHash": method(get_block, hash32, boolean, runs_on=RunsOn.READ),
    "eth_getHeaderByNumber": method(get_header, block_tag),
    "eth_getHeaderByHash": method(get_header, hash32),
    "eth_getBlockReceipts": method(get_block_receipts, block_reference, runs_on=RunsOn.READ),
    "eth_getBlockTransactionCountByNumber": method(count_transactions, block_tag),
    "eth_getBlockTransactionCountByHash": method(count_transactions, hash32),
    "eth_getUncleCountByBlockNumber": method(count_uncles, block_tag),
    "eth_getUncleCountByBlockHash": method(count_uncles, hash32),
    "eth_getUncleByBlockNumberAndIndex": method(get_uncle, block_tag, uint),
    "eth_getUncleByBlockHashAndIndex": method(get_uncle, hash32, uint),
}
