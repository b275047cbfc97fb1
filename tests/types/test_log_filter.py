"""Which logs a filter wants, and which blocks its bloom test passes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2engine.types.base import EMPTY_BLOOM
from l2engine.types.log_filter import LogFilter
from l2engine.types.receipt import Log, logs_bloom

A, B = bytes([0xAA]) * 20, bytes([0xBB]) * 20
T, U = bytes([1]) * 32, bytes([2]) * 32
LOG = Log(A, (T, U), b"")
ADDRESSES, TOPICS = st.sampled_from((A, B)), st.sampled_from((T, U))
LOGS = st.builds(Log, ADDRESSES, st.lists(TOPICS, max_size=4).map(tuple), st.just(b""))
FILTERS = st.builds(LogFilter, st.frozensets(ADDRESSES), st.lists(st.frozensets(TOPICS), max_size=4).map(tuple))


@pytest.mark.parametrize(
    ("addresses", "topics", "wanted"),
    [
        ((), (), True),
        ((A, B), (), True),
        ((B,), (), False),
        ((), ((T,),), True),
        ((), ((U,),), False),
        ((), ((), (T, U)), True),
        ((), ((), (), ()), False),
    ],
)
def test_addresses_and_topics_decide(addresses, topics, wanted):
    assert LogFilter(frozenset(addresses), tuple(map(frozenset, topics))).matches(LOG) is wanted


@given(FILTERS, st.lists(LOGS, max_size=4))
def test_bloom_test_passes_every_block_with_a_match(wanted, logs):
    if any(wanted.matches(log) for log in logs):
        assert wanted.bloom_test()(logs_bloom(logs))


def test_bloom_test_rules_blocks_out():
    bloom = logs_bloom([LOG])
    assert not LogFilter(frozenset((B,))).bloom_test()(bloom)
    assert not LogFilter(frozenset((A,)), (frozenset((bytes(32),)),)).bloom_test()(bloom)
    assert not LogFilter().bloom_test()(EMPTY_BLOOM)
