"""A pool with a journal, stopped at any moment: the next one has what this one had, and nothing else."""

import dataclasses
import itertools
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2engine.chain.events import Events, Origin, PooledTransaction
from l2engine.chain.journal import Journal
from l2engine.chain.pool import Pool
from l2engine.errors import JournalUnavailable, PoolError
from l2engine.types.base import keccak
from l2engine.types.block import Block
from l2engine.types.limits import PoolSettings
from l2engine.types.state import Account
from tests.chain.test_pool import BASE_FEE, ETHER, HEAD, Clock, State, config
from tests.helpers.accounts import Signer, signer
from tests.helpers.failing import file_size_limit

CHAIN = bytes(32)
ALICE, BOB = signer("alice"), signer("bob")


@dataclasses.dataclass
class Run:
    """A pool and its journal, of one process after the other."""

    path: Path
    state: State = dataclasses.field(default_factory=lambda: State({who.address: Account(0, ETHER) for who in (ALICE, BOB)}))
    limits: PoolSettings = dataclasses.field(default_factory=PoolSettings)
    clock: Clock = dataclasses.field(default_factory=Clock)
    sync: bool = False

    def start(self) -> Pool:
        self.events = Events()
        self.pool = Pool(config("jovian"), self.limits, self.events, now=self.clock)
        self.pool.reset(HEAD, self.state)
        self.journal = Journal(self.path, CHAIN, self.sync)
        self.pool.restore(self.journal)
        return self.pool

    def kill(self) -> None:
        """What a kill leaves behind: the file, and the lock free. Nothing is written any more."""
        content = self.path.read_bytes()
        self.pool.close()
        self.path.write_bytes(content)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path / "journal")
    run.start()
    yield run
    run.pool.close()


def include(run: Run, who: Signer, nonce: int) -> None:
    """A block that ends with the sender's account at this nonce."""
    run.state.accounts[who.address] = Account(nonce, ETHER)
    run.pool.reset(HEAD, run.state)


def test_accepted_transactions_wait_again_after_a_kill(run: Run) -> None:
    for nonce in (2, 0, 1, 5):
        run.pool.add(ALICE.sign(nonce=nonce))
    before = run.pool.content()
    run.kill()
    assert run.start().content() == before
    run.kill()
    assert run.start().content() == before  # also what has come back once


def test_included_and_replaced_transactions_do_not_come_back(run: Run) -> None:
    for nonce in range(4):
        run.pool.add(ALICE.sign(nonce=nonce, tip=100))
    better = run.pool.add(ALICE.sign(nonce=2, tip=1000, max_fee=2 * 10**10))
    include(run, ALICE, 2)
    run.kill()
    assert run.start().hashes() == [better, keccak(ALICE.sign(nonce=3, tip=100))]


def test_a_replaced_transaction_stays_away_when_the_one_that_replaced_it_is_refused(run: Run) -> None:
    run.pool.add(ALICE.sign(nonce=0, tip=100))
    run.pool.add(ALICE.sign(nonce=0, tip=1000, max_fee=2 * 10**10, value=ETHER // 2))
    run.kill()
    run.state.accounts[ALICE.address] = Account(0, ETHER // 4)
    assert run.start().hashes() == []


def test_a_dropped_transaction_does_not_come_back(run: Run) -> None:
    hashes = [run.pool.add(ALICE.sign(nonce=nonce)) for nonce in range(3)]
    run.pool.drop(hashes[2])
    run.kill()
    assert run.start().hashes() == hashes[:2]
    run.pool.clear()
    run.kill()
    assert run.start().hashes() == []


def test_a_whole_queue_comes_back_behind_a_gap(run: Run) -> None:
    """A damaged entry leaves a gap with more behind it than a sender may queue; what was accepted stays all the same."""
    hashes = [run.pool.add(ALICE.sign(nonce=nonce)) for nonce in range(200)]
    run.kill()
    lines = run.path.read_bytes().splitlines(keepends=True)
    lines[101] = lines[101].replace(b"local", b"loyal")
    run.path.write_bytes(b"".join(lines))
    assert run.start().hashes() == hashes[:100] + hashes[101:]
    assert run.pool.status() == (100, 99)


def test_what_is_back_need_not_be_affordable_together(run: Run) -> None:
    """As in a pool that went on: only each for itself."""
    hashes = [run.pool.add(ALICE.sign(nonce=nonce, value=ETHER // 4)) for nonce in range(3)]
    run.state.accounts[ALICE.address] = Account(0, ETHER // 2)
    run.kill()
    assert run.start().hashes() == hashes


def test_waiting_behind_a_gap_goes_on_while_the_node_is_down(run: Run) -> None:
    pending = run.pool.add(ALICE.sign(nonce=0))
    queued = run.pool.add(ALICE.sign(nonce=5))
    run.kill()
    run.clock.now += run.limits.lifetime_seconds - 1
    assert run.start().hashes() == [pending, queued]
    run.kill()
    run.clock.now += 2
    assert run.start().hashes() == [pending]


def test_a_smaller_pool_keeps_the_best_payers(tmp_path: Path) -> None:
    payers = [signer(f"payer {n}") for n in range(6)]
    run = Run(tmp_path / "journal", State({who.address: Account(0, ETHER) for who in payers}))
    run.start()
    hashes = [run.pool.add(who.sign(nonce=0, tip=10**6 + n)) for n, who in enumerate(payers)]
    run.kill()
    run.limits = PoolSettings(global_slots=2, global_queue=1)
    assert run.start().hashes() == hashes[3:]
    run.pool.close()


@pytest.mark.parametrize("origin", [Origin.PEER, Origin.FORWARDED])
def test_what_others_keep_is_not_kept_here(run: Run, origin: Origin) -> None:
    mine = run.pool.add(ALICE.sign(nonce=0))
    run.pool.add(BOB.sign(nonce=0), origin)
    run.kill()
    assert run.start().hashes() == [mine]


def test_what_a_reorg_brings_back_is_kept(run: Run) -> None:
    raw = ALICE.sign(nonce=0)
    run.pool.add(raw)
    include(run, ALICE, 1)
    run.pool.rejournal()  # it is in the chain: the journal forgets it
    run.state.accounts[ALICE.address] = Account(0, ETHER)
    run.pool.reset(HEAD, run.state, (Block(HEAD, (raw,), (), ()),), ())
    run.kill()
    assert run.start().hashes() == [keccak(raw)]


def test_origin_time_and_announcement_are_as_before(run: Run) -> None:
    run.pool.add(ALICE.sign(nonce=0))
    before = next(run.pool.best(0))
    run.kill()
    run.clock.now += 60
    events, seen = Events(), []
    events.subscribe(seen.append)
    pool = Pool(config("jovian"), events=events, now=run.clock)
    pool.reset(HEAD, run.state)
    run.journal = Journal(run.path, CHAIN)
    pool.restore(run.journal)
    after = next(pool.best(0))
    assert (after.added_at, after.origin) == (before.added_at, before.origin)
    assert seen == [PooledTransaction(before.hash, before.raw)]
    run.pool = pool


def test_rejournaling_forgets_what_has_left_the_pool(run: Run) -> None:
    for nonce in range(50):
        run.pool.add(ALICE.sign(nonce=nonce))
    size = run.path.stat().st_size
    include(run, ALICE, 49)
    assert run.path.stat().st_size == size
    run.pool.rejournal()
    assert run.path.stat().st_size < size / 10
    run.kill()
    assert run.start().status() == (1, 0)


def test_a_large_journal_is_written_anew_by_itself(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("l2engine.chain.journal.ROTATE_BYTES", 3000)
    run.pool.rejournal()
    sizes = []
    for nonce in range(200):
        run.pool.add(ALICE.sign(nonce=nonce))
        include(run, ALICE, nonce + 1)
        sizes.append(run.path.stat().st_size)
    assert max(sizes) < 3500


# ---- what fails -----------------------------------------------------------------------------------------------------


def test_what_cannot_be_kept_is_refused_and_not_in_the_pool(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    first = run.pool.add(ALICE.sign(nonce=0))
    with file_size_limit(run.path.stat().st_size + 1), caplog.at_level(logging.WARNING):
        for _ in range(3):
            with pytest.raises(JournalUnavailable, match="File too large"):
                run.pool.add(ALICE.sign(nonce=1))
        assert run.pool.hashes() == [first]
    second = run.pool.add(ALICE.sign(nonce=1))
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]  # once each, not for every transaction
    run.kill()
    assert run.start().hashes() == [first, second]


def test_a_full_pool_gives_up_nothing_for_what_cannot_be_kept(tmp_path: Path) -> None:
    run = Run(tmp_path / "journal", limits=PoolSettings(global_slots=1, global_queue=0))
    run.start()
    first = run.pool.add(ALICE.sign(nonce=0, tip=10**6))
    with file_size_limit(run.path.stat().st_size + 1), pytest.raises(JournalUnavailable):
        run.pool.add(BOB.sign(nonce=0, tip=10**7))
    assert run.pool.hashes() == [first]
    run.pool.close()


def test_what_may_not_be_on_the_disk_leaves_the_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path / "journal", sync=True)
    run.start()
    first = run.pool.add(ALICE.sign(nonce=0))

    def fail() -> None:
        raise JournalUnavailable("no disk")

    monkeypatch.setattr(run.journal, "settle", fail)
    with pytest.raises(JournalUnavailable):
        run.pool.add(ALICE.sign(nonce=1))
    assert run.pool.hashes() == [first]
    run.pool.close()


def test_a_reorg_goes_on_without_a_journal_that_works(run: Run) -> None:
    raw = ALICE.sign(nonce=0)
    with file_size_limit(10):
        run.pool.reset(HEAD, run.state, (Block(HEAD, (raw,), (), ()),), ())
        run.pool.rejournal()
    assert run.pool.hashes() == [keccak(raw)]
    run.pool.rejournal()
    run.kill()
    assert run.start().hashes() == [keccak(raw)]


# ---- any life -------------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "replace", "include", "rejournal", "drop", "kill"]), st.integers(0, 1), st.integers(0, 8)
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_any_life_with_kills_is_as_one_without(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]) -> None:
    run = Run(tmp_path_factory.mktemp("life") / "journal")
    run.start()
    unkilled = Pool(config("jovian"), now=run.clock)
    unkilled.reset(HEAD, run.state)
    prices = itertools.count(1)
    for what, who, n in [*steps, ("kill", 0, 0)]:
        sender = (ALICE, BOB)[who]
        if what in ("add", "replace"):
            tip = 10**6 if what == "add" else 10**6 * 2 ** next(prices)
            raw = sender.sign(nonce=n, tip=tip, max_fee=tip + 2 * BASE_FEE)
            assert outcome(run.pool, raw) == outcome(unkilled, raw)
        elif what == "include":
            run.state.accounts[sender.address] = Account(max(n, run.state.accounts[sender.address].nonce), ETHER)
            for pool in (run.pool, unkilled):
                pool.reset(HEAD, run.state)
        elif what == "rejournal":
            run.pool.rejournal()
        elif what == "drop":
            for waiting in sorted(unkilled.hashes())[n : n + 1]:
                assert run.pool.drop(waiting) and unkilled.drop(waiting)
        else:
            run.kill()
            run.start()
        assert run.pool.content() == unkilled.content()
    run.pool.close()


def outcome(pool: Pool, raw: bytes) -> bytes | str:
    try:
        return pool.add(raw)
    except PoolError as error:
        return str(error)
