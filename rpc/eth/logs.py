"""eth_getLogs: matching logs by range, by block, and between two heads."""

from collections.abc import Iterator, Sequence
from typing import Any

from l2engine.types.base import MAX_UINT64, BlockNumber, Hash32, keccak
from l2engine.types.block import Block
from l2engine.types.receipt import Log, Receipt
from rpc import render
from rpc.codec import BlockTag, LogFilter, log_filter
from rpc.context import Context, TimeLimit
from rpc.errors import INVALID_PARAMS, SERVER_ERROR, RpcError
from rpc.eth.changes import Changes
from rpc.jsonrpc import Place, method

MAX_ADDRESSES = 1000  # what geth's --rpc.logquerylimit is unless set


def get_logs(context: Context, wanted: LogFilter) -> list[dict[str, Any]]:
    """The logs of the canonical chain that match, in order."""
    check(wanted)
    if wanted.block_hash is not None:
        block = context.blocks.block(wanted.block_hash)
        if block is None:
            raise RpcError(SERVER_ERROR, "unknown block")
        return list(logs_of_block(block, context.receipts(block.hash), wanted))
    first, last = _range(context, wanted)
    return list(_logs_of_range(context, wanted, first, last))


def _range(context: Context, wanted: LogFilter) -> tuple[BlockNumber, BlockNumber]:
    head = context.engine.head.number
    first, last = _number(context, wanted.from_block), _number(context, wanted.to_block)
    if first > last:
        raise RpcError(INVALID_PARAMS, "invalid block range params")
    if last > head:
        raise RpcError(INVALID_PARAMS, "block range extends beyond current head block")
    limit = context.settings.log_range_limit
    if limit and last - first >= limit:
        raise RpcError(INVALID_PARAMS, f"exceed maximum block range: {limit}")
    return first, last


def check(wanted: LogFilter) -> None:
    """Refuse more addresses than can be looked for and a range that no block can be in, whatever the head."""
    if len(wanted.addresses) > MAX_ADDRESSES:
        raise RpcError(SERVER_ERROR, "exceed max addresses or topics per search position")
    first, last = wanted.from_block, wanted.to_block
    if "pending" in (first, last):
        raise RpcError(INVALID_PARAMS, "pending logs are not supported")
    if isinstance(first, int) and isinstance(last, int) and first > last:
        raise RpcError(INVALID_PARAMS, "invalid block range params")


def _number(context: Context, reference: BlockTag | None) -> BlockNumber:
    if isinstance(reference, int):
        return reference
    return context.header_or_error(reference or "latest").number


def _logs_of_range(context: Context, wanted: LogFilter, first: BlockNumber, last: BlockNumber) -> Iterator[dict[str, Any]]:
    masks, limit = bloom_masks(wanted), TimeLimit()
    for number in context.blocks.log_candidates(first, last, wanted.addresses, [list(group) for group in wanted.topics]):
        limit.check()
        block = context.block(number)
        if block is not None and may_match(block.header.logs_bloom, masks):
            yield from logs_of_block(block, context.receipts(block.hash), wanted)


def changed_logs(context: Context, changes: Changes, wanted: LogFilter) -> list[dict[str, Any]]:
    """The matching logs of the blocks that left the chain, marked as removed, and then of those that joined it, each the
    oldest first. Of the range only its numbers count."""
    found: list[dict[str, Any]] = []
    masks = bloom_masks(wanted)
    first = wanted.from_block if isinstance(wanted.from_block, int) else 0
    last = wanted.to_block if isinstance(wanted.to_block, int) else MAX_UINT64
    for headers, removed in ((reversed(changes.removed), True), (iter(changes.added), False)):
        for header in headers:
            if first <= header.number <= last and may_match(header.logs_bloom, masks):
                block = context.blocks.block(header.hash)
                if block is not None:
                    found.extend(logs_of_block(block, context.receipts(block.hash), wanted, removed))
    return found


def bloom_masks(wanted: LogFilter) -> list[list[int]]:
    """The bloom bits of each condition's alternatives."""
    return [[_bloom_bits(item) for item in group] for group in (wanted.addresses, *wanted.topics) if group]


def may_match(bloom: bytes, masks: Sequence[Sequence[int]]) -> bool:
    """False when the block's bloom filter rules out every alternative of a condition, or that there are logs at all."""
    bits = int.from_bytes(bloom, "big")
    return bool(bits) and all(any(mask & bits == mask for mask in alternatives) for alternatives in masks)


def _bloom_bits(item: bytes) -> int:
    digest = keccak(item)
    return sum({1 << (int.from_bytes(digest[i : i + 2], "big") & 2047) for i in (0, 2, 4)})


def logs_of_block(block: Block, receipts: Sequence[Receipt], wanted: LogFilter, removed: bool = False) -> Iterator[dict[str, Any]]:
    """The matching logs of one block."""
    header, log_index = block.header, 0
    for tx_index, receipt in enumerate(receipts):
        tx_hash: Hash32 | None = None
        for item in receipt.logs:
            if matches(item, wanted):
                tx_hash = tx_hash or keccak(block.transactions[tx_index])
                yield render.log(item, header.hash, header.number, header.timestamp, tx_hash, tx_index, log_index, removed)
            log_index += 1


def matches(item: Log, wanted: LogFilter) -> bool:
    """Whether one log is wanted."""
    if wanted.addresses and item.address not in wanted.addresses:
        return False
    if len(wanted.topics) > len(item.topics):
        return False
    return all(not group or topic in group for group, topic in zip(wanted.topics, item.topics, strict=False))


METHODS = {"eth_getLogs": method(get_logs, log_filter, place=Place.READ)}
