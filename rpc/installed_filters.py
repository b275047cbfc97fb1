"""The filters that eth_new*Filter installed, by id. Their results are computed in `rpc/methods/eth/filters.py`."""

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from l2engine.types.base import Hash32
from l2engine.types.header import Header
from rpc.errors import SERVER_ERROR, RpcError
from rpc.jsonrpc import Written
from rpc.read.logs import LogQuery

LIFETIME_SECONDS = 300  # geth forgets a filter that is not polled for five minutes
MAX_FILTERS = 10_000
MAX_SIZE = 1_000_000  # addresses and topics of all filters together
MAX_PENDING = 10_000  # pool transactions that are remembered for the filters between two polls


@dataclass(slots=True)
class Filter:
    """One installed filter."""

    poll: "Callable[..., list[Any] | Written]"
    """A function (this filter, the context) → the new results."""
    head: Header
    """The head at the last poll."""
    polled_at: float
    criteria: LogQuery | None = None
    pooled: int = 0
    """How many pool transactions there had been (`Filters.pooled`) at the last poll."""
    full: bool = False
    """Whether to report whole pending transactions instead of hashes."""

    @property
    def size(self) -> int:
        """Addresses and topics, a measure of the memory that the filter takes."""
        return 0 if self.criteria is None else self.criteria.filter.size


class Filters:
    """The installed filters; any thread may use it. What a call costs does not depend on how many there are."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._filters: dict[str, Filter] = {}
        """By id, the one that was not polled for the longest time first."""
        self._size = 0
        self._pooled: deque[Hash32] = deque(maxlen=MAX_PENDING)
        self._pooled_count = 0

    def install(self, make: Callable[[float], Filter]) -> str:
        """Install a filter and return its id. `RpcError` when there are too many."""
        now = self._clock()
        with self._lock:
            self._forget_until(now - LIFETIME_SECONDS)
            if len(self._filters) >= MAX_FILTERS or self._size > MAX_SIZE:
                raise RpcError(SERVER_ERROR, "too many filters")
            identity = "0x" + secrets.token_bytes(16).hex()
            self._filters[identity] = installed = make(now)
            installed.pooled = self._pooled_count
            self._size += installed.size
        return identity

    def get(self, identity: str) -> Filter:
        """A filter by id; the call also renews its lifetime. `RpcError` when there is none."""
        with self._lock:
            found = self._filters.pop(identity, None)
            if found is None:
                raise RpcError(SERVER_ERROR, "filter not found")
            self._filters[identity] = found
            found.polled_at = self._clock()
            return found

    def pool_grew(self, hashes: Sequence[Hash32]) -> None:
        """Remember new executable transactions for the filters that want them."""
        with self._lock:
            self._pooled.extend(hashes)
            self._pooled_count += len(hashes)

    def pooled_since(self, found: Filter) -> list[Hash32]:
        """The transactions that have entered the pool since the filter's last poll, without the oldest when they are very many."""
        with self._lock:
            new = min(self._pooled_count - found.pooled, len(self._pooled))
            found.pooled = self._pooled_count
            return list(islice(self._pooled, len(self._pooled) - new, None))

    def remove(self, identity: str) -> bool:
        """Forget a filter; False when there was none."""
        with self._lock:
            found = self._filters.pop(identity, None)
            if found is None:
                return False
            self._size -= found.size
            return True

    def _forget_until(self, moment: float) -> None:
        """Forget the filters whose last poll was before `moment`."""
        while self._filters:
            identity, oldest = next(iter(self._filters.items()))
            if oldest.polled_at >= moment:
                return
            del self._filters[identity]
            self._size -= oldest.size
