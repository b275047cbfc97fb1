"""The dev chain's sequencer drives the engine as a rollup node does, on every fork."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from l2engine.chain.engine import Engine, EngineSettings
from l2engine.dev.attempts import Attempts
from l2engine.dev.l1 import ImaginedL1, dev_attributes
from l2engine.dev.sequencer import Sequencer, SequencerSettings
from l2engine.dev.upgrades import read_upgrade
from l2engine.errors import InvalidAttributes
from l2engine.evm.executor import Executor
from l2engine.evm.native.machine import NativeExecutor, available
from l2engine.evm.reference.machine import ReferenceExecutor
from l2engine.rules.config import DEV_RULES, ChainConfig
from l2engine.rules.forks import OP_FORKS
from l2engine.rules.l1_attributes import Format, calldata_format, format_of
from l2engine.rules.predeploys import DEPOSITOR, L1_BLOCK
from l2engine.types.limits import BuilderSettings
from l2engine.types.payload import Status
from l2engine.types.transaction import DepositTransaction
from l2engine.types.transaction_codec import decode_transaction
from tests.helpers.dev_chain import GENESIS_TIME, adopt, document, forkchoice, funded, open_engine, submit
from tests.lagoon.facts import BUNDLE, Fact, facts

SINK = b"\1" * 20


def sequencer_on(engine: Engine, thread: ThreadPoolExecutor, **settings: float) -> Sequencer:
    return Sequencer(engine, thread, SequencerSettings(**settings), lambda: GENESIS_TIME)  # type: ignore[arg-type]


@pytest.mark.parametrize("fork", [fork.name for fork in OP_FORKS])
def test_blocks_of_every_fork_begin_with_its_l1_attributes(fork: str) -> None:
    engine = open_engine(document(fork))
    sequencer = Sequencer(engine, ThreadPoolExecutor(1))
    alice = funded("alice")
    for number in range(1, 4):
        engine.pool.add(alice.sign(to=SINK, value=1))
        block = sequencer.make_block(GENESIS_TIME + number)
        row = engine.config.fork_at(number, block.header.timestamp)
        first = decode_transaction(block.transactions[0])
        assert isinstance(first, DepositTransaction)
        assert (first.sender, first.to, calldata_format(first.data)) == (DEPOSITOR, L1_BLOCK, format_of(row))
        assert first.is_system_transaction == (fork == "bedrock")
        receipts = engine.blocks.receipts(block.hash)
        assert receipts is not None
        assert [receipt.status for receipt in receipts] == [1, 1]
        assert engine.head == block.header
    account = engine.state.view(engine.head.hash).account(SINK)
    assert account is not None
    assert account.balance == 3


def test_same_transactions_give_the_same_chain() -> None:
    def heads() -> list[bytes]:
        engine, alice = open_engine(document()), funded("alice")
        sequencer = Sequencer(engine, ThreadPoolExecutor(1))
        hashes = []
        for number in range(1, 9):
            engine.pool.add(alice.sign(to=SINK))
            hashes.append(sequencer.make_block(GENESIS_TIME + 2 * number).hash)
        return hashes

    assert heads() == heads()


def test_format_changes_one_block_after_a_fork() -> None:
    engine = open_engine(document("isthmus", {"jovian": 4}))
    sequencer = Sequencer(engine, ThreadPoolExecutor(1))
    formats = []
    for number in range(1, 5):
        block = sequencer.make_block(GENESIS_TIME + 2 * number)
        first = decode_transaction(block.transactions[0])
        form = calldata_format(first.data)
        assert form is not None
        formats.append(form.name)
    assert formats == ["ISTHMUS", "ISTHMUS", "JOVIAN", "JOVIAN"]


def test_safe_and_finalized_follow() -> None:
    engine = open_engine(document())
    sequencer = sequencer_on(engine, ThreadPoolExecutor(1), safe_distance=2, finalized_distance=4)
    for number in range(1, 8):
        sequencer.make_block(GENESIS_TIME + number)
    assert engine.safe is not None
    assert engine.finalized is not None
    assert (engine.safe.number, engine.finalized.number) == (5, 3)


def test_timestamps_rise_though_the_clock_stands() -> None:
    engine = open_engine(document())
    sequencer = sequencer_on(engine, ThreadPoolExecutor(1))
    assert [sequencer.make_block().header.timestamp - GENESIS_TIME for _ in range(3)] == [1, 2, 3]


def shared(genesis: dict[str, Any]) -> dict[str, Any]:
    """The genesis with the rule that a block may have its parent's timestamp."""
    return {**genesis, "config": genesis["config"] | DEV_RULES}


def test_blocks_share_the_clocks_time_where_the_genesis_lets_them() -> None:
    engine = open_engine(shared(document()))
    sequencer = sequencer_on(engine, ThreadPoolExecutor(1))
    headers = [sequencer.make_block().header for _ in range(3)]
    assert [header.timestamp - GENESIS_TIME for header in headers] == [0, 0, 0]
    assert sequencer.make_block(GENESIS_TIME - 5).header.timestamp == GENESIS_TIME  # never back


EXECUTORS = [
    ReferenceExecutor,
    pytest.param(NativeExecutor, marks=pytest.mark.skipif(not available(), reason="the native core is not installed")),
]


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("fork", [fork.name for fork in OP_FORKS])
def test_blocks_with_one_timestamp_are_valid_on_their_own_chain_alone(fork: str, executor: Callable[[ChainConfig], Executor]) -> None:
    maker, alice = open_engine(shared(document(fork))), funded("alice")
    sequencer = Sequencer(maker, ThreadPoolExecutor(1))
    blocks = []
    for number in range(4):
        maker.pool.add(alice.sign(to=SINK, value=1))
        blocks.append(sequencer.make_block(GENESIS_TIME + number // 2))
    times = [block.header.timestamp - GENESIS_TIME for block in blocks]
    assert times == [0, 0, 1, 1]
    assert all(len(block.transactions) == 2 for block in blocks)
    own, other = (open_engine(genesis, executor=executor(maker.config)) for genesis in (shared(document(fork)), document(fork)))
    adopt(own, *blocks)
    assert own.head == maker.head
    refused = submit(other, blocks[0])
    assert (refused.status, refused.latest_valid_hash) == (Status.INVALID, other.head.hash)
    with pytest.raises(InvalidAttributes, match="invalid timestamp"):
        other.forkchoice_updated(forkchoice(other.head), dev_attributes(other.config, other.head, GENESIS_TIME, ImaginedL1()))


def test_base_fee_moves_with_each_block_of_one_second() -> None:
    engine = open_engine(shared(document()))
    sequencer = sequencer_on(engine, ThreadPoolExecutor(1))
    fees = [sequencer.make_block().header.base_fee_per_gas or 0 for _ in range(3)]
    assert fees[0] > fees[1] > fees[2]


def test_a_fork_begins_once_though_blocks_share_its_second() -> None:
    """Its first block alone is the activation block, and the L1 attributes change their form one block later."""
    engine, alice = open_engine(shared(document("karst", {"lagoon": 2}))), funded("alice")
    sequencer = Sequencer(engine, ThreadPoolExecutor(1))
    sizes, forks = [], []
    for when in (1, 1, 2, 2):
        engine.pool.add(alice.sign(to=SINK))
        block = sequencer.make_block(GENESIS_TIME + when)
        sizes.append(len(block.transactions))
        forks.append(engine.config.fork_at(block.number, block.header.timestamp).name)
    assert forks == ["karst", "karst", "lagoon", "lagoon"]
    assert sizes == [2, 2, 1, 3]  # Lagoon's first block takes deposits alone


def test_a_new_chain_has_a_safe_and_a_finalized_block() -> None:
    engine = open_engine(document())
    assert engine.safe is None
    Sequencer(engine, ThreadPoolExecutor(1)).begin()
    assert (engine.safe, engine.finalized) == (engine.head, engine.head)


def run(sequencer: Sequencer, until: float) -> None:
    async def main() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(sequencer.run(), until)

    asyncio.run(main())


def test_a_transaction_makes_a_block() -> None:
    engine, alice = open_engine(document()), funded("alice")

    async def main() -> None:
        with ThreadPoolExecutor(1) as thread:
            running = asyncio.create_task(sequencer_on(engine, thread).run())
            await asyncio.sleep(0.05)
            assert engine.head.number == 0
            for number in (1, 2):
                engine.pool.add(alice.sign(to=SINK))
                end = time.monotonic() + 60
                while engine.head.number < number and time.monotonic() < end:
                    await asyncio.sleep(0.005)
                assert engine.head.number == number
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    asyncio.run(main())


def test_pool_is_served_after_an_activation_block() -> None:
    """The activation block takes deposits alone; whoever waits is in the next one, unasked."""
    engine, alice = open_engine(document("karst", {"lagoon": 1})), funded("alice")

    async def main() -> None:
        with ThreadPoolExecutor(1) as thread:
            running = asyncio.create_task(sequencer_on(engine, thread).run())
            await asyncio.sleep(0.05)
            engine.pool.add(alice.sign(to=SINK))
            end = time.monotonic() + 60
            while engine.head.number < 2 and time.monotonic() < end:
                await asyncio.sleep(0.005)
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    asyncio.run(main())
    assert [len(engine.blocks.block(engine.blocks.canonical_hash(number)).transactions) for number in (1, 2)] == [1, 2]


@facts("activation.json", "activation", fact="gas limit around activation")
def test_gas_limit_rises_for_the_activation_block_alone(fact: Fact) -> None:
    engine = open_engine(document("karst", {"lagoon": 4}))
    l1 = ImaginedL1(gas_limit=fact.input["system_config_gas_limit"], upgrades={"lagoon": read_upgrade(BUNDLE, "lagoon")})
    sequencer = Sequencer(engine, ThreadPoolExecutor(1), SequencerSettings(l1=l1))
    blocks = [sequencer.make_block(GENESIS_TIME + 2 * number) for number in (1, 2, 3)]
    assert [block.header.gas_limit for block in blocks] == list(fact.expected.values())


@facts("activation.json", "activation", fact="order in the activation block")
def test_activation_block_holds_deposits_in_order(fact: Fact) -> None:
    engine = open_engine(document("karst", {"lagoon": 4}))
    upgrade = read_upgrade(BUNDLE, "lagoon", multi_chain=True)
    sequencer = Sequencer(engine, ThreadPoolExecutor(1), SequencerSettings(l1=ImaginedL1(upgrades={"lagoon": upgrade})))
    _, block, after = (sequencer.make_block(GENESIS_TIME + 2 * number) for number in (1, 2, 3))
    assert len(fact.expected["order"]) == 5  # the L1 of a dev chain has no user deposits
    assert calldata_format(decode_transaction(block.transactions[0]).data) is Format.JOVIAN
    assert block.transactions[1:] == upgrade.deposits
    assert len(after.transactions) == 1


def test_senders_wait_for_their_blocks_and_no_longer() -> None:
    """The second one waits for an earlier nonce, the third leaves with the first's block."""
    engine, alice, bob = open_engine(shared(document())), funded("alice"), funded("bob")
    attempts = Attempts(wait_seconds=60)

    async def main() -> list[int]:
        def send(raw: bytes) -> int:
            attempts.wait(engine.pool, engine.pool.add(raw))
            return engine.head.number

        with ThreadPoolExecutor(1) as thread:
            running = asyncio.create_task(Sequencer(engine, thread, now=lambda: GENESIS_TIME, attempts=attempts).run())
            await asyncio.sleep(0.05)
            at = [await asyncio.to_thread(send, raw) for raw in (alice.sign(to=SINK), bob.sign(to=SINK, nonce=1))]
            at += [await asyncio.to_thread(send, bob.sign(to=SINK, nonce=0))]
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
        return at

    assert asyncio.run(main()) == [1, 1, 2]
    last = engine.blocks.block(engine.head.hash)
    assert last is not None and len(last.transactions) == 3  # both of bob's: what is in the pool together shares a block


def test_nobody_waits_for_a_sequencer_that_is_gone() -> None:
    engine, attempts = open_engine(document()), Attempts(wait_seconds=60)
    sent = engine.pool.add(funded("alice").sign(to=SINK))
    attempts.close()
    started = time.monotonic()
    attempts.wait(engine.pool, sent)
    assert time.monotonic() - started < 30


def test_a_sender_goes_when_the_attempt_was_in_vain_or_takes_too_long() -> None:
    engine, attempts = open_engine(document()), Attempts(wait_seconds=0.2)
    sent = engine.pool.add(funded("alice").sign(to=SINK))
    attempts.wait(engine.pool, sent)  # nobody attempts anything
    patient = Attempts(wait_seconds=60)

    async def main() -> None:
        waiting = asyncio.create_task(asyncio.to_thread(patient.wait, engine.pool, sent))
        await asyncio.sleep(0.05)
        with patient.attempt():
            pass
        await asyncio.wait_for(waiting, 30)

    asyncio.run(main())
    assert engine.pool.is_pending(sent)


def test_blocks_come_by_the_clock() -> None:
    engine = open_engine(document())
    with ThreadPoolExecutor(1) as thread:
        run(Sequencer(engine, thread, SequencerSettings(block_time=0.1)), 0.75)
    assert 3 <= engine.head.number <= 8


def test_a_long_transaction_is_mined_all_the_same() -> None:
    """It takes longer than a rollup node would wait, and the sequencer waits for the build."""
    settings = EngineSettings(builder=BuilderSettings(deadline_seconds=60.0))  # as `l2engine dev` has it
    engine, alice = open_engine(document(), settings=settings), funded("alice")
    sequencer = Sequencer(engine, ThreadPoolExecutor(1))
    loop = bytes.fromhex("5b600056")
    engine.pool.add(alice.sign(to=None, data=loop, gas=8_000_000))  # the constructor burns its gas
    block = sequencer.make_block(GENESIS_TIME + 1)
    assert len(block.transactions) == 2
    assert block.header.gas_used > 8_000_000
