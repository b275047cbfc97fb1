"""Filters and subscriptions follow the head, forward and back, over recorded blocks."""

import json
from collections.abc import Iterator

import pytest

from l2engine.errors import InvalidParams
from l2engine.types.base import keccak
from l2engine.types.header import Header
from rpc.codec import log_filter
from rpc.context import Context
from rpc.errors import RpcError
from rpc.eth import changes
from rpc.filters import Filter, Filters
from rpc.jsonrpc import handle
from rpc.registry import methods_for
from rpc.subscriptions import Subscriptions
from tests.helpers.vectors import VECTORS, needs_vectors
from tests.rpc.chain import recorded

METHODS = methods_for(("eth",))
pytestmark = needs_vectors


@pytest.fixture(scope="module")
def chain() -> Context:
    return recorded(VECTORS / "recordings" / "fjord")


@pytest.fixture
def context(chain: Context) -> Iterator[Context]:
    head = chain.engine.head
    yield chain
    move(chain, head)


def move(context: Context, head: Header) -> None:
    context.engine.head = head  # type: ignore[misc]


def header(context: Context, number: int) -> Header:
    found = context.header(number)
    assert found is not None
    return found


def ask(context: Context, name: str, *params: object) -> object:
    answer = json.loads(handle(json.dumps({"jsonrpc": "2.0", "id": 1, "method": name, "params": params}).encode(), METHODS, context))
    return answer.get("result", answer.get("error"))


def test_changes_between_heads(context):
    three, seven = header(context, 3), header(context, 7)
    forward = changes.between(context.blocks, three, seven)
    assert [h.number for h in forward.added] == [4, 5, 6, 7]
    assert not forward.removed
    back = changes.between(context.blocks, seven, three)
    assert [h.number for h in back.removed] == [7, 6, 5, 4]
    assert not back.added
    assert changes.between(context.blocks, three, three) == changes.Changes([], [])


def test_block_filter_tells_each_block_once(context):
    move(context, header(context, 3))
    identity = ask(context, "eth_newBlockFilter")
    assert ask(context, "eth_getFilterChanges", identity) == []
    move(context, header(context, 5))
    assert ask(context, "eth_getFilterChanges", identity) == ["0x" + header(context, n).hash.hex() for n in (4, 5)]
    assert ask(context, "eth_getFilterChanges", identity) == []
    assert ask(context, "eth_uninstallFilter", identity) is True
    assert ask(context, "eth_uninstallFilter", identity) is False
    assert ask(context, "eth_getFilterChanges", identity) == {"code": -32000, "message": "filter not found"}


def test_log_filter_tells_new_and_removed_logs(context):
    last = context.engine.head
    wanted = {"fromBlock": "0x1", "toBlock": "latest"}
    everything = ask(context, "eth_getLogs", wanted)
    assert everything
    move(context, header(context, 0))
    identity = ask(context, "eth_newFilter", wanted)
    move(context, last)
    assert ask(context, "eth_getFilterLogs", identity) == everything
    assert ask(context, "eth_getFilterChanges", identity) == everything
    move(context, header(context, 0))
    removed = ask(context, "eth_getFilterChanges", identity)
    assert removed == [{**log, "removed": True} for log in everything]


def test_log_filters_with_a_range_tell_no_blocks_beyond_it(context):
    last = context.engine.head
    wanted = {"fromBlock": "0x3", "toBlock": "0x5"}
    move(context, header(context, 0))
    identity = ask(context, "eth_newFilter", wanted)
    move(context, last)
    assert ask(context, "eth_getFilterChanges", identity) == ask(context, "eth_getLogs", wanted)
    for bounds, message in ((("0x5", "0x3"), "invalid block range params"), (("pending", "0x3"), "pending logs are not supported")):
        for name in ("eth_newFilter", "eth_getLogs"):
            wanted = dict(zip(("fromBlock", "toBlock"), bounds, strict=True))
            assert ask(context, name, wanted) == {"code": -32602, "message": message}


def test_what_clients_leave_here_is_bounded(context):
    many = {"address": ["0x" + f"{i:040x}" for i in range(1001)]}
    for name in ("eth_newFilter", "eth_getLogs"):
        assert ask(context, name, many) == {"code": -32000, "message": "exceed max addresses or topics per search position"}
    subscriptions, large = Subscriptions(context), {"topics": [["0x" + f"{i:064x}" for i in range(1000)]] * 4}
    subscribed = []
    with pytest.raises(RpcError, match="too many subscriptions on this connection"):
        for _ in range(10):
            subscribed.append(subscriptions.subscribe("a", ["logs", large]))
    assert len(subscribed) == 3
    assert subscriptions.subscribe("b", ["logs", large])


def test_filters_are_bounded_together(monkeypatch):
    monkeypatch.setattr("rpc.filters.MAX_SIZE", 5)
    filters, criteria = Filters(), log_filter({"topics": [["0x" + f"{i:064x}" for i in range(3)]]})
    for _ in range(2):
        filters.install(lambda at: Filter(lambda found, context: [], None, at, criteria))
    with pytest.raises(RpcError, match="too many filters"):
        filters.install(_filter)


def test_pending_filters_tell_what_the_pool_announced(context):
    in_chain = context.blocks.block(header(context, 5).hash).transactions[1]
    hashes, full = ask(context, "eth_newPendingTransactionFilter"), ask(context, "eth_newPendingTransactionFilter", True)
    assert ask(context, "eth_getFilterChanges", hashes) == []
    context.filters.pool_grew([keccak(in_chain), b"\x01" * 32])
    assert ask(context, "eth_getFilterChanges", hashes) == ["0x" + keccak(in_chain).hex(), "0x" + "01" * 32]
    assert ask(context, "eth_getFilterChanges", hashes) == []
    (shown,) = ask(context, "eth_getFilterChanges", full)  # nobody knows the other one any more
    assert shown["hash"] == "0x" + keccak(in_chain).hex()


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


def test_filters_end_when_nobody_polls():
    now = 0.0
    filters = Filters(lambda: now)
    identity = filters.install(lambda at: _filter(at))
    now = 299.0
    assert filters.get(identity)
    now = 600.0
    other = filters.install(lambda at: _filter(at))
    with pytest.raises(RpcError, match="filter not found"):
        filters.get(identity)
    assert filters.get(other)


def _filter(now: float):
    return Filter(lambda found, context: [], None, now)


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
