"""The filters that eth_new*Filter installed, by id. Their results are computed in `rpc/methods/eth/filters.py`."""

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from l2engine.types.base import Hash32
from l2engine.types.header import Header
from rpc.errors import SERVER_ERROR, RpcError
from rpc.jsonrpc import Written
from rpc.read.logs import LogQuery

LIFETIME_SECONDS = 300  # geth forgets a filter that is not polled for five minutes
MAX_FILTERS = 10_000
MAX_SIZE = 1_000_000  # addresses and topics of all filters together
MAX_PENDING = 10_000  # transactions that one filter remembers between two polls


@dataclass(slots=True)
class Filter:
    """One installed filter."""

    poll: "Callable[..., list[Any] | Written]"
    """A function (this filter, the context) → the new results."""
    head: Header
    """The head at the last poll."""
    polled_at: float
    criteria: LogQuery | None = None
    pending: "deque[Hash32] | None" = None
    """Executable pool transactions to report at the next poll; None for other kinds of filters."""
    full: bool = False
    """Whether to report whole pending transactions instead of hashes."""


class Filters:
    """The installed filters; any thread may use it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._filters: dict[str, Filter] = {}

    def install(self, make: Callable[[float], Filter]) -> str:
        """Install a filter and return its id. `RpcError` when there are too many."""
        now = self._clock()
        with self._lock:
            for identity in [i for i, f in self._filters.items() if now - f.polled_at > LIFETIME_SECONDS]:
                del self._filters[identity]
            size = sum(f.criteria.filter.size for f in self._filters.values() if f.criteria is not None)
            if len(self._filters) >= MAX_FILTERS or size > MAX_SIZE:
                raise RpcError(SERVER_ERROR, "too many filters")
            identity = "0x" + secrets.token_bytes(16).hex()
            self._filters[identity] = make(now)
        return identity

    def get(self, identity: str) -> Filter:
        """A filter by id; the call also renews its lifetime. `RpcError` when there is none."""
        with self._lock:
            found = self._filters.get(identity)
            if found is None:
                raise RpcError(SERVER_ERROR, "filter not found")
            found.polled_at = self._clock()
            return found

    def pool_grew(self, hashes: Iterable[Hash32]) -> None:
        """Remember new executable transactions for the filters that want them."""
        with self._lock:
            for found in self._filters.values():
                if found.pending is not None:
                    found.pending.extend(hashes)

    def remove(self, identity: str) -> bool:
        """Forget a filter; False when there was none."""
        with self._lock:
            return self._filters.pop(identity, None) is not None
