"""Lets the sender of a transaction wait for the block that the dev chain makes of it, so that the receipt is there when the hash is."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from l2engine.chain.pool import Pool
from l2engine.types.base import Hash32

WAIT_SECONDS = 8.0  # below the 10 s after which viem gives a request up; a transaction that runs longer is mined all the same


class Attempts:
    """Counts the sequencer's attempts to empty the pool. Senders wait in threads of their own."""

    def __init__(self, wait_seconds: float = WAIT_SECONDS) -> None:
        self._wait_seconds = wait_seconds
        self._changed = threading.Condition()
        self._begun = self._ended = 0
        self._closed = False

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Around blocks that are made until the pool is empty or the rest of it cannot be included now."""
        with self._changed:
            self._begun += 1
        try:
            yield
        finally:
            with self._changed:
                self._ended = self._begun
                self._changed.notify_all()

    def look(self) -> None:
        """Let those go whose transaction is no longer in the pool."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Let everybody go: no more blocks are made."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait(self, pool: Pool, transaction_hash: Hash32) -> None:
        """Return when a transaction that was put into the pool has left it, or cannot be included now, or 8 seconds are over."""
        with self._changed:
            own = self._begun + 1  # an attempt that begins from now on sees it, whatever the present one has read
            self._changed.wait_for(lambda: self._closed or self._ended >= own or not pool.is_pending(transaction_hash), self._wait_seconds)
