"""Building a block: its transactions, their order, the limits, and how long it may take."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import rlp

from l2engine.chain.engine import Engine, EngineSettings
from l2engine.errors import InvalidAttributes
from l2engine.rules import fees
from l2engine.rules.l1_attributes import Format
from l2engine.types.base import checksum_address, keccak
from l2engine.types.block import Block
from l2engine.types.limits import BuilderSettings
from l2engine.types.payload import PayloadAttributes, Status
from l2engine.types.transaction import BlobTransaction, DepositTransaction
from l2engine.types.transaction_codec import encode_transaction
from tests.helpers.accounts import Signer
from tests.helpers.dev_chain import Forge, document, forkchoice, funded, open_engine, submit

GENESIS = document()
SINK = b"\1" * 20
LOOP = bytes.fromhex("5b600056")  # JUMPDEST PUSH1 0 JUMP: runs until its gas is spent
FOOTPRINT_SCALAR = 400  # of the dev chain's L1 attributes


@pytest.fixture(scope="module")
def forge() -> Forge:
    return Forge(GENESIS)


@pytest.fixture
def engine() -> Engine:
    return open_engine(GENESIS)


@pytest.fixture
def alice() -> Signer:
    return funded("alice")


def build(engine: Engine, attributes: PayloadAttributes, wait: bool = True) -> Block:
    """The block built on the head; with `wait` the pool is exhausted first."""
    started = engine.forkchoice_updated(forkchoice(engine.head), attributes)
    assert started.payload_id is not None
    if wait:
        engine.builder.wait(started.payload_id)
    return engine.get_payload(started.payload_id).block


# ---- forced transactions --------------------------------------------------------------------------------------------


def test_same_attributes_give_the_same_id_and_block(engine: Engine, forge: Forge, alice: Signer) -> None:
    attributes = forge.attributes(forge.genesis, alice.sign(to=SINK))
    started = [engine.forkchoice_updated(forkchoice(engine.head), attributes).payload_id for _ in range(2)]
    assert started[0] == started[1]
    assert started[0] is not None
    assert started[0][0] == 3
    other = open_engine(GENESIS)
    assert build(engine, attributes) == build(other, attributes)


def test_without_the_pool_the_block_is_exactly_the_attributes(engine: Engine, forge: Forge, alice: Signer) -> None:
    engine.pool.add(alice.sign(nonce=0))
    attributes = forge.attributes(forge.genesis)
    block = build(engine, attributes)
    assert block.transactions == attributes.transactions
    assert submit(engine, block).status is Status.VALID


def test_forced_transaction_that_cannot_stand_is_named(engine: Engine, forge: Forge, alice: Signer) -> None:
    raw = alice.sign(nonce=1)
    who = (
        f"failed to force-include tx: 0x{keccak(raw).hex()} type: 2 sender: {checksum_address(alice.address)} nonce: 1, err: nonce too high"
    )
    for no_tx_pool in (True, False):
        with pytest.raises(InvalidAttributes, match=who):
            build(engine, forge.attributes(forge.genesis, raw, no_tx_pool=no_tx_pool))


def test_forced_blob_transaction_is_refused(engine: Engine, forge: Forge) -> None:
    blob = encode_transaction(BlobTransaction(901, 0, 0, 1, 21_000, SINK, 0, b"", (), 1, (b"\1" + bytes(31),), 0, 1, 1))
    with pytest.raises(InvalidAttributes, match="transaction type not supported"):
        build(engine, forge.attributes(forge.genesis, blob))


def test_attributes_above_the_footprint_are_refused(engine: Engine, forge: Forge, alice: Signer) -> None:
    raws = [alice.sign(to=SINK) for _ in range(30)]
    least = sum(fees.da_footprint(raw, FOOTPRINT_SCALAR) for raw in raws)
    for no_tx_pool in (True, False):
        with pytest.raises(InvalidAttributes, match=f"DA footprint {least} exceeds block gas limit {least - 1}"):
            build(engine, forge.attributes(forge.genesis, *raws, gas_limit=least - 1, no_tx_pool=no_tx_pool))
    header = build(engine, forge.attributes(forge.genesis, *raws, gas_limit=least)).header
    assert header.blob_gas_used == least


def test_gas_limit_that_no_block_may_have_is_refused(engine: Engine, forge: Forge) -> None:
    highest = 2**63 - 1
    with pytest.raises(InvalidAttributes, match=f"invalid gasLimit: have {highest + 1}, max {highest}"):
        build(engine, forge.attributes(forge.genesis, gas_limit=highest + 1))
    block = build(engine, forge.attributes(forge.genesis, gas_limit=highest))
    assert submit(open_engine(GENESIS), block).status is Status.VALID


def test_jovian_needs_its_l1_attributes_first(engine: Engine, forge: Forge, alice: Signer) -> None:
    deposit = encode_transaction(
        DepositTransaction(b"\1" * 32, alice.address, SINK, mint=5, value=0, gas=100_000, is_system_transaction=False, data=b"")
    )
    missing, too_short = "missing L1 attributes deposit transaction", "data too short for DA footprint gas scalar: 0"
    for transactions, words in (((), missing), ((deposit,), too_short), ((alice.sign(),), missing)):
        for no_tx_pool in (True, False):
            with pytest.raises(InvalidAttributes, match=words):
                build(engine, forge.attributes(forge.genesis, transactions=transactions, no_tx_pool=no_tx_pool))


def test_activation_block_takes_deposits_only(alice: Signer) -> None:
    genesis = document("isthmus", {"jovian": 4})
    forge = Forge(genesis)
    first = forge.block(forge.genesis)
    engine = open_engine(genesis)
    assert submit(engine, first).status is Status.VALID
    engine.forkchoice_updated(forkchoice(first.header))
    engine.pool.add(alice.sign())
    attributes = forge.attributes(first.header)
    assert attributes.transactions is not None
    assert Format.ISTHMUS.selector in attributes.transactions[0]
    with pytest.raises(InvalidAttributes, match="non-deposit transactions in Jovian activation block"):
        build(engine, forge.attributes(first.header, alice.sign(nonce=0)))
    activation = build(engine, replace(attributes, no_tx_pool=False))
    assert activation.transactions == attributes.transactions
    assert submit(engine, activation).status is Status.VALID
    engine.forkchoice_updated(forkchoice(activation.header))
    assert len(build(engine, forge.attributes(activation.header, no_tx_pool=False)).transactions) == 2


# ---- the pool -------------------------------------------------------------------------------------------------------


def test_pool_comes_after_the_forced_ones_best_tip_first(engine: Engine, forge: Forge) -> None:
    alice, bob, carol = funded("alice"), funded("bob"), funded("carol")
    forced = alice.sign(to=SINK)
    low, high = bob.sign(to=SINK, tip=10), carol.sign(to=SINK, tip=1000)
    for raw in (low, high):
        engine.pool.add(raw)
    block = build(engine, forge.attributes(forge.genesis, forced, no_tx_pool=False))
    assert block.transactions[1:] == (forced, high, low)
    assert submit(engine, block).status is Status.VALID
    engine.forkchoice_updated(forkchoice(block.header))
    assert engine.pool.status() == (0, 0)


def test_what_cannot_be_included_is_left_out_with_its_followers(engine: Engine, forge: Forge) -> None:
    alice, bob = funded("alice"), funded("bob")
    for raw in (alice.sign(tip=10**9), alice.sign(tip=10**9), bob.sign()):
        engine.pool.add(raw)
    used_elsewhere = replace(alice, nonce=0).sign(to=SINK, value=7)
    block = build(engine, forge.attributes(forge.genesis, used_elsewhere, no_tx_pool=False))
    assert len(block.transactions) == 4  # deposit, forced, alice's second, bob's
    assert submit(engine, block).status is Status.VALID


def fill(engine: Engine, *raws: bytes) -> None:
    for raw in raws:
        engine.pool.add(raw)


def test_gas_limit_bounds_the_block(engine: Engine, forge: Forge, alice: Signer) -> None:
    fill(engine, *(alice.sign(to=SINK) for _ in range(10)), funded("bob").sign(to=LOOP.ljust(20, b"\0"), gas=1_500_000))
    block = build(engine, forge.attributes(forge.genesis, no_tx_pool=False, gas_limit=1_200_000))
    deposit_gas = block.header.gas_used - (len(block.transactions) - 1) * 21_000
    assert len(block.transactions) == 11
    assert 0 < deposit_gas < 1_000_000


def test_da_limits_hold_for_pool_transactions_only(engine: Engine, forge: Forge) -> None:
    alice, bob = funded("alice"), funded("bob")
    noise = keccak(b"1") + keccak(b"2") + keccak(b"3") + keccak(b"4")
    large = alice.sign(to=SINK, data=noise * 3, gas=100_000, tip=10**8)
    assert fees.da_size(large) > 100
    fill(engine, large, *(bob.sign(to=SINK) for _ in range(4)))
    attributes = forge.attributes(forge.genesis, no_tx_pool=False)
    engine.builder.max_transaction_da_size, engine.builder.max_block_da_size = fees.da_size(large) - 1, 0
    assert large not in build(engine, attributes).transactions
    engine.builder.max_transaction_da_size, engine.builder.max_block_da_size = 0, fees.da_size(large) + 100
    assert len(build(engine, replace(attributes, timestamp=attributes.timestamp + 1)).transactions) == 1 + 2
    engine.builder.max_transaction_da_size, engine.builder.max_block_da_size = 0, 0
    assert len(build(engine, replace(attributes, timestamp=attributes.timestamp + 2)).transactions) == 1 + 5
    engine.builder.max_transaction_da_size, engine.builder.max_block_da_size = 1, 1
    forced = funded("carol").sign(to=SINK)
    assert build(engine, forge.attributes(forge.genesis, forced, no_tx_pool=False, seconds=9)).transactions[1:] == (forced,)


def test_footprint_bounds_the_block(engine: Engine, forge: Forge, alice: Signer) -> None:
    raws = [alice.sign(to=SINK) for _ in range(40)]
    fill(engine, *raws)
    each = fees.da_footprint(raws[0], FOOTPRINT_SCALAR)
    assert each == 40_000
    block = build(engine, forge.attributes(forge.genesis, no_tx_pool=False, gas_limit=1_200_000))
    assert len(block.transactions) == 1 + 1_200_000 // each
    assert block.header.blob_gas_used == 1_200_000
    assert submit(engine, block).status is Status.VALID


# ---- time -----------------------------------------------------------------------------------------------------------


def looping(engine: Engine, forge: Forge, who: Signer) -> bytes:
    """Deploy an endless loop in a block of its own; a transaction that calls it with more gas than a second can burn."""
    creation = bytes.fromhex("6004600c60003960046000f3") + LOOP
    block = forge.block(engine.head, who.sign(to=None, data=creation, gas=200_000))
    assert submit(engine, block).status is Status.VALID
    engine.forkchoice_updated(forkchoice(block.header))
    contract = keccak(rlp.encode([who.address, b""]))[12:]
    return who.sign(to=contract, gas=29_000_000, max_fee=2 * 10**9, tip=10**9)


@pytest.mark.parametrize("asked_after", [0.0, 0.6])
def test_long_transaction_is_stopped_and_the_payload_comes_within_a_second(forge: Forge, asked_after: float) -> None:
    engine = open_engine(GENESIS, settings=EngineSettings(builder=BuilderSettings(deadline_seconds=30)))
    alice, bob = funded("alice"), funded("bob")
    long_one = looping(engine, forge, alice)
    small = bob.sign(to=SINK, tip=1)
    fill(engine, long_one, small)
    started = engine.forkchoice_updated(forkchoice(engine.head), forge.attributes(engine.head, no_tx_pool=False))
    assert started.payload_id is not None
    time.sleep(asked_after)
    worked = time.process_time()  # all threads: neither the build nor the one who asks works on
    block = engine.get_payload(started.payload_id).block
    assert time.process_time() - worked < 1
    assert long_one not in block.transactions
    assert submit(engine, block).status is Status.VALID

    again = build(engine, forge.attributes(engine.head, no_tx_pool=False, seconds=5), wait=False)
    assert again.transactions[1:] == (small,), "the long transaction must not keep the others out of every block"
    assert submit(engine, again).status is Status.VALID


def test_build_takes_up_what_the_pool_gets_meanwhile(engine: Engine, forge: Forge, alice: Signer) -> None:
    started = engine.forkchoice_updated(forkchoice(engine.head), forge.attributes(engine.head, no_tx_pool=False))
    assert started.payload_id is not None
    engine.builder.wait(started.payload_id)
    late = alice.sign(to=SINK)
    engine.pool.add(late)
    wait_until(lambda: engine.builder._builds[started.payload_id].version[1] > 0)  # type: ignore[index]
    assert engine.get_payload(started.payload_id).block.transactions[1:] == (late,)
    engine.pool.add(alice.sign(to=SINK))
    time.sleep(0.5)
    assert engine.get_payload(started.payload_id).block.transactions[1:] == (late,), "what was handed out stays"


def test_ten_builds_are_kept(engine: Engine, forge: Forge) -> None:
    started = [
        engine.forkchoice_updated(forkchoice(engine.head), forge.attributes(engine.head, seconds=n)).payload_id for n in range(1, 12)
    ]
    assert engine.builder.get(started[0] or b"") is None
    assert all(engine.builder.get(identity or b"") for identity in started[1:])


def test_failing_pool_leaves_the_forced_block(engine: Engine, forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(engine.pool, "best", broken)
    attributes = forge.attributes(engine.head, no_tx_pool=False)
    assert build(engine, attributes).transactions == attributes.transactions


def test_value_is_what_the_beneficiary_earns(engine: Engine, forge: Forge, alice: Signer) -> None:
    raw = alice.sign(to=SINK, tip=12345)
    started = engine.forkchoice_updated(forkchoice(engine.head), forge.attributes(engine.head, raw))
    assert engine.get_payload(started.payload_id or b"").block_value == 21_000 * 12345


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
