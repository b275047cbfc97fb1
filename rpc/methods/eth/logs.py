"""eth_getLogs: matching logs by range, by block, and between two heads."""

from collections.abc import Iterable, Iterator
from typing import Any

from l2engine.types.base import MAX_UINT64, BlockNumber
from l2engine.types.header import Header
from l2engine.types.json_text import JsonText
from l2engine.types.limits import RpcSettings
from l2engine.types.log_filter import LogFilter
from rpc.context import Context
from rpc.errors import INVALID_PARAMS, SERVER_ERROR, RpcError
from rpc.jsonrpc import RunsOn, Written, method
from rpc.methods.eth.changes import Changes
from rpc.read.blocks import BlockTag
from rpc.read.logs import LogQuery, log_query
from rpc.show.logs import LogWriter, matching_logs


def get_logs(context: Context, query: LogQuery) -> Written:
    """The logs of the canonical chain that match, in order."""
    check(context.settings, query)
    if query.block_hash is None:
        headers = _candidates(context, query.filter, *_range(context, query))
    else:
        header = context.header(query.block_hash)
        if header is None:
            raise RpcError(SERVER_ERROR, "unknown block")
        headers = iter((header,))
    limit = context.settings.log_count_limit
    return Written(lambda text: _write(context, text, query.filter, ((header, False) for header in headers), limit))


def get_changed_logs(context: Context, changes: Changes, query: LogQuery) -> Written:
    """The logs of `changed_logs`, however many: a poll that is refused would lose them."""
    return Written(lambda text: _write(context, text, query.filter, _changed(changes, query)))


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


def check(settings: RpcSettings, query: LogQuery) -> None:
    """Refuse more addresses or topics than can be looked for and a range that no block can be in, whatever the head."""
    limit, wanted = settings.log_query_limit, query.filter
    if limit and max(len(wanted.addresses), *map(len, wanted.topics), 0) > limit:
        raise RpcError(SERVER_ERROR, "exceed max addresses or topics per search position")
    first, last = query.from_block, query.to_block
    if "pending" in (first, last):
        raise RpcError(INVALID_PARAMS, "pending logs are not supported")
    if isinstance(first, int) and isinstance(last, int) and first > last:
        raise RpcError(INVALID_PARAMS, "invalid block range params")


def check_ahead(settings: RpcSettings, query: LogQuery) -> None:
    """Refuse also a range of which no later block can be a part, and a label at its end: who watches new blocks would wait in vain."""
    check(settings, query)
    ends = [("latest" if tag is None else tag) for tag in (query.from_block, query.to_block)]
    from_number = isinstance(ends[0], int) or ends[0] == "earliest"
    if not ((from_number and (isinstance(ends[1], int) or ends[1] == "latest")) or ends == ["latest", "latest"]):
        raise RpcError(INVALID_PARAMS, "invalid block range params")


def _number(context: Context, reference: BlockTag | None) -> BlockNumber:
    if isinstance(reference, int):
        return reference
    return context.header_or_error(reference or "latest", unset="{label} header not found").number


def _candidates(context: Context, wanted: LogFilter, first: BlockNumber, last: BlockNumber) -> Iterator[Header]:
    """The headers in a range whose blocks may have matching logs."""
    may_match, check_time = wanted.bloom_test(), context.request_time.check
    topics = [list(group) for group in wanted.topics]
    for number in context.blocks.log_candidates(first, last, wanted.addresses, topics, check_time):
        check_time()
        header = context.header(number)
        if header is not None and may_match(header.logs_bloom):
            yield header


def _write(context: Context, text: JsonText, wanted: LogFilter, headers: Iterable[tuple[Header, bool]], limit: int = 0) -> None:
    """Write the matching logs of blocks, each with a flag whether it has left the chain; at most `limit` of them (0: any number)."""
    writer, count = LogWriter(wanted), 0
    text.write(b"[")
    for header, removed in headers:
        context.request_time.check()
        block, receipts = context.blocks.block(header.hash), context.blocks.receipts_row(header.hash)
        if block is None or receipts is None:
            continue
        found, shown = writer.of_block(block, receipts, removed)
        if found:
            text.write(b"," + shown if count else shown)
        count += found
        if limit and count > limit:
            raise RpcError(INVALID_PARAMS, f"query exceeds max results {limit}")
    text.write(b"]")


def changed_logs(context: Context, changes: Changes, query: LogQuery) -> list[dict[str, Any]]:
    """The matching logs of the blocks that left the chain, marked as removed, and then of those that joined it, each the
    oldest first. Of the range only its numbers count."""
    found: list[dict[str, Any]] = []
    for header, removed in _changed(changes, query):
        block = context.blocks.block(header.hash)
        if block is not None:
            logs = [receipt.logs for receipt in context.receipts(header.hash)]
            found.extend(matching_logs(block, logs, query.filter, removed))
    return found


def _changed(changes: Changes, query: LogQuery) -> Iterator[tuple[Header, bool]]:
    """The blocks that may have matching logs, each with a flag whether it has left the chain."""
    may_match = query.filter.bloom_test()
    first = query.from_block if isinstance(query.from_block, int) else 0
    last = query.to_block if isinstance(query.to_block, int) else MAX_UINT64
    for headers, removed in ((reversed(changes.removed), True), (iter(changes.added), False)):
        for header in headers:
            if first <= header.number <= last and may_match(header.logs_bloom):
                yield header, removed


METHODS = {"eth_getLogs": method(get_logs, log_query, runs_on=RunsOn.READ)}
