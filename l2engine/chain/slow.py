"""Pool transactions that take longer than a block has time for: they come last, are logged, and may get more time by and by.

An executor that takes seconds for a transaction that others run within a block time would otherwise never include it. So, where the
operator of the node has chosen such an executor, each time that a transaction is stopped doubles the time that it may run the next
time, even though the payload has been asked for, up to `patience`. One that does not end in that time either gets no more than any other.
"""

import logging
import time

from l2engine.types.base import Hash32

log = logging.getLogger(__name__)

LAST_TRANSACTION_SECONDS = 0.3
"""What a running pool transaction gets once the payload is asked for."""
_SLOW_SECONDS = 0.25  # a transaction that was stopped after this long is a slow one
_KEPT = 1024
_SECONDS_BETWEEN_LINES = 10.0


class SlowTransactions:
    """Remembers slow transactions. Used by the threads of several builds: what is remembered is replaced, never changed."""

    def __init__(self, patience: float) -> None:
        """`patience`: the most seconds that a slow transaction may run in all although the payload has been asked for."""
        self.hashes: dict[Hash32, float] = {}
        """Each with the seconds that it may run the next time; 0 for no more than any other."""
        self._patience = patience
        self._last_line, self._unnamed = -_SECONDS_BETWEEN_LINES, 0

    def seconds(self, transaction_hash: Hash32) -> float:
        """How long a transaction may run at least, from its own start."""
        return self.hashes.get(transaction_hash, 0.0)

    def stopped(self, transaction_hash: Hash32, ran: float) -> None:
        """A transaction did not end within the `ran` seconds that its block had for it."""
        if ran <= _SLOW_SECONDS:
            return
        had = self.hashes.get(transaction_hash, LAST_TRANSACTION_SECONDS)
        following = 0.0 if had >= self._patience else min(2 * had, self._patience)
        hashes = {**self.hashes, transaction_hash: following}
        if len(hashes) > _KEPT:
            del hashes[next(iter(hashes))]
        self.hashes = hashes
        self._tell(transaction_hash, ran, following)

    def _tell(self, transaction_hash: Hash32, ran: float, following: float) -> None:
        now = time.monotonic()
        if now - self._last_line < _SECONDS_BETWEEN_LINES:
            self._unnamed += 1
            return
        fields: dict[str, object] = {"hash": transaction_hash, "stopped_after": f"{ran:.3f}s"}
        if following:
            fields["next_time"] = f"{following:.3f}s"
        if self._unnamed:
            fields["others"] = self._unnamed
        self._last_line, self._unnamed = now, 0
        log.warning("Transaction left out of a block, it runs too long", extra={"fields": fields})
