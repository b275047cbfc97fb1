"""eth_subscribe: which connection has subscribed to what. The messages are made in `news.py`.

Without I/O. Counts are kept per connection, so that each call costs the same however many subscriptions there are.
"""

import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from l2engine.types.limits import RpcSettings
from rpc.errors import INVALID_PARAMS, METHOD_NOT_FOUND, SERVER_ERROR, RpcError
from rpc.jsonrpc import arguments, method
from rpc.methods.eth import logs
from rpc.ports.push import Subscriber
from rpc.read.logs import LogQuery, log_query
from rpc.read.values import Optional, Parser, boolean, string

MAX_WEIGHT = 10_000  # of one connection's subscriptions; geth has no bound
MAX_TOTAL_WEIGHT = 250_000  # of all connections together: about 200 MB
FEW = 100  # the weight that a connection may have even when the others have used up the total
KINDS: dict[str, tuple[Parser[Any], ...]] = {
    "newHeads": (),
    "logs": (log_query,),
    "newPendingTransactions": (Optional(boolean, False),),
    "syncing": (),
}
"""The kinds of subscription, each with the parsers of the arguments after its name."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscription of one connection."""

    id: str
    kind: str
    option: LogQuery | bool | None = None
    """The filter for logs, or for pending transactions whether to send them whole instead of their hashes."""

    @property
    def weight(self) -> int:
        """A measure of the memory that the subscription takes."""
        return 1 + self.option.filter.size if isinstance(self.option, LogQuery) else 1


@dataclass(slots=True)
class _Owned:
    """The subscriptions of one connection by id, and their weight."""

    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    weight: int = 0


class Subscriptions:
    """All subscriptions of a server; any thread may use it."""

    def __init__(self, settings: RpcSettings | None = None) -> None:
        self._settings = settings or RpcSettings()
        self._lock = threading.Lock()
        self._owned: dict[Subscriber, _Owned] = {}
        self._weight = 0

    def join(self, owner: Subscriber) -> None:
        """Let a new connection subscribe."""
        with self._lock:
            self._owned[owner] = _Owned()

    def leave(self, owner: Subscriber) -> None:
        """Remove a closed connection and its subscriptions. It cannot subscribe any more, not even by a call that still runs."""
        with self._lock:
            owned = self._owned.pop(owner, None)
            if owned is not None:
                self._weight -= owned.weight

    def subscribe(self, owner: Subscriber, params: Any) -> str:
        """Begin a subscription from the arguments of eth_subscribe; returns its id."""
        if not isinstance(params, list) or not params or not isinstance(params[0], str):
            raise RpcError(INVALID_PARAMS, "expected subscription name as first argument")
        if params[0] not in KINDS:
            raise RpcError(METHOD_NOT_FOUND, f'no "{params[0]}" subscription in eth namespace')
        kind, *options = arguments(method(self.subscribe, string, *KINDS[params[0]]), params)
        subscription = Subscription("0x" + secrets.token_bytes(16).hex(), kind, *options)
        if isinstance(subscription.option, LogQuery):
            logs.check_ahead(self._settings, subscription.option)
        with self._lock:
            owned = self._owned.get(owner)
            if owned is None:
                raise RpcError(SERVER_ERROR, "the connection is closed")
            if owned.weight > MAX_WEIGHT or (self._weight > MAX_TOTAL_WEIGHT and owned.weight > FEW):
                raise RpcError(SERVER_ERROR, "too many subscriptions on this connection")
            owned.subscriptions[subscription.id] = subscription
            self._add_weight(owned, subscription.weight)
        return subscription.id

    def unsubscribe(self, owner: Subscriber, identity: str) -> bool:
        """End a subscription of this connection."""
        with self._lock:
            owned = self._owned.get(owner)
            if owned is None or identity not in owned.subscriptions:
                raise RpcError(SERVER_ERROR, "subscription not found")
            self._add_weight(owned, -owned.subscriptions.pop(identity).weight)
        return True

    def of_kind(self, kind: str) -> Mapping[Subscriber, Sequence[Subscription]]:
        """The subscriptions of one kind by connection, without the connections that have none."""
        with self._lock:
            found = {
                owner: [subscription for subscription in owned.subscriptions.values() if subscription.kind == kind]
                for owner, owned in self._owned.items()
            }
        return {owner: subscriptions for owner, subscriptions in found.items() if subscriptions}

    def _add_weight(self, owned: _Owned, weight: int) -> None:
        owned.weight += weight
        self._weight += weight
