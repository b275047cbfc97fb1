"""eth_getLogs: matching logs by range, by block, and between two heads."""

from collections.abc import Iterator, Sequence
from typing import Any

from l2engine.types.base import MAX_UINT64, BlockNumber, Hash32, keccak
from l2engine.types.block import Block
from l2engine.types.log_filter import LogFilter
from l2engine.types.receipt import Receipt
from rpc.context import Context, TimeLimit
from rpc.errors import INVALID_PARAMS, SERVER_ERROR, RpcError
from rpc.jsonrpc import RunsOn, method
from rpc.methods.eth.changes import Changes
from rpc.read.blocks import BlockTag
from rpc.read.logs import LogQuery, log_query
from rpc.show.logs import show_log

MAX_ADDRESSES = 1000  # what geth's --rpc.logquerylimit is unless set


def get_logs(context: Context, query: LogQuery) -> list[dict[str, Any]]:
    """The logs of the canonical chain that match, in order."""
    check(query)
    if query.block_hash is not None:
        block = context.blocks.block(query.block_hash)
        if block is None:
            raise RpcError(SERVER_ERROR, "unknown block")
        return list(logs_of_block(block, context.receipts(block.hash), query.filter))
    first, last = _range(context, query)
    return list(_logs_of_range(context, query.filter, first, last))


def _range(context: Context, query: LogQuery) -> tuple[BlockNumber, BlockNumber]:
    head = context.engine.head.number
    first, last = _number(context, query.from_block), _number(context, query.to_block)
    if first > last:
        raise RpcError(INVALID_PARAMS, "invalid block range params")
    if last > head:
        raise RpcError(INVALID_PARAMS, "block range extends beyond current head block")
    limit = context.settings.log_range_limit
    if limit and last - first >= limit:
        raise RpcError(INVALID_PARAMS, f"exceed maximum block range: {limit}")
    return first, last


def check(query: LogQuery) -> None:
    """Refuse more addresses than can be looked for and a range that no block can be in, whatever the head."""
    if len(query.filter.addresses) > MAX_ADDRESSES:
        raise RpcError(SERVER_ERROR, "exceed max addresses or topics per search position")
    first, last = query.from_block, query.to_block
    if "pending" in (first, last):
        raise RpcError(INVALID_PARAMS, "pending logs are not supported")
    if isinstance(first, int) and isinstance(last, int) and first > last:
        raise RpcError(INVALID_PARAMS, "invalid block range params")


def check_ahead(query: LogQuery) -> None:
    """Refuse also a range of which no later block can be a part, and a label at its end: who watches new blocks would wait in vain."""
    check(query)
    ends = [("latest" if tag is None else tag) for tag in (query.from_block, query.to_block)]
    from_number = isinstance(ends[0], int) or ends[0] == "earliest"
    if not ((from_number and (isinstance(ends[1], int) or ends[1] == "latest")) or ends == ["latest", "latest"]):
        raise RpcError(INVALID_PARAMS, "invalid block range params")


def _number(context: Context, reference: BlockTag | None) -> BlockNumber:
    if isinstance(reference, int):
        return reference
    return context.header_or_error(reference or "latest", unset="{label} header not found").number


def _logs_of_range(context: Context, wanted: LogFilter, first: BlockNumber, last: BlockNumber) -> Iterator[dict[str, Any]]:
    may_match, limit = wanted.bloom_test(), TimeLimit()
    for number in context.blocks.log_candidates(first, last, wanted.addresses, [list(group) for group in wanted.topics]):
        limit.check()
        block = context.block(number)
        if block is not None and may_match(block.header.logs_bloom):
            yield from logs_of_block(block, context.receipts(block.hash), wanted)


def changed_logs(context: Context, changes: Changes, query: LogQuery) -> list[dict[str, Any]]:
    """The matching logs of the blocks that left the chain, marked as removed, and then of those that joined it, each the
    oldest first. Of the range only its numbers count."""
    found: list[dict[str, Any]] = []
    may_match = query.filter.bloom_test()
    first = query.from_block if isinstance(query.from_block, int) else 0
    last = query.to_block if isinstance(query.to_block, int) else MAX_UINT64
    for headers, removed in ((reversed(changes.removed), True), (iter(changes.added), False)):
        for header in headers:
            if first <= header.number <= last and may_match(header.logs_bloom):
                block = context.blocks.block(header.hash)
                if block is not None:
                    found.extend(logs_of_block(block, context.receipts(block.hash), query.filter, removed))
    return found


def logs_of_block(block: Block, receipts: Sequence[Receipt], wanted: LogFilter, removed: bool = False) -> Iterator[dict[str, Any]]:
    """The matching logs of one block."""
    header, log_index = block.header, 0
    for tx_index, receipt in enumerate(receipts):
        tx_hash: Hash32 | None = None
        for item in receipt.logs:
            if wanted.matches(item):
                tx_hash = tx_hash or keccak(block.transactions[tx_index])
                yield show_log(item, header.hash, header.number, header.timestamp, tx_hash, tx_index, log_index, removed)
            log_index += 1


METHODS = {"eth_getLogs": method(get_logs, log_query, runs_on=RunsOn.READ)}
