"""Subscribers follow the head, forward and back, over recorded blocks; and what one connection may ask for is bounded."""

import json
import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from l2engine.types.header import Header
from rpc.context import Context
from rpc.ports.news import BlockLogs, News, _found
from rpc.ports.push import Push, Subscriber
from rpc.ports.subscriptions import Subscriptions
from rpc.read.logs import log_query
from tests.helpers.vectors import needs_vectors
from tests.rpc.heads import ask, header, move
from tests.rpc.ports.test_subscriptions import Client, joined

pytestmark = needs_vectors


@pytest.fixture
def subscriptions() -> Subscriptions:
    return Subscriptions()


def news_of_all(context: Context, subscriptions: Subscriptions) -> list[tuple[Subscriber, Push]]:
    """What subscribers are told of the whole chain."""
    last = context.engine.head
    move(context, header(context, 0))
    news = News(context, subscriptions)
    move(context, last)
    return pushes(news)


def pushes(news: News) -> list[tuple[Subscriber, Push]]:
    return [pair for step in news.head_changed() for pair in step]


def told(found: Sequence[tuple[Subscriber, Push]], owner: Client) -> Iterator[Any]:
    for subscriber, push in found:
        for message in push.messages() if subscriber is owner else ():
            assert json.loads(message)["method"] == "eth_subscription"
            yield json.loads(message)["params"]


def test_subscribers_hear_heads_and_logs(context: Context, subscriptions: Subscriptions) -> None:
    one, other = joined(subscriptions), joined(subscriptions)
    heads, logs = subscriptions.subscribe(one, ["newHeads"]), subscriptions.subscribe(other, ["logs", {}])
    assert pushes(News(context, subscriptions)) == []
    found = news_of_all(context, subscriptions)
    assert [params["result"] for params in told(found, one)] == [
        ask(context, "eth_getHeaderByNumber", hex(number)) for number in range(1, context.engine.head.number + 1)
    ]
    assert [params["result"] for params in told(found, other)] == ask(context, "eth_getLogs", {"fromBlock": "0x1"})
    assert {params["subscription"] for owner in (one, other) for params in told(found, owner)} == {heads, logs}


def test_filters_choose_as_in_get_logs(context: Context, subscriptions: Subscriptions) -> None:
    everything: Any = ask(context, "eth_getLogs", {"fromBlock": "0x1"})
    topics = [[topic] for topic in everything[0]["topics"]]
    for wanted in (
        {"address": everything[0]["address"]},
        {"topics": topics},
        {"topics": [None, *topics[1:]]},
        {"address": "0x" + "11" * 20},
        {"topics": [None, "0x" + "11" * 32]},
        {"topics": [*topics, *[["0x" + "11" * 32]] * (4 - len(topics))]},
    ):
        client = joined(subscriptions)
        subscriptions.subscribe(client, ["logs", wanted])
        found = news_of_all(context, subscriptions)
        assert [params["result"] for params in told(found, client)] == ask(context, "eth_getLogs", {"fromBlock": "0x1", **wanted}), wanted


def test_logs_of_blocks_that_leave_are_told_as_removed(context: Context, subscriptions: Subscriptions) -> None:
    client = joined(subscriptions)
    subscriptions.subscribe(client, ["logs", {}])
    subscriptions.subscribe(client, ["newHeads"])
    news = News(context, subscriptions)
    everything: Any = ask(context, "eth_getLogs", {"fromBlock": "0x1"})
    move(context, header(context, 0))
    results = [params["result"] for params in told(pushes(news), client)]
    assert results == [{**log, "removed": True} for log in everything]


def with_logs(context: Context) -> Header:
    """The first block that has logs."""
    return next(found for n in range(1, context.engine.head.number + 1) if any((found := header(context, n)).logs_bloom))


def test_messages_are_made_when_they_are_sent(context: Context, subscriptions: Subscriptions) -> None:
    """Ten thousand subscriptions to all logs."""
    client, block = joined(subscriptions), with_logs(context)
    for _ in range(10_000):
        subscriptions.subscribe(client, ["logs", {}])
    move(context, header(context, block.number - 1))
    news = News(context, subscriptions)
    move(context, block)
    tracemalloc.start()
    ((_, push),) = pushes(news)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    size = sum(map(len, push.messages()))
    assert size > 10_000 * 500
    assert taken < size / 5


def test_the_bound_is_on_subscriptions_times_logs(context: Context, subscriptions: Subscriptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rpc.ports.push.MAX_PUSH", 10)
    client = joined(subscriptions)
    for _ in range(100):
        subscriptions.subscribe(client, ["logs", {}])
    found = news_of_all(context, subscriptions)
    assert found
    assert all(push.too_large for _, push in found)
    assert max(push.count for _, push in found) < 100


def test_work_for_one_connection_is_bounded(context: Context, subscriptions: Subscriptions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Filters that differ, and each of which needs a look at all logs."""
    monkeypatch.setattr("rpc.ports.news.MAX_COMPARED", 3)
    busy, modest = joined(subscriptions), joined(subscriptions)
    everything: Any = ask(context, "eth_getLogs", {"fromBlock": "0x1"})
    for log in everything:
        for topics in ([], [None], [None, None], log["topics"], [None, *log["topics"][1:]]):
            subscriptions.subscribe(busy, ["logs", {"topics": topics}])
    subscriptions.subscribe(modest, ["newHeads"])
    found = news_of_all(context, subscriptions)
    assert any(owner is busy and push.too_large for owner, push in found)
    assert not any(owner is modest and push.too_large for owner, push in found)


def test_filters_that_come_to_the_same_are_compared_once(context: Context) -> None:
    block = with_logs(context)
    whole = context.blocks.block(block.hash)
    assert whole is not None
    logs = BlockLogs(block, list(_found(whole, context.receipts(block.hash))), False)
    (address, *_), expected = logs._addresses, logs.matching(log_query({}))
    assert expected
    compared = logs.compared
    for i in range(100):
        query = log_query({"address": ["0x" + address.hex(), "0x" + f"{i:040x}"], "topics": [None]})
        assert set(logs.matching(query)) <= set(expected)
    assert logs.compared == 2 * compared


def test_equal_results_are_rendered_once(context: Context, subscriptions: Subscriptions) -> None:
    clients = [joined(subscriptions) for _ in range(2)]
    for client in clients:
        subscriptions.subscribe(client, ["logs", {}])
        subscriptions.subscribe(client, ["newHeads"])
    found = news_of_all(context, subscriptions)
    (first, second) = ([push for owner, push in found if owner is client] for client in clients)
    for one, other in zip(first, second, strict=True):
        shared = [
            (a, b) for (_, ours), (_, theirs) in zip(one._parts, other._parts, strict=True) for a, b in zip(ours, theirs, strict=True)
        ]
        assert shared
        assert all(a is b for a, b in shared)


def test_pool_transactions_come_in_steps(context: Context, subscriptions: Subscriptions) -> None:
    client = joined(subscriptions)
    identity = subscriptions.subscribe(client, ["newPendingTransactions"])
    hashes = [bytes([i]) * 32 for i in range(200)]
    steps = list(News(context, subscriptions).pool_grew(hashes))
    assert len(steps) > 1
    found = [pair for step in steps for pair in step]
    assert list(told(found, client)) == [{"subscription": identity, "result": "0x" + tx_hash.hex()} for tx_hash in hashes]
