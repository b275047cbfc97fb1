"""Logs as JSON from the native core and from Python: the same bytes for the same blocks and filters."""

import os
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2engine.errors import DecodeError
from l2engine.types import rlp
from l2engine.types.log_filter import LogFilter
from l2engine.types.receipt import Log, Receipt
from rpc.show import logs
from rpc.show.logs import LogWriter
from tests.conformance.families import needs_native

pytestmark = needs_native

ADDRESSES = [bytes([i]) * 20 for i in range(3)]
TOPICS = [bytes([i]) * 32 for i in range(3)]
events = st.builds(Log, st.sampled_from(ADDRESSES), st.lists(st.sampled_from(TOPICS), max_size=4).map(tuple), st.binary(max_size=70))
receipts = st.one_of(
    st.builds(
        Receipt, st.just(0), st.sampled_from((None,)), st.integers(0, 9**9), st.lists(events, max_size=4).map(tuple), st.just(b"\7" * 32)
    ),
    st.builds(
        Receipt, st.sampled_from((0, 1, 2, 4)), st.sampled_from((0, 1)), st.integers(0, 9**9), st.lists(events, max_size=4).map(tuple)
    ),
    st.builds(
        lambda items, nonce, version: Receipt(126, 1, 5, items, None, nonce, version),
        st.lists(events, max_size=2).map(tuple),
        st.sampled_from((None, 0, 7)),
        st.just(None),
    ),
)
filters = st.builds(
    LogFilter,
    st.frozensets(st.sampled_from(ADDRESSES), max_size=2),
    st.lists(st.frozensets(st.sampled_from(TOPICS), max_size=2), max_size=4).map(tuple),
)


def both(wanted: LogFilter, block: Any, row: bytes, removed: bool) -> list[tuple[int, bytes]]:
    """What the native core and Python show."""
    native = LogWriter(wanted)
    python = LogWriter(wanted)
    python._native = None
    return [writer.of_block(block, row, removed) for writer in (native, python)]


@given(st.lists(receipts, max_size=4), filters, st.booleans(), st.integers(0, 2**40))
@settings(deadline=None)
def test_both_show_the_same_logs(items: list[Receipt], wanted: LogFilter, removed: bool, number: int) -> None:
    row = rlp.encode([item.encode() for item in items])
    block = made_block(number, len(items))
    native, python = both(wanted, block, row, removed)
    assert native == python
    assert len(orjson.loads(b"[" + native[1] + b"]")) == native[0]


def made_block(number: int, transactions: int) -> Any:
    from types import SimpleNamespace

    header = SimpleNamespace(hash=os.urandom(32), number=number, timestamp=number * 2)
    return SimpleNamespace(header=header, transactions=[os.urandom(50) for _ in range(transactions)])


@pytest.mark.parametrize("row", [b"", b"\xc0", b"\xc1\x80", b"\xc2\x81\xc0", b"\xc1\x01", b"\xff" * 9, b"\x80", b"\xc1\xc0"])
def test_damaged_receipts(row: bytes) -> None:
    assert logs._native is not None
    with pytest.raises(DecodeError):
        LogWriter(LogFilter()).of_block(made_block(1, 1), row, False)
