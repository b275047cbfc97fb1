"""Listeners hear what was committed, in order, and do not hurt each other."""

import logging

import pytest

from l2engine.chain.events import Event, Events, PooledTransaction


def test_listeners_hear_in_order_until_they_leave() -> None:
    events, heard = Events(), []
    leave = events.subscribe(lambda event: heard.append(("first", event)))
    events.subscribe(lambda event: heard.append(("second", event)))
    one, two = PooledTransaction(b"\1" * 32, b"\2"), PooledTransaction(b"\2" * 32, b"\2")
    events.publish(one)
    leave()
    leave()
    events.publish(two)
    assert heard == [("first", one), ("second", one), ("second", two)]


def test_failing_listener_is_logged_and_the_others_hear(caplog: pytest.LogCaptureFixture) -> None:
    events, heard = Events(), []

    def fail(event: Event) -> None:
        raise RuntimeError("deaf")

    events.subscribe(fail)
    events.subscribe(heard.append)
    with caplog.at_level(logging.ERROR):
        events.publish(PooledTransaction(bytes(32), b"\2"))
    assert len(heard) == 1
    assert "a listener failed" in caplog.text
