"""Refusals and failures: every kind has words, and the native core names no kind that there is not."""

import pytest

from l2engine.errors import InvalidTransaction, PoolError
from l2engine.refusals import POOL_WORDS, WORDS, Reason
from l2engine.types import failure
from l2engine.types.failure import FailureKind


def test_words_take_their_facts():
    error = InvalidTransaction(Reason.NONCE_TOO_LOW, address=bytes(19) + b"\xab", tx=1, state=2)
    assert str(error) == "nonce too low: address 0x00000000000000000000000000000000000000AB, tx: 1 state: 2"
    assert str(PoolError(error.reason, **error.facts)) == "nonce too low: next nonce 2, tx nonce 1"


def test_every_reason_has_words():
    assert set(WORDS) == set(POOL_WORDS) == set(Reason)


def test_native_reasons_are_reasons():
    native = pytest.importorskip("l2engine_native", reason="the native core is not installed")
    assert {Reason(name) for name in native.REASONS} <= set(Reason)


def test_every_failure_has_words():
    assert set(failure.WORDS) == set(FailureKind)


def test_native_failures_are_failures():
    native = pytest.importorskip("l2engine_native", reason="the native core is not installed")
    assert {FailureKind(name) for name in native.FAILURES} == set(FailureKind)
