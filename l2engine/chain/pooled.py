"""Transactions in the pool, and the order in which a block takes them."""

import heapq
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

from l2engine.chain.events import Origin
from l2engine.chain.interop import VALID_SECONDS
from l2engine.types.base import MAX_UINT64, Address, Hash32, Timestamp, Wei
from l2engine.types.header import Header
from l2engine.types.transaction import SignedTransaction, effective_tip


@dataclass(slots=True)
class Pooled:
    """A transaction in the pool."""

    tx: SignedTransaction
    sender: Address
    hash: Hash32
    added_at: float
    cost: Wei
    """The most that it can take from its sender, L1 and operator fee as of the head that it was admitted on."""
    origin: Origin = Origin.LOCAL
    messages: "Messages | None" = None
    """The messages of other chains that it executes, when a filter is there to check them."""

    @property
    def raw(self) -> bytes:
        return self.tx.raw

    def tip(self, base_fee: Wei) -> Wei:
        """The beneficiary's income per gas, in wei; negative when the fee cap is below the base fee."""
        return effective_tip(self.tx, base_fee)


@dataclass(slots=True)
class Messages:
    """The messages that a pooled transaction executes."""

    keys: Sequence[Hash32]
    valid_until: Timestamp = MAX_UINT64
    """The last head's timestamp on which the transaction may wait."""
    checked_at: float | None = None
    """When the filter last vouched for them; None keeps the transaction out of blocks until it does."""

    def vouch(self, head: Header, now: float) -> None:
        """Note that the filter found them valid on this head."""
        self.valid_until, self.checked_at = head.timestamp + VALID_SECONDS, now


class BestFirst(Iterator[Pooled]):
    """Iterates over pending transactions by tip; `skip_sender` gives up on the rest of the last one's sender."""

    def __init__(self, pending: dict[Address, list[Pooled]], base_fee: Wei, put_last: Container[Hash32] = ()) -> None:
        self._base_fee, self._put_last = base_fee, put_last
        self._waiting = {sender: iter(items) for sender, items in pending.items()}
        self._heap: list[tuple[bool, Wei, float, int, Pooled]] = []
        self._count = 0
        self._last: Pooled | None = None
        self._push(self._waiting)

    def _push(self, senders: Iterable[Address]) -> None:
        for sender in senders:
            following = next(self._waiting[sender], None)
            if following is not None and following.tip(self._base_fee) >= 0:
                self._count += 1
                is_last = following.hash in self._put_last
                heapq.heappush(self._heap, (is_last, -following.tip(self._base_fee), following.added_at, self._count, following))

    def __next__(self) -> Pooled:
        if self._last is not None:
            self._push([self._last.sender])
            self._last = None
        if not self._heap:
            raise StopIteration
        self._last = heapq.heappop(self._heap)[4]
        return self._last

    def skip_sender(self) -> None:
        """Leave out the sender of the transaction that came last: what follows in its queue depends on it."""
        self._last = None
