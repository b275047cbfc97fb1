"""The news for subscribers: what they are told when the head moves or the pool grows.

Without I/O, and step by step: one block, or a few transactions, at a time. Each header, log and transaction is rendered once.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeAlias

import orjson

from l2engine.types.base import MAX_UINT64, Hash32, keccak
from l2engine.types.block import Block
from l2engine.types.header import Header
from l2engine.types.log_filter import LogFilter
from l2engine.types.receipt import Log, Receipt
from l2engine.types.transaction_codec import decode_transaction
from rpc.context import Context
from rpc.methods.eth import changes
from rpc.ports.push import Push, Subscriber
from rpc.ports.subscriptions import Subscription, Subscriptions
from rpc.read.logs import LogQuery
from rpc.show.blocks import show_header
from rpc.show.logs import show_log
from rpc.show.transactions import show_transaction

Pushes: TypeAlias = Sequence[tuple[Subscriber, Push]]

TRANSACTIONS_AT_ONCE = 64
COMPARED_AT_ONCE = 20_000  # logs with filters, before the connections that have their messages get them
MAX_COMPARED = 1_000_000  # logs that are compared with the filters of one connection, a block: about half a second


class News:
    """Makes the messages of one server's subscriptions. Used by one thread."""

    def __init__(self, context: Context, subscriptions: Subscriptions) -> None:
        self._context, self._subscriptions = context, subscriptions
        self._head = context.engine.head

    def head_changed(self) -> Iterator[Pushes]:
        """The pushes caused by moving from the last head seen to the current one: those of one block after the other."""
        old, self._head = self._head, self._context.engine.head
        if not self._subscriptions.of_kind("newHeads") and not self._subscriptions.of_kind("logs"):
            return
        change = changes.between(self._context.blocks, old, self._head)
        for header in reversed(change.removed):
            yield from self._logs_of(header, removed=True)
        for header in change.added:
            yield from self._header(header)
            yield from self._logs_of(header, removed=False)

    def _header(self, header: Header) -> Iterator[Pushes]:
        """The header of a block that joined the chain; before its logs, which may take longer."""
        wanted = self._subscriptions.of_kind("newHeads")
        shown = [orjson.dumps(show_header(header))] if wanted else []
        yield [(owner, _same(subscriptions, shown)) for owner, subscriptions in wanted.items()]

    def _logs_of(self, header: Header, removed: bool) -> Iterator[Pushes]:
        """The logs of a block, for some connections at a time when that is much work."""
        wanted = self._subscriptions.of_kind("logs")
        logs = self._logs(header, removed) if wanted else BlockLogs(header, (), removed)
        pushes: list[tuple[Subscriber, Push]] = []
        compared = 0
        for owner, subscriptions in wanted.items():
            push = _matching(subscriptions, logs)
            if push.count or push.too_large:
                pushes.append((owner, push))
            if logs.compared > compared + COMPARED_AT_ONCE:
                yield pushes
                pushes, compared = [], logs.compared
        yield pushes

    def _logs(self, header: Header, removed: bool) -> "BlockLogs":
        block = self._context.blocks.block(header.hash) if any(header.logs_bloom) else None
        if block is None:
            return BlockLogs(header, (), removed)
        return BlockLogs(header, list(_found(block, self._context.receipts(block.hash))), removed)

    def pool_grew(self, hashes: Sequence[Hash32]) -> Iterator[Pushes]:
        """The pushes for new pool transactions."""
        rest = iter(hashes)
        while few := list(islice(rest, TRANSACTIONS_AT_ONCE)):
            listeners = self._subscriptions.of_kind("newPendingTransactions")
            if listeners:
                yield list(self._of_transactions(few, listeners))

    def _of_transactions(
        self, hashes: Sequence[Hash32], listeners: Mapping[Subscriber, Sequence[Subscription]]
    ) -> Iterator[tuple[Subscriber, Push]]:
        names = [orjson.dumps("0x" + tx_hash.hex()) for tx_hash in hashes]
        whole: list[bytes] = []
        if any(subscription.option for subscriptions in listeners.values() for subscription in subscriptions):
            whole = [self._whole(tx_hash) for tx_hash in hashes]
        for owner, subscriptions in listeners.items():
            push = Push()
            for subscription in subscriptions:
                push.add(subscription.id, whole if subscription.option else names)
                if push.too_large:
                    break
            yield owner, push

    def _whole(self, tx_hash: Hash32) -> bytes:
        """A pool transaction in JSON; null when it has left the pool already."""
        raw = self._context.pool.get(tx_hash)
        return orjson.dumps(None if raw is None else show_transaction(decode_transaction(raw)))


def _same(subscriptions: Sequence[Subscription], results: Sequence[bytes]) -> Push:
    """A push of the same results for all subscriptions of a connection."""
    push = Push()
    for subscription in subscriptions:
        push.add(subscription.id, results)
    return push


def _matching(subscriptions: Sequence[Subscription], logs: "BlockLogs") -> Push:
    """The push of a block's logs to one connection; too large when that is more than a connection may have."""
    push, end = Push(), logs.compared + MAX_COMPARED
    for subscription in subscriptions:
        assert isinstance(subscription.option, LogQuery)
        push.add(subscription.id, logs.matching(subscription.option))
        if logs.compared > end:
            push.refuse()
        if push.too_large:
            break
    return push


def _found(block: Block, receipts: Sequence[Receipt]) -> Iterator[tuple[Log, Hash32, int]]:
    """The logs of a block, each with the hash and the index of its transaction."""
    for index, receipt in enumerate(receipts):
        tx_hash = keccak(block.transactions[index]) if receipt.logs else bytes(32)
        for item in receipt.logs:
            yield item, tx_hash, index


class BlockLogs:
    """The logs of a block that joined or left the chain. Each is rendered at most once, and filters that come to the same are compared
    with them once."""

    def __init__(self, header: Header, found: Sequence[tuple[Log, Hash32, int]], removed: bool) -> None:
        self._header, self._found, self._removed = header, found, removed
        self._addresses = {item.address for item, _, _ in found}
        self._topics = [{item.topics[i] for item, _, _ in found if i < len(item.topics)} for i in range(4)]
        self._rendered: dict[int, bytes] = {}
        self._matching: dict[LogFilter, Sequence[bytes]] = {}
        self.compared = 0
        """Comparisons of a log with a filter so far."""

    def matching(self, query: LogQuery) -> Sequence[bytes]:
        """The matching logs in JSON, in order. Of the query's range only its numbers count."""
        first = query.from_block if isinstance(query.from_block, int) else 0
        last = query.to_block if isinstance(query.to_block, int) else MAX_UINT64
        wanted = self._narrow(query.filter) if first <= self._header.number <= last else None
        if wanted is None:
            return ()
        if wanted not in self._matching:
            self.compared += len(self._found)
            matches = [index for index, (item, _, _) in enumerate(self._found) if wanted.matches(item)]
            self._matching[wanted] = [self._render(index) for index in matches]
        return self._matching[wanted]

    def _narrow(self, wanted: LogFilter) -> LogFilter | None:
        """The same filter without what no log of the block has; None when nothing can match. So filters that differ in other
        things become equal."""
        addresses = wanted.addresses & self._addresses
        topics = tuple(group & present for group, present in zip(wanted.topics, self._topics, strict=False))
        emptied = any(group and not left for group, left in zip((wanted.addresses, *wanted.topics), (addresses, *topics), strict=True))
        return None if emptied or not self._found else LogFilter(addresses, topics)

    def _render(self, index: int) -> bytes:
        if index not in self._rendered:
            (item, tx_hash, tx_index), at = self._found[index], self._header
            shown = show_log(item, at.hash, at.number, at.timestamp, tx_hash, tx_index, index, self._removed)
            self._rendered[index] = orjson.dumps(shown)
        return self._rendered[index]
