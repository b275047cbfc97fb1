"""What one event (a block, new pool transactions) gives one connection: results that are rendered once and shared by all who get them."""

from collections.abc import Iterator, Sequence
from typing import Protocol

MAX_PUSH = 100_000  # messages from one event for one connection: subscriptions × results
MAX_PUSH_BYTES = 256 * 1024 * 1024  # the same in bytes, when a prompt client gets them


class Subscriber(Protocol):
    """A connection that takes pushes."""

    def push(self, push: "Push") -> None:
        """Take over a push, or disconnect when it is too large or when too much is waiting. On the event loop only."""


class Push:
    """Messages to one connection, as subscription ids with their results. The messages are made one by one when they are sent, so a
    push that waits takes little memory."""

    __slots__ = ("_parts", "_refused", "count", "size")

    def __init__(self) -> None:
        self._parts: list[tuple[str, Sequence[bytes]]] = []
        self._refused = False
        self.count = 0
        self.size = 0
        """Bytes of all results, each counted as often as it is sent."""

    def add(self, subscription_id: str, results: Sequence[bytes]) -> None:
        """Add the results of one subscription, in JSON."""
        if results:
            self._parts.append((subscription_id, results))
            self.count += len(results)
            self.size += sum(map(len, results))

    def refuse(self) -> None:
        """Call the push too large, since it is too much work to go on with it."""
        self._refused = True

    @property
    def too_large(self) -> bool:
        """Whether the connection asks for more than one may have."""
        return self._refused or self.count > MAX_PUSH or self.size > MAX_PUSH_BYTES

    def messages(self) -> Iterator[bytes]:
        """The notifications, in order."""
        for subscription_id, results in self._parts:
            head = b'{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"' + subscription_id.encode() + b'","result":'
            for result in results:
                yield head + result + b"}}"
