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


def _filter(now: float):
    return Filter(lambda found, context: [], None, now)
