"""Filters follow the head, forward and back, over recorded blocks."""

from l2engine.types.base import keccak
from l2engine.types.limits import RpcSettings
from tests.helpers.vectors import needs_vectors
from tests.rpc.heads import ask, header, move

pytestmark = needs_vectors


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


def test_pending_filters_tell_what_the_pool_announced(context):
    in_chain = context.blocks.block(header(context, 5).hash).transactions[1]
    hashes, full = ask(context, "eth_newPendingTransactionFilter"), ask(context, "eth_newPendingTransactionFilter", True)
    assert ask(context, "eth_getFilterChanges", hashes) == []
    context.filters.pool_grew([keccak(in_chain), b"\x01" * 32])
    assert ask(context, "eth_getFilterChanges", hashes) == ["0x" + keccak(in_chain).hex(), "0x" + "01" * 32]
    assert ask(context, "eth_getFilterChanges", hashes) == []
    (shown,) = ask(context, "eth_getFilterChanges", full)  # nobody knows the other one any more
    assert shown["hash"] == "0x" + keccak(in_chain).hex()


def test_limits_that_an_operator_sets(context, monkeypatch):
    last, wanted = context.engine.head, {"fromBlock": "0x1", "toBlock": "latest"}
    count = len(ask(context, "eth_getLogs", wanted))
    move(context, header(context, 0))
    identity = ask(context, "eth_newFilter", wanted)
    move(context, last)
    monkeypatch.setattr(context, "settings", RpcSettings(log_count_limit=count, log_query_limit=1, log_range_limit=last.number))
    assert len(ask(context, "eth_getLogs", wanted)) == len(ask(context, "eth_getFilterLogs", identity)) == count
    assert ask(context, "eth_getLogs", {"fromBlock": "0x0"}) == {"code": -32602, "message": f"exceed maximum block range: {last.number}"}
    two = [["0x" + "00" * 32, "0x" + "11" * 32]]
    for criteria in ({"address": ["0x" + "00" * 20, "0x" + "11" * 20]}, {"topics": [None, *two]}):
        assert ask(context, "eth_getLogs", criteria)["message"] == "exceed max addresses or topics per search position"
    monkeypatch.setattr(context, "settings", RpcSettings(log_count_limit=count - 1))
    refused = {"code": -32602, "message": f"query exceeds max results {count - 1}"}
    for name, argument in (("eth_getLogs", wanted), ("eth_getFilterLogs", identity)):
        assert ask(context, name, argument) == refused
    assert len(ask(context, "eth_getFilterChanges", identity)) == count  # which it would not tell again
    monkeypatch.setattr(context, "settings", RpcSettings(response_max_bytes=1000))
    assert ask(context, "eth_getLogs", wanted)["code"] == -32003


def test_addresses_of_a_filter_are_limited(context):
    many = {"address": ["0x" + f"{i:040x}" for i in range(1001)]}
    for name in ("eth_newFilter", "eth_getLogs"):
        assert ask(context, name, many) == {"code": -32000, "message": "exceed max addresses or topics per search position"}
