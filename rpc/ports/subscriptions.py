"""eth_subscribe: the subscriptions of all connections, and their messages when the head moves or the pool grows.

Without I/O: the server calls `head_changed` and `pool_grew` and sends what they return.
"""

import secrets
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from l2engine.types.base import Hash32
from l2engine.types.header import Header
from l2engine.types.transaction_codec import decode_transaction
from rpc.context import Context
from rpc.errors import INVALID_PARAMS, METHOD_NOT_FOUND, SERVER_ERROR, RpcError
from rpc.jsonrpc import arguments, method
from rpc.methods.eth import changes, logs
from rpc.read.logs import LogQuery, log_query
from rpc.read.values import Optional, Parser, boolean, string
from rpc.show.blocks import show_header
from rpc.show.transactions import show_transaction

MAX_WEIGHT = 10_000  # of one connection's subscriptions; geth has no bound
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
    owner: object
    """The connection."""
    option: LogQuery | bool | None = None
    """The filter for logs, or for pending transactions whether to send them whole instead of their hashes."""

    @property
    def weight(self) -> int:
        """A measure of the memory that the subscription takes."""
        return 1 + self.option.filter.size if isinstance(self.option, LogQuery) else 1


class Subscriptions:
    """All subscriptions of a server; any thread may use it."""

    def __init__(self, context: Context) -> None:
        self._context, self._head = context, context.engine.head
        self._lock = threading.Lock()
        self._active: dict[str, Subscription] = {}

    def subscribe(self, owner: object, params: Any) -> str:
        """Begin a subscription from the arguments of eth_subscribe; returns its id."""
        if not isinstance(params, list) or not params or not isinstance(params[0], str):
            raise RpcError(INVALID_PARAMS, "expected subscription name as first argument")
        if params[0] not in KINDS:
            raise RpcError(METHOD_NOT_FOUND, f'no "{params[0]}" subscription in eth namespace')
        kind, *options = arguments(method(self.subscribe, string, *KINDS[params[0]]), params)
        subscription = Subscription("0x" + secrets.token_bytes(16).hex(), kind, owner, *options)
        if isinstance(subscription.option, LogQuery):
            logs.check_ahead(subscription.option)
        with self._lock:
            if sum(other.weight for other in self._active.values() if other.owner is owner) > MAX_WEIGHT:
                raise RpcError(SERVER_ERROR, "too many subscriptions on this connection")
            self._active[subscription.id] = subscription
        return subscription.id

    def unsubscribe(self, owner: object, identity: str) -> bool:
        """End a subscription of this connection."""
        with self._lock:
            found = self._active.get(identity)
            if found is None or found.owner is not owner:
                raise RpcError(SERVER_ERROR, "subscription not found")
            del self._active[identity]
        return True

    def drop(self, owner: object) -> None:
        """Remove all subscriptions of a closed connection."""
        with self._lock:
            for identity in [i for i, s in self._active.items() if s.owner is owner]:
                del self._active[identity]

    def of_kind(self, kind: str) -> Sequence[Subscription]:
        with self._lock:
            return [subscription for subscription in self._active.values() if subscription.kind == kind]

    def head_changed(self) -> Iterator[tuple[object, bytes]]:
        """The messages caused by moving from the last head seen to the current one, each with its connection."""
        old: Header = self._head
        self._head = new = self._context.engine.head
        heads, wanted = self.of_kind("newHeads"), self.of_kind("logs")
        if not heads and not wanted:
            return
        change = changes.between(self._context.blocks, old, new)
        for header in change.added if heads else ():
            shown = orjson.Fragment(orjson.dumps(show_header(header)))
            yield from ((subscription.owner, _message(subscription, shown)) for subscription in heads)
        for subscription in wanted:
            assert isinstance(subscription.option, LogQuery)
            for found in logs.changed_logs(self._context, change, subscription.option):
                yield subscription.owner, _message(subscription, found)

    def pool_grew(self, hashes: Sequence[Hash32]) -> Iterator[tuple[object, bytes]]:
        """The messages for new pool transactions, each with its connection."""
        listeners = self.of_kind("newPendingTransactions")
        for tx_hash in hashes if listeners else ():
            waiting = self._context.pool.get(tx_hash) if any(s.option for s in listeners) else None
            full = None if waiting is None else show_transaction(decode_transaction(waiting))
            for subscription in listeners:
                yield subscription.owner, _message(subscription, full if subscription.option else "0x" + tx_hash.hex())


def _message(subscription: Subscription, result: Any) -> bytes:
    params = {"subscription": subscription.id, "result": result}
    return orjson.dumps({"jsonrpc": "2.0", "method": "eth_subscription", "params": params})
