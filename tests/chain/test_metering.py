"""A builder that gives refunds: what it appends, what a verifier says of it, and who earns nothing."""

import time
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from l2engine.chain.builder import BuilderSettings
from l2engine.chain.engine import Engine, EngineSettings
from l2engine.chain.metering import MeteredExecution
from l2engine.chain.payload import draft_block
from l2engine.chain.process import block_env
from l2engine.dev.l1 import ImaginedL1, dev_attributes
from l2engine.errors import ExecutionTimeout, InvalidTransaction
from l2engine.evm.agreement import AgreementExecutor
from l2engine.evm.native.machine import NativeExecutor, available
from l2engine.evm.reference.machine import ReferenceExecutor
from l2engine.types.base import ZERO_HASH, keccak
from l2engine.types.block import Block
from l2engine.types.payload import ForkchoiceState, Status
from l2engine.types.transaction import GasRefund, PostExecutionTransaction
from l2engine.types.transaction_codec import decode_transaction
from tests.helpers.accounts import Signer
from tests.helpers.dev_chain import GENESIS_TIME, document, forkchoice, funded, open_engine, submit

needs_native = pytest.mark.skipif(not available(), reason="the native core is not installed: `make native`")
EXECUTORS = [
    ReferenceExecutor,
    pytest.param(NativeExecutor, marks=needs_native),
    pytest.param(AgreementExecutor, marks=needs_native),
]
WARMING = BuilderSettings(sdm_policy="warming", sdm_opt_in=True)
READS, FAILS, BURNS = (bytes([1, number]) + bytes(18) for number in range(3))
CODES = {
    READS: "6001545060025450",  # SLOAD(1), SLOAD(2)
    FAILS: "600154505f5ffd",  # SLOAD(1), REVERT
    BURNS: "60015460025450505b600856",  # SLOAD(1), SLOAD(2), for ever
}


def genesis(fork: str = "lagoon", later: dict[str, int] | None = None) -> dict[str, Any]:
    found = document(fork, later)
    found["alloc"] |= {"0x" + address.hex(): {"balance": "0x0", "code": "0x" + code} for address, code in CODES.items()}
    return found


def producer(executor: Any = ReferenceExecutor, settings: BuilderSettings = WARMING, fork: str = "lagoon") -> Engine:
    engine = open_engine(genesis(fork), settings=EngineSettings(builder=settings))
    return open_engine(genesis(fork), settings=EngineSettings(builder=settings), executor=executor(engine.config))


def block_of(engine: Engine, *raws: bytes, forced: tuple[bytes, ...] = ()) -> Block:
    """The next block, with what the pool has."""
    for raw in raws:
        engine.pool.add(raw)
    attributes = dev_attributes(engine.config, engine.head, engine.head.timestamp + 2, ImaginedL1())
    attributes = replace(attributes, transactions=(*(attributes.transactions or ()), *forced))
    started = engine.forkchoice_updated(forkchoice(engine.head), attributes)
    assert started.payload_id is not None
    engine.builder.wait(started.payload_id)
    return engine.get_payload(started.payload_id).block


def refunds(block: Block) -> dict[int, int]:
    """The refunds that the block's post-execution transaction lists."""
    last = decode_transaction(block.transactions[-1])
    return {entry.index: entry.gas for entry in last.entries} if isinstance(last, PostExecutionTransaction) else {}


def verify(block: Block) -> Engine:
    """A verifier that takes the block, on the executor that did not make it."""
    verifier = open_engine(genesis())
    assert submit(verifier, block).status is Status.VALID
    verifier.forkchoice_updated(ForkchoiceState(block.hash, ZERO_HASH, ZERO_HASH))
    return verifier


def call(signer: Signer, to: bytes, gas: int = 60_000, **fields: Any) -> bytes:
    return signer.sign(to=to, gas=gas, **fields)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_second_reader_of_slots_gets_gas_back(executor: Any) -> None:
    engine, alice, bob = producer(executor), funded("alice"), funded("bob")
    block = block_of(engine, call(alice, READS, tip=10**7), call(bob, READS))
    assert refunds(block) == {2: 4000}
    assert len(block.transactions) == 4
    verifier = verify(block)
    receipts = verifier.blocks.receipts(block.hash)
    assert receipts is not None
    gas = [after.cumulative_gas_used - before.cumulative_gas_used for before, after in pairwise(receipts)]
    assert gas == [gas[0], gas[0] - 4000, 0]
    assert submit(engine, block).status is Status.VALID


@pytest.mark.parametrize("executor", EXECUTORS)
def test_sender_and_vaults_settle_as_a_verifier_has_it(executor: Any) -> None:
    """The state root says it all: three blocks, each with refunds, taken by a verifier that recomputes nothing."""
    engine, verifier, alice, bob = producer(executor), open_engine(genesis()), funded("alice"), funded("bob")
    for _ in range(3):
        block = block_of(engine, call(alice, READS, tip=10**7), call(bob, READS), call(bob, FAILS))
        assert refunds(block)
        for each in (engine, verifier):
            assert submit(each, block).status is Status.VALID
            each.forkchoice_updated(forkchoice(block.header))


def test_without_refunds_nothing_is_appended() -> None:
    engine = producer()
    block = block_of(engine, call(funded("alice"), READS))
    assert [decode_transaction(raw).type for raw in block.transactions] == [0x7E, 2]


@pytest.mark.parametrize(
    "settings",
    [BuilderSettings(), BuilderSettings(sdm_opt_in=True), BuilderSettings(sdm_policy="warming")],
    ids=["none", "opt-in", "policy"],
)
def test_policy_and_opt_in_are_both_needed(settings: BuilderSettings) -> None:
    assert not refunds(block_of(producer(settings=settings), call(funded("alice"), READS), call(funded("bob"), READS)))


def test_before_lagoon_nothing_is_refunded() -> None:
    assert not refunds(block_of(producer(fork="karst"), call(funded("alice"), READS), call(funded("bob"), READS)))


def test_block_without_pool_is_its_attributes() -> None:
    engine, alice, bob = producer(), funded("alice"), funded("bob")
    attributes = dev_attributes(engine.config, engine.head, GENESIS_TIME + 2, ImaginedL1())
    forced = (*(attributes.transactions or ()), call(alice, READS), call(bob, READS))
    started = engine.forkchoice_updated(forkchoice(engine.head), replace(attributes, transactions=forced, no_tx_pool=True))
    assert started.payload_id is not None
    assert engine.get_payload(started.payload_id).block.transactions == forced


@pytest.mark.parametrize("executor", EXECUTORS)
def test_failed_transactions_earn_too(executor: Any) -> None:
    engine, alice, bob = producer(executor), funded("alice"), funded("bob")
    block = block_of(engine, call(alice, FAILS, tip=10**7), call(bob, FAILS))
    assert refunds(block) == {2: 2000}
    verify(block)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_stopped_transaction_leaves_no_trace(executor: Any) -> None:
    """It has read the slots when its time is up; who reads them later is still the first."""
    engine, alice, bob = producer(executor), funded("alice"), funded("bob")
    attributes = dev_attributes(engine.config, engine.head, GENESIS_TIME + 2, ImaginedL1())
    draft = draft_block(engine.config, engine.head, attributes)
    execution = executor(engine.config).begin(engine.state.view(engine.head.hash), block_env(engine.config, draft, engine.head))
    metered = MeteredExecution(execution)
    assert metered.apply_all(draft.transactions) is None
    with pytest.raises(ExecutionTimeout):
        metered.apply(call(alice, BURNS, gas=16_000_000), deadline=time.monotonic() + 0.03)
    with pytest.raises(InvalidTransaction):
        metered.apply(call(alice, READS, nonce=7))
    metered.apply(call(bob, READS))
    assert metered.close(1) == []
    metered.apply(call(bob, READS))
    (raw,) = metered.close(1)
    tx = decode_transaction(raw)
    assert isinstance(tx, PostExecutionTransaction)
    assert tx.entries == (GasRefund(2, 4000),)


def test_verifier_takes_a_block_with_failed_and_dropped_candidates() -> None:
    """Of Alice's first nonce the forced transaction stands and the pool's is dropped; Carol's needs more gas than is left."""
    engine, alice, bob, carol = producer(), funded("alice"), funded("bob"), funded("carol")
    forced = alice.sign(to=FAILS, gas=60_000, nonce=0)
    pooled = [
        call(alice, READS, nonce=0, tip=10**8),
        call(alice, READS, nonce=1, tip=10**8),
        carol.sign(to=READS, gas=16_000_000, tip=10**7),
    ]
    block = block_of(engine, *pooled, carol.sign(to=READS, gas=16_000_000), call(bob, READS), call(bob, FAILS), forced=(forced,))
    taken = [decode_transaction(raw).hash for raw in block.transactions]
    assert keccak(pooled[0]) not in taken
    assert keccak(pooled[1]) in taken
    assert refunds(block)
    verify(block)


def test_budget_counts_gas_before_refunds() -> None:
    engine, alice, bob = producer(), funded("alice"), funded("bob")
    attributes = dev_attributes(engine.config, engine.head, GENESIS_TIME + 2, ImaginedL1(gas_limit=1_000_000))
    for raw in (call(alice, READS, tip=10**7), call(bob, READS)):
        engine.pool.add(raw)
    for _ in range(20):
        engine.pool.add(call(bob, READS, gas=100_000))
    started = engine.forkchoice_updated(forkchoice(engine.head), attributes)
    assert started.payload_id is not None
    engine.builder.wait(started.payload_id)
    block = engine.get_payload(started.payload_id).block
    before_refunds = block.header.gas_used + sum(refunds(block).values())
    assert before_refunds <= block.header.gas_limit
    assert block.header.gas_used < before_refunds
    verify(block)
