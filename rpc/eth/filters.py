"""eth_new*Filter and their polling. A filter remembers the head that its owner has seen; a poll tells what changed since."""

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from l2engine.types.base import Hash32
from l2engine.types.block import Header
from rpc.codec import LogFilter, Optional, boolean, log_filter, string
from rpc.context import Context
from rpc.errors import SERVER_ERROR, RpcError
from rpc.eth import changes, logs
from rpc.jsonrpc import Place, method

LIFETIME_SECONDS = 300  # geth forgets a filter that nobody polls for five minutes
MAX_FILTERS = 10_000


@dataclass(slots=True)
class Filter:
    """One installed filter."""

    poll: Callable[["Filter", Context], list[Any]]
    head: Header
    """The head at the last poll."""
    polled_at: float
    criteria: LogFilter | None = None
    seen: frozenset[Hash32] = frozenset()
    """Pool transactions told already."""


class Filters:
    """The installed filters; any thread may use it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._filters: dict[str, Filter] = {}

    def install(self, make: Callable[[float], Filter]) -> str:
        """Keep a filter and answer its id."""
        now = self._clock()
        with self._lock:
            for identity in [i for i, f in self._filters.items() if now - f.polled_at > LIFETIME_SECONDS]:
                del self._filters[identity]
            if len(self._filters) >= MAX_FILTERS:
                raise RpcError(SERVER_ERROR, "too many filters")
            identity = "0x" + secrets.token_bytes(16).hex()
            self._filters[identity] = make(now)
        return identity

    def get(self, identity: str) -> Filter:
        """A filter by id; using it keeps it alive."""
        with self._lock:
            found = self._filters.get(identity)
            if found is None:
                raise RpcError(SERVER_ERROR, "filter not found")
            found.polled_at = self._clock()
            return found

    def remove(self, identity: str) -> bool:
        """Forget a filter; False when there was none."""
        with self._lock:
            return self._filters.pop(identity, None) is not None


def new_block_filter(context: Context) -> str:
    """Watch for new blocks."""
    return context.filters.install(lambda now: Filter(_poll_blocks, context.engine.head, now))


def new_filter(context: Context, criteria: LogFilter) -> str:
    """Watch for matching logs in new blocks."""
    return context.filters.install(lambda now: Filter(_poll_logs, context.engine.head, now, criteria))


def new_pending_transaction_filter(context: Context, full: bool | None) -> str:
    """Watch for transactions that enter the pool."""
    seen = frozenset(context.pool.hashes())
    return context.filters.install(lambda now: Filter(_poll_pending, context.engine.head, now, None, seen))


def get_filter_changes(context: Context, identity: str) -> list[Any]:
    """What happened since the last poll."""
    found = context.filters.get(identity)
    return found.poll(found, context)


def get_filter_logs(context: Context, identity: str) -> list[dict[str, Any]]:
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


def _poll_logs(found: Filter, context: Context) -> list[Any]:
    assert found.criteria is not None
    return logs.changed_logs(context, _advance(found, context), found.criteria)


def _poll_pending(found: Filter, context: Context) -> list[Any]:
    now = frozenset(context.pool.hashes())
    new, found.seen = now - found.seen, now
    return ["0x" + tx_hash.hex() for tx_hash in new]


def _advance(found: Filter, context: Context) -> changes.Changes:
    old, found.head = found.head, context.engine.head
    return changes.between(context.engine, old, found.head)


METHODS = {
    "eth_newBlockFilter": method(new_block_filter),
    "eth_newFilter": method(new_filter, log_filter),
    "eth_newPendingTransactionFilter": method(new_pending_transaction_filter, Optional(boolean)),
    "eth_getFilterChanges": method(get_filter_changes, string, place=Place.READ),
    "eth_getFilterLogs": method(get_filter_logs, string, place=Place.READ),
    "eth_uninstallFilter": method(uninstall_filter, string),
}
