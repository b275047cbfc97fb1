"""eth_new*Filter and their polling. A filter remembers the head of its last poll; the next poll answers the changes since."""

from typing import Any

from rpc.context import Context
from rpc.errors import SERVER_ERROR, RpcError
from rpc.installed_filters import Filter
from rpc.jsonrpc import RunsOn, Written, method
from rpc.methods.eth import changes, logs
from rpc.methods.eth.transactions import get_transaction
from rpc.read.logs import LogQuery, log_query
from rpc.read.values import Optional, boolean, string


def new_block_filter(context: Context) -> str:
    """Watch for new blocks."""
    return context.filters.install(lambda now: Filter(_poll_blocks, context.engine.head, now))


def new_filter(context: Context, criteria: LogQuery) -> str:
    """Watch for matching logs in new blocks."""
    logs.check_ahead(context.settings, criteria)
    return context.filters.install(lambda now: Filter(_poll_logs, context.engine.head, now, criteria))


def new_pending_transaction_filter(context: Context, full: bool) -> str:
    """Watch for transactions that enter the pool and could be included."""
    return context.filters.install(lambda now: Filter(_poll_pending, context.engine.head, now, full=full))


def get_filter_changes(context: Context, identity: str) -> list[Any] | Written:
    """The events since the last poll."""
    found = context.filters.get(identity)
    return found.poll(found, context)


def get_filter_logs(context: Context, identity: str) -> Written:
    """All logs of a log filter's own range."""
    found = context.filters.get(identity)
    if found.criteria is None:
        raise RpcError(SERVER_ERROR, "filter not found")
    return logs.get_logs(context, found.criteria)


def uninstall_filter(context: Context, identity: str) -> bool:
    """Forget a filter; false when there was none."""
    return context.filters.remove(identity)


def _poll_blocks(found: Filter, context: Context) -> list[Any]:
    return ["0x" + header.hash.hex() for header in _advance(found, context).added]


def _poll_logs(found: Filter, context: Context) -> Written:
    assert found.criteria is not None
    return logs.get_changed_logs(context, _advance(found, context), found.criteria)


def _poll_pending(found: Filter, context: Context) -> list[Any]:
    new = context.filters.pooled_since(found)
    if not found.full:
        return ["0x" + tx_hash.hex() for tx_hash in new]
    return [shown for tx_hash in new if (shown := get_transaction(context, tx_hash)) is not None]


def _advance(found: Filter, context: Context) -> changes.Changes:
    old, found.head = found.head, context.engine.head
    return changes.between(context.blocks, old, found.head)


METHODS = {
    "eth_newBlockFilter": method(new_block_filter),
    "eth_newFilter": method(new_filter, log_query),
    "eth_newPendingTransactionFilter": method(new_pending_transaction_filter, Optional(boolean, False)),
    "eth_getFilterChanges": method(get_filter_changes, string, runs_on=RunsOn.READ),
    "eth_getFilterLogs": method(get_filter_logs, string, runs_on=RunsOn.READ),
    "eth_uninstallFilter": method(uninstall_filter, string),
}
