"""Listeners hear what was committed, in order, and do not hurt each other."""

import logging
from dataclasses import dataclass
from typing import Any

import pytest

from l2engine.chain.events import AncestorsWanted, BlockImported, Event, Events, NewHead, Origin, PooledTransaction
from l2engine.node import _announcer
from l2engine.types.payload import ForkchoiceState, Status
from tests.helpers.dev_chain import Forge, adopt, document, funded, open_engine, submit


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


@dataclass(frozen=True, slots=True)
class Eclipse(Event):
    """A kind that nobody knows yet."""


class Subscriptions:
    """Stands in for the server."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def head_changed(self) -> None:
        self.told.append("head")

    def pool_grew(self, hashes: tuple[bytes, ...]) -> None:
        self.told.append(hashes)


def test_a_new_kind_concerns_no_listener() -> None:
    engine, server = open_engine(document()), Subscriptions()
    announce = _announcer(server)  # type: ignore[arg-type]
    for event in (Eclipse(), PooledTransaction(b"\1" * 32, b"\2"), NewHead(engine.head, ()), AncestorsWanted(bytes(32))):
        announce(event)
    assert server.told == [(b"\1" * 32,), "head"]


def test_an_import_tells_its_stages() -> None:
    forge, engine = Forge(document()), open_engine(document())
    (block,) = forge.chain(forge.genesis, 1)
    heard: list[Event] = []
    engine.events.subscribe(heard.append)
    submit(engine, block)
    submit(engine, block)  # known by now
    (imported,) = heard
    assert isinstance(imported, BlockImported) and imported.block == block
    assert list(imported.stages) == ["decode", "validate", "execute", "roots", "store"]
    assert min(imported.stages.values()) > 0
    assert sum(imported.stages.values()) == pytest.approx(imported.seconds)


def test_unknown_ancestors_are_wanted() -> None:
    forge, engine = Forge(document()), open_engine(document())
    _, second, third = forge.chain(forge.genesis, 3)
    heard: list[Event] = []
    engine.events.subscribe(heard.append)
    submit(engine, second)
    for head in (second.hash, third.hash):
        assert engine.forkchoice_updated(ForkchoiceState(head, bytes(32), bytes(32))).payload_status.status is Status.SYNCING
    assert heard == [AncestorsWanted(second.hash, second.header), AncestorsWanted(second.hash, second.header), AncestorsWanted(third.hash)]


def test_pooled_transactions_say_where_they_come_from() -> None:
    forge, engine, alice = Forge(document()), open_engine(document()), funded("alice")
    heard: list[Event] = []
    raws = [alice.sign(to=bytes(20)) for _ in range(3)]
    engine.events.subscribe(lambda event: heard.append(event) if isinstance(event, PooledTransaction) else None)
    engine.pool.add(raws[1], Origin.PEER)  # waits for the first
    engine.pool.add(raws[0])
    mined = forge.block(forge.genesis, *raws)
    adopt(engine, mined)
    adopt(engine, *forge.chain(forge.genesis, 1, seconds=3))  # a reorg
    mine = [(event.raw, event.origin) for event in heard]  # type: ignore[attr-defined]
    assert mine[:2] == [(raws[0], Origin.LOCAL), (raws[1], Origin.PEER)]
    assert {origin for _, origin in mine[2:]} == {Origin.CHAIN}
