"""Who may subscribe to what, and how much of it."""

from dataclasses import dataclass

import pytest

from l2engine.errors import InvalidParams
from rpc.errors import RpcError
from rpc.ports.push import Push
from rpc.ports.subscriptions import FEW, MAX_WEIGHT, Subscriptions


@dataclass(eq=False)
class Client:
    """A connection that nobody is at the other end of."""

    def push(self, push: Push) -> None:
        raise AssertionError("nothing is pushed here")


def joined(subscriptions: Subscriptions) -> Client:
    client = Client()
    subscriptions.join(client)
    return client


def test_refused_subscriptions() -> None:
    subscriptions = Subscriptions()
    client = joined(subscriptions)
    for params, message in (
        ([], "expected subscription name as first argument"),
        ([5], "expected subscription name as first argument"),
        (["logs"], "missing value for required argument 1"),
        (["logs", 5], "invalid argument 1: json: cannot unmarshal number into Go value of type filters.input"),
        (["logs", {"fromBlock": "pending"}], "pending logs are not supported"),
        (["newHeads", {}], "too many arguments, want at most 1"),
        (["newPendingTransactions", {}], "invalid argument 1: json: cannot unmarshal object into Go value of type bool"),
    ):
        with pytest.raises((RpcError, InvalidParams)) as caught:
            subscriptions.subscribe(client, params)
        assert str(caught.value) == message
    assert subscriptions.subscribe(client, ["logs", None])


def test_only_the_owner_ends_a_subscription() -> None:
    subscriptions = Subscriptions()
    owner, other = joined(subscriptions), joined(subscriptions)
    heads = subscriptions.subscribe(owner, ["newHeads"])
    with pytest.raises(RpcError, match="subscription not found"):
        subscriptions.unsubscribe(other, heads)
    assert [found.id for found in subscriptions.of_kind("newHeads")[owner]] == [heads]
    assert subscriptions.unsubscribe(owner, heads)
    assert not subscriptions.of_kind("newHeads")


def test_subscriptions_of_a_connection_are_limited() -> None:
    subscriptions, large = Subscriptions(), {"topics": [["0x" + f"{i:064x}" for i in range(1000)]] * 4}
    client, subscribed = joined(subscriptions), []
    with pytest.raises(RpcError, match="too many subscriptions on this connection"):
        for _ in range(10):
            subscribed.append(subscriptions.subscribe(client, ["logs", large]))
    assert len(subscribed) == 3
    assert subscriptions.subscribe(joined(subscriptions), ["logs", large])
    subscriptions.unsubscribe(client, subscribed.pop())
    assert subscriptions.subscribe(client, ["logs", large])


def test_ten_thousand_simple_subscriptions_are_taken() -> None:
    subscriptions = Subscriptions()
    client = joined(subscriptions)
    for _ in range(MAX_WEIGHT):
        subscriptions.subscribe(client, ["newHeads"])
    assert len(subscriptions.of_kind("newHeads")[client]) == MAX_WEIGHT


def test_many_connections_leave_a_few_subscriptions_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rpc.ports.subscriptions.MAX_TOTAL_WEIGHT", 1000)
    subscriptions = Subscriptions()
    greedy, modest = joined(subscriptions), joined(subscriptions)
    with pytest.raises(RpcError, match="too many subscriptions"):
        for _ in range(2000):
            subscriptions.subscribe(greedy, ["newHeads"])
    assert len(subscriptions.of_kind("newHeads")[greedy]) == 1001
    for _ in range(FEW):
        subscriptions.subscribe(modest, ["newHeads"])
    subscriptions.leave(greedy)
    for _ in range(FEW):
        subscriptions.subscribe(modest, ["newHeads"])


def test_a_closed_connection_cannot_subscribe() -> None:
    """A call may still run in another thread when its client has left."""
    subscriptions = Subscriptions()
    client = joined(subscriptions)
    subscriptions.leave(client)
    with pytest.raises(RpcError, match="the connection is closed"):
        subscriptions.subscribe(client, ["newHeads"])
    with pytest.raises(RpcError, match="subscription not found"):
        subscriptions.unsubscribe(client, "0x12")
    assert not subscriptions.of_kind("newHeads")
