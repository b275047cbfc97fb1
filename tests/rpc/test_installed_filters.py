"""Installed filters are bounded and forgotten."""

import pytest

from rpc.errors import RpcError
from rpc.installed_filters import Filter, Filters
from rpc.read.logs import log_query


def test_filters_are_bounded_together(monkeypatch):
    monkeypatch.setattr("rpc.installed_filters.MAX_SIZE", 5)
    filters, criteria = Filters(), log_query({"topics": [["0x" + f"{i:064x}" for i in range(3)]]})
    for _ in range(2):
        filters.install(lambda at: Filter(lambda found, context: [], None, at, criteria))
    with pytest.raises(RpcError, match="too many filters"):
        filters.install(_filter)


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


def test_a_filter_that_is_removed_makes_room(monkeypatch):
    monkeypatch.setattr("rpc.installed_filters.MAX_FILTERS", 2)
    filters = Filters()
    first, _ = filters.install(_filter), filters.install(_filter)
    with pytest.raises(RpcError, match="too many filters"):
        filters.install(_filter)
    assert filters.remove(first)
    assert not filters.remove(first)
    assert filters.install(_filter)


def test_filters_that_are_polled_outlive_older_and_younger_ones():
    now = 0.0
    filters = Filters(lambda: now)
    old, young = filters.install(_filter), filters.install(_filter)
    now = 200.0
    filters.get(old)
    now = 400.0
    filters.install(_filter)
    assert filters.get(old)
    with pytest.raises(RpcError, match="filter not found"):
        filters.get(young)


def test_each_filter_hears_of_the_transactions_since_its_last_poll(monkeypatch):
    monkeypatch.setattr("rpc.installed_filters.MAX_PENDING", 5)
    filters = Filters()
    hashes = [bytes([i]) * 32 for i in range(20)]
    filters.pool_grew(hashes[:2])
    one = filters.get(filters.install(_filter))
    filters.pool_grew(hashes[2:4])
    other = filters.get(filters.install(_filter))
    filters.pool_grew(hashes[4:5])
    assert filters.pooled_since(one) == hashes[2:5]
    assert filters.pooled_since(one) == []
    filters.pool_grew(hashes[5:7])
    assert (filters.pooled_since(one), filters.pooled_since(other)) == (hashes[5:7], hashes[4:7])
    filters.pool_grew(hashes[7:])
    assert filters.pooled_since(one) == hashes[-5:]


def _filter(now: float):
    return Filter(lambda found, context: [], None, now)
