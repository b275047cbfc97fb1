"""Subscriptions follow the head, forward and back, over recorded blocks."""

import json

import pytest

from l2engine.errors import InvalidParams
from rpc.errors import RpcError
from rpc.ports.subscriptions import Subscriptions
from tests.helpers.vectors import needs_vectors
from tests.rpc.heads import ask, header, move

pytestmark = needs_vectors


def test_refused_subscriptions(context):
    subscriptions = Subscriptions(context)
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
            subscriptions.subscribe("a", params)
        assert str(caught.value) == message
    assert subscriptions.subscribe("a", ["logs", None])


def test_subscribers_hear_heads_and_logs(context):
    last = context.engine.head
    move(context, header(context, 0))
    subscriptions = Subscriptions(context)
    heads = subscriptions.subscribe("a", ["newHeads"])
    logs = subscriptions.subscribe("b", ["logs", {}])
    assert list(subscriptions.head_changed()) == []
    move(context, last)
    messages = [(owner, json.loads(message)["params"]) for owner, message in subscriptions.head_changed()]
    assert [params["result"] for owner, params in messages if owner == "a"] == [
        ask(context, "eth_getHeaderByNumber", hex(number)) for number in range(1, last.number + 1)
    ]
    assert [params["result"] for owner, params in messages if owner == "b"] == ask(context, "eth_getLogs", {"fromBlock": "0x1"})
    assert {params["subscription"] for _, params in messages} == {heads, logs}
    with pytest.raises(RpcError, match="subscription not found"):
        subscriptions.unsubscribe("b", heads)
    subscriptions.drop("a")
    assert not subscriptions.of_kind("newHeads")


def test_subscriptions_of_a_connection_are_limited(context):
    subscriptions, large = Subscriptions(context), {"topics": [["0x" + f"{i:064x}" for i in range(1000)]] * 4}
    subscribed = []
    with pytest.raises(RpcError, match="too many subscriptions on this connection"):
        for _ in range(10):
            subscribed.append(subscriptions.subscribe("a", ["logs", large]))
    assert len(subscribed) == 3
    assert subscriptions.subscribe("b", ["logs", large])
