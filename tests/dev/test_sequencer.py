"""The dev chain's sequencer drives the engine as a rollup node does, on every fork."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from l2engine.chain.engine import Engine, EngineSettings
from l2engine.dev.l1 import ImaginedL1
from l2engine.dev.sequencer import Sequencer, SequencerSettings
from l2engine.dev.upgrades import read_upgrade
from l2engine.rules.forks import OP_FORKS
from l2engine.rules.l1_attributes import Format, calldata_format, format_of
from l2engine.rules.predeploys import DEPOSITOR, L1_BLOCK
from l2engine.types.limits import BuilderSettings
from l2engine.types.transaction import DepositTransaction
from l2engine.types.transaction_codec import decode_transaction
from tests.helpers.dev_chain import GENESIS_TIME, document, funded, open_engine
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
