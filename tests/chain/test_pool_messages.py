"""Transactions that execute messages of other chains: checked on the way in and again while they wait, kept out of blocks until then."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from l2engine.chain.interop import AGAIN_SECONDS, VALID_SECONDS
from l2engine.chain.journal import Journal
from l2engine.chain.pool import Pool
from l2engine.errors import PoolError
from l2engine.refusals import Reason
from l2engine.rules.predeploys import CROSS_L2_INBOX
from tests.helpers.dev_chain import Forge, adopt, document, forkchoice, funded, open_engine

GENESIS = document("lagoon")
KEYS = (b"\x01" * 32, b"\x03" * 32)


@dataclass
class Filter:
    """A filter that says what the test wants."""

    refuses: Reason | None = None
    failsafe: bool = False
    asked: list[tuple[Sequence[bytes], int]] = field(default_factory=list)

    def check(self, keys: Sequence[bytes], timestamp: int) -> None:
        self.asked.append((keys, timestamp))
        if self.failsafe:
            raise PoolError(Reason.MESSAGES_FAILSAFE)
        if self.refuses is not None:
            raise PoolError(self.refuses, why="conflicting data", answers=0, wanted=1, valid=1, invalid=1)

    def look_at_failsafe(self) -> None: ...


class Case:
    """A pool with a filter and a clock on a Lagoon chain."""

    def __init__(self) -> None:
        self.clock, self.filter = 1000.0, Filter()
        self.engine = open_engine(GENESIS)
        self.pool = Pool(self.engine.config, now=lambda: self.clock)
        self.pool.message_filter = self.filter
        self.follow()

    def follow(self) -> None:
        self.pool.reset(self.engine.head, self.engine.state.view(self.engine.head.hash))

    def buildable(self) -> list[int]:
        return [pooled.tx.nonce for pooled in self.pool.best(0)]


@pytest.fixture
def case() -> Case:
    return Case()


def executing(nonce: int, value: int = 0) -> bytes:
    return funded("alice").sign(nonce=nonce, to=bytes(20), gas=100_000, value=value, access_list=((CROSS_L2_INBOX, KEYS),))


@pytest.mark.parametrize("reason", [Reason.MESSAGES_INVALID, Reason.MESSAGES_DISPUTED, Reason.MESSAGES_UNCHECKED])
def test_refused_messages_keep_a_transaction_out(case: Case, reason: Reason):
    case.filter.refuses = reason
    with pytest.raises(PoolError) as caught:
        case.pool.add(executing(0))
    assert caught.value.reason is reason and case.pool.status() == (0, 0)


def test_the_filter_is_not_asked_about_a_transaction_that_is_refused_anyway(case: Case):
    with pytest.raises(PoolError, match="insufficient funds"):
        case.pool.add(executing(0, value=1 << 200))
    case.pool.add(executing(0))
    with pytest.raises(PoolError, match="already known"):
        case.pool.add(executing(0))
    assert case.filter.asked == [(list(KEYS), case.engine.head.timestamp)]


def test_a_waiting_transaction_is_checked_again_and_leaves_when_its_message_is_gone(case: Case):
    case.pool.add(executing(0))
    case.pool.look_at_messages()
    assert len(case.filter.asked) == 1  # it is not due
    case.clock += AGAIN_SECONDS
    case.pool.look_at_messages()
    assert len(case.filter.asked) == 2 and case.pool.status() == (1, 0)
    case.clock += AGAIN_SECONDS
    case.filter.refuses = Reason.MESSAGES_UNCHECKED  # says nothing about the message
    case.pool.look_at_messages()
    assert case.pool.status() == (1, 0)
    case.filter.refuses = Reason.MESSAGES_INVALID
    case.pool.look_at_messages()
    assert case.pool.status() == (0, 0)


def test_what_nobody_vouches_for_any_more_leaves_in_time(case: Case):
    case.pool.add(executing(0))
    begin = case.engine.head
    forge = Forge(GENESIS)
    adopt(case.engine, forge.block(begin, seconds=VALID_SECONDS))
    case.follow()
    assert case.pool.status() == (1, 0)
    adopt(case.engine, forge.block(case.engine.head, seconds=2))
    case.follow()
    assert case.pool.status() == (0, 0)


def test_the_failsafe_closes_the_pool_and_the_blocks(case: Case):
    case.pool.add(funded("bob").sign(to=bytes(20)))
    case.pool.add(executing(0))
    case.filter.failsafe = True
    assert len(case.buildable()) == 1
    case.pool.look_at_messages()
    assert case.pool.status() == (1, 0)
    with pytest.raises(PoolError, match="interop failsafe is active"):
        case.pool.add(executing(0))
    case.filter.failsafe = False
    case.pool.add(executing(0))
    assert len(case.buildable()) == 2


def test_after_a_reorg_messages_are_checked_again_before_a_block_takes_them():
    forge, engine = Forge(GENESIS), open_engine(GENESIS)
    filter = engine.pool.message_filter = Filter()
    block = forge.block(forge.genesis, executing(0))
    adopt(engine, block)
    other = forge.block(forge.genesis, seconds=4)
    adopt(engine, other)
    assert engine.pool.status() == (1, 0) and list(engine.pool.best(0)) == []
    engine.pool.look_at_messages()
    assert [pooled.tx.nonce for pooled in engine.pool.best(0)] == [0]
    assert filter.asked == [(list(KEYS), engine.head.timestamp)]


def test_after_a_restart_messages_are_checked_again_before_a_block_takes_them(case: Case, tmp_path: Path):
    journal = Journal(tmp_path / "journal", bytes(32))
    case.pool.restore(journal)
    case.pool.add(executing(0))
    case.pool.add(funded("alice").sign(nonce=1, to=bytes(20)))
    journal.close()
    again = Case()
    again.pool.restore(Journal(tmp_path / "journal", bytes(32)))
    assert again.pool.status() == (2, 0) and again.buildable() == []  # the second depends on the first
    again.pool.look_at_messages()
    assert again.buildable() == [0, 1]


def test_a_build_leaves_out_what_the_failsafe_forbids():
    engine = open_engine(GENESIS)
    engine.pool.message_filter = filter = Filter()
    engine.pool.add(executing(0))
    forge = Forge(GENESIS)
    attributes = forge.attributes(engine.head, no_tx_pool=False)
    filter.failsafe = True
    payload_id = engine.forkchoice_updated(forkchoice(engine.head), attributes).payload_id
    assert payload_id is not None
    assert len(engine.get_payload(payload_id).block.transactions) == 1
