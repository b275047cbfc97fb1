"""A write that fails, whichever it is: nothing is acknowledged until the database is reopened, and then nothing is missing."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from l2engine.chain import recovery
from l2engine.chain.engine import Engine
from l2engine.chain.events import Event, NewHead, StoreFailed, StoreReopened
from l2engine.errors import StoreError, StoreUnavailable, UnknownPayload
from l2engine.store import schema
from l2engine.store.verify import verify
from l2engine.types.block import Block
from l2engine.types.payload import Status
from tests.helpers.dev_chain import Forge, document, forkchoice, open_engine, submit
from tests.helpers.failing import FailingKeyValue

GENESIS = document()
LAYERS = 2  # the base moves with every block from the third on


@pytest.fixture(scope="module")
def forge() -> Forge:
    return Forge(GENESIS)


@pytest.fixture(scope="module")
def chain(forge: Forge) -> list[Block]:
    """Five blocks, then a branch of six that leaves after the second: its way back crosses the base."""
    blocks = forge.chain(forge.genesis, 5)
    return blocks + forge.chain(blocks[1].header, 6, seconds=3)


@pytest.fixture
def kv() -> FailingKeyValue:
    return FailingKeyValue()


@pytest.fixture
def engine(kv: FailingKeyValue) -> Engine:
    return open_engine(GENESIS, kv, layers=LAYERS)


def insist(engine: Engine, call: Callable[[], Any]) -> None:
    """A call that is made again until it is answered, as a rollup node does; nothing moves before."""
    for _ in range(2):
        try:
            call()
            return
        except StoreUnavailable:
            engine._kv.room = False  # type: ignore[attr-defined]
            head = engine.head
            with pytest.raises(StoreUnavailable, match="takes no writes: no space"):
                call()
            assert engine.head == head and engine.failure == "no space"
            engine._kv.room = True  # type: ignore[attr-defined]
    raise AssertionError("no answer")


def drive(engine: Engine, chain: list[Block]) -> None:
    """Every block becomes the head, and finalizes its grandparent; then the head goes back to the first branch."""
    for block in chain:
        insist(engine, lambda block=block: submit(engine, block))  # type: ignore[misc]
        assert engine.blocks.is_complete(block.hash)
        insist(engine, lambda block=block: engine.forkchoice_updated(forkchoice(block.header)))  # type: ignore[misc]
        assert engine.head == block.header and engine.state.has(block.hash)
    insist(engine, lambda: engine.forkchoice_updated(forkchoice(chain[4].header)))


@pytest.mark.parametrize("torn", [True, False], ids=["torn", "written all the same"])
def test_any_write_may_fail_and_nothing_acknowledged_is_lost(chain: list[Block], torn: bool) -> None:
    good_writes = failed = 0
    while True:
        kv = FailingKeyValue()
        engine = open_engine(GENESIS, kv, layers=LAYERS)
        heads: list[Event] = []
        engine.events.subscribe(heads.append)
        kv.good_writes, kv.torn = good_writes, torn
        drive(engine, chain)
        assert engine.head == chain[4].header
        assert list(verify(kv)) == []
        announced = [event.head.hash for event in heads if isinstance(event, NewHead)]
        assert announced == [block.hash for block in chain] + [chain[4].hash]
        kv.good_writes = 1 << 60
        again = open_engine(GENESIS, kv, layers=LAYERS)
        assert again.head == chain[4].header and all(again.blocks.is_complete(block.hash) for block in chain)
        if not kv.reopened:
            break
        failed += kv.reopened
        good_writes += 1
    assert failed == good_writes > 30


def test_nothing_is_read_that_the_disk_does_not_have(engine: Engine, kv: FailingKeyValue, chain: list[Block]) -> None:
    kv.good_writes, kv.room = 0, False
    with pytest.raises(StoreUnavailable):
        submit(engine, chain[0])
    assert engine.blocks.block(chain[0].hash) is None and engine.blocks.receipts(chain[0].hash) is None
    assert not engine.state.has(chain[0].hash)
    assert engine.head.number == 0 and engine.state.view(engine.head.hash) is not None  # reads go on


def test_known_payload_is_not_acknowledged_either(engine: Engine, kv: FailingKeyValue, chain: list[Block]) -> None:
    assert submit(engine, chain[0]).status is Status.VALID
    kv.good_writes, kv.room = 0, False
    for block in (chain[1], chain[0]):
        with pytest.raises(StoreUnavailable):
            submit(engine, block)
    kv.room = True
    assert submit(engine, chain[0]).status is Status.VALID


def test_failure_and_recovery_are_told_once(
    engine: Engine, kv: FailingKeyValue, chain: list[Block], caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Event] = []
    engine.events.subscribe(heard.append)
    kv.good_writes, kv.room = 0, False
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            submit(engine, chain[0])
    assert not engine.recover()
    kv.room = True
    assert engine.recover() and engine.recover()
    assert heard == [StoreFailed(), StoreReopened()]
    told = [record.message for record in caplog.records if "atabase" in record.message]
    assert len(told) == 2 and told[0].startswith("Writing to the database failed") and told[1].startswith("The database has been reopened")


@pytest.mark.parametrize("key", [schema.HEAD, "block"])
def test_reopened_database_without_what_was_acknowledged_is_refused(
    engine: Engine, kv: FailingKeyValue, chain: list[Block], key: Any
) -> None:
    submit(engine, chain[0])
    engine.forkchoice_updated(forkchoice(chain[0].header))
    kv.good_writes, kv.room = 0, False
    with pytest.raises(StoreUnavailable):
        submit(engine, chain[1])
    kv.apply({schema.header_key(1, chain[0].hash) if key == "block" else key: None})
    kv.room = True
    for _ in range(2):
        with pytest.raises(StoreError, match="the reopened database"):
            submit(engine, chain[1])
    assert engine.failure is not None


def recovered(engine: Engine) -> bool:
    with ThreadPoolExecutor(1) as thread:
        return asyncio.run(recovery.recover(engine, thread))


def test_space_that_comes_back_is_noticed(engine: Engine, kv: FailingKeyValue, chain: list[Block], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "FIRST_PAUSE_SECONDS", 0.01)
    kv.good_writes, kv.room = 0, False
    with pytest.raises(StoreUnavailable):
        submit(engine, chain[0])
    looks = iter([False, False, True])
    monkeypatch.setattr(kv, "has_room", lambda: next(looks))
    assert recovered(engine) and kv.reopened == 1
    assert submit(engine, chain[0]).status is Status.VALID


def test_node_gives_up_when_reopening_has_failed_twice(
    engine: Engine, kv: FailingKeyValue, chain: list[Block], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recovery, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(recovery, "PATIENCE_SECONDS", 0.1)
    kv.good_writes, kv.room, kv.opens = 0, False, False
    with pytest.raises(StoreUnavailable):
        submit(engine, chain[0])
    assert not recovered(engine)
    assert sum(record.message == "The database could not be reopened" for record in caplog.records) == recovery.ATTEMPTS


def test_build_that_ends_after_the_reopening_leaves_nothing(
    engine: Engine, kv: FailingKeyValue, forge: Forge, chain: list[Block], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has built stands on the database as it was before."""
    running, reopened = threading.Event(), threading.Event()

    def finish_late(*_: Any) -> list[bytes]:
        running.set()
        assert reopened.wait(60)
        return []

    monkeypatch.setattr(engine.builder, "_fill", finish_late)
    started = engine.forkchoice_updated(forkchoice(engine.head), forge.attributes(engine.head, no_tx_pool=False))
    build = engine.builder._builds[started.payload_id or b""]
    assert running.wait(60)
    kv.good_writes, kv.room = 0, False
    with pytest.raises(StoreUnavailable):
        submit(engine, chain[0])
    kv.room = True
    assert engine.recover()
    reopened.set()
    assert build.done.wait(60)
    assert not engine._built
    with pytest.raises(UnknownPayload):
        engine.get_payload(started.payload_id or b"")
