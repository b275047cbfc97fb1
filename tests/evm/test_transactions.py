"""Signed transactions: who pays what, what keeps a transaction out of a block, and how one is stopped."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from l2engine.errors import ExecutionTimeout, InvalidTransaction
from l2engine.evm.reference.machine import ReferenceExecutor
from l2engine.rules import fees, forks
from l2engine.rules.forks import Fork, L1FeeRule, OperatorFeeRule
from l2engine.rules.l1_attributes import L1Attributes
from l2engine.rules.predeploys import BASE_FEE_VAULT, L1_BLOCK, L1_FEE_VAULT, OPERATOR_FEE_VAULT
from l2engine.types.execution import Call
from l2engine.types.state import Account
from l2engine.types.transaction import BlobTransaction, LegacyTransaction, created_address
from l2engine.types.transaction_codec import signed
from tests.evm.states import BASE_FEE, BENEFICIARY, ETHER, Before, block, config, env, l1_info, world
from tests.helpers.accounts import Signer, signer

TARGET = b"\x70" * 20
LOOP = bytes.fromhex("5b600056")
ATTRIBUTES = L1Attributes(
    base_fee=2 * 10**9,
    overhead=188,
    scalar=684_000,
    blob_base_fee=3 * 10**8,
    base_fee_scalar=5_227,
    blob_base_fee_scalar=1_014_213,
    operator_fee_scalar=7_000,
    operator_fee_constant=11,
    da_footprint_gas_scalar=400,
)
L1_BLOCK_SLOTS = {
    1: ATTRIBUTES.base_fee,
    3: 5_227 << 96 | 1_014_213 << 64,
    5: 188,
    6: 684_000,
    7: 3 * 10**8,
    8: 400 << 96 | 7_000 << 64 | 11,
}
VAULTS = (BENEFICIARY, BASE_FEE_VAULT, L1_FEE_VAULT, OPERATOR_FEE_VAULT)
OP_FORKS = pytest.mark.parametrize("fork", forks.OP_FORKS, ids=lambda fork: fork.name)


def state(who: Signer, code: bytes = b"", balance: int = ETHER) -> dict[bytes, Before]:
    return {who.address: Before(balance), TARGET: Before(nonce=1, code=code), L1_BLOCK: Before(nonce=1, storage=dict(L1_BLOCK_SLOTS))}


# ---- fees -----------------------------------------------------------------------------------------------------------


@OP_FORKS
@pytest.mark.parametrize("code", [b"", bytes.fromhex("60006000fd"), b"\xfe"], ids=["success", "revert", "halt"])
def test_every_wei_that_the_sender_pays_arrives(fork: Fork, code: bytes) -> None:
    who = signer("payer")
    raw = who.sign(TARGET, value=5, gas=90_000, max_fee=3 * BASE_FEE, tip=BASE_FEE // 2)
    execution = block(fork, state(who, code))
    execution.apply(l1_info(fork, ATTRIBUTES))
    result = execution.apply(raw)
    changes = execution.finish().diff.accounts
    paid = {vault: changes[vault].account.balance if vault in changes else 0 for vault in VAULTS}  # type: ignore[union-attr]
    l1_fee = fees.l1_fee(fork, raw, ATTRIBUTES).fee
    operator_fee = fees.operator_fee(fork, result.gas_used, ATTRIBUTES)
    assert paid == {
        BENEFICIARY: result.gas_used * (BASE_FEE // 2),
        BASE_FEE_VAULT: result.gas_used * BASE_FEE,
        L1_FEE_VAULT: l1_fee,
        OPERATOR_FEE_VAULT: operator_fee,
    }
    assert (result.l1_fee, result.operator_fee) == (l1_fee, operator_fee)
    assert l1_fee > 0 and (operator_fee > 0) == (fork.operator_fee is not OperatorFeeRule.NONE)
    sender = changes[who.address].account
    value = 5 if result.receipt.status else 0
    assert sender is not None and sender.balance == ETHER - value - sum(paid.values()) and sender.nonce == 1


@pytest.mark.parametrize("fork", [forks.LONDON, forks.CANCUN, forks.OSAKA], ids=lambda fork: fork.name)
def test_ethereum_burns_the_base_fee(fork: Fork) -> None:
    who = signer("payer")
    execution = block(fork.then(fork.name, block_reward=0), state(who))
    execution.apply(who.sign(TARGET, max_fee=3 * BASE_FEE, tip=7))
    changes = execution.finish().diff.accounts
    assert changes[BENEFICIARY].account.balance == 21_000 * 7  # type: ignore[union-attr]
    assert changes[who.address].account.balance == ETHER - 21_000 * (BASE_FEE + 7)  # type: ignore[union-attr]
    assert not set(VAULTS[1:]) & set(changes)


@pytest.mark.parametrize("fork", [f for f in forks.OP_FORKS if f.l1_fee is not L1FeeRule.NONE], ids=lambda fork: fork.name)
def test_balance_must_cover_all_fees_to_the_last_wei(fork: Fork) -> None:
    who = signer("payer")
    raw = who.sign(TARGET, value=5, gas=50_000, max_fee=2 * BASE_FEE, tip=1)
    wanted = 50_000 * 2 * BASE_FEE + 5 + fees.l1_fee(fork, raw, ATTRIBUTES).fee + fees.operator_fee(fork, 50_000, ATTRIBUTES)
    with pytest.raises(InvalidTransaction, match=rf"^insufficient funds for gas \* price \+ value: .* have {wanted - 1} want {wanted}$"):
        block(fork, state(who, balance=wanted - 1)).apply(raw)
    assert block(fork, state(who, balance=wanted)).apply(raw).receipt.status == 1


def test_fees_use_the_attributes_that_this_block_set() -> None:
    who = signer("payer")
    # L1Block that stores its calldata's first word into slot 1: the L1 base fee.
    accounts = state(who) | {L1_BLOCK: Before(nonce=1, code=bytes.fromhex("60443560015500"), storage=dict(L1_BLOCK_SLOTS))}
    raw = who.sign(TARGET, max_fee=2 * BASE_FEE)
    execution = block(forks.REGOLITH, accounts)
    execution.apply(l1_info(forks.REGOLITH, replace(ATTRIBUTES, base_fee=9 * 10**9)))
    assert execution.apply(raw).l1_fee == fees.l1_fee(forks.REGOLITH, raw, replace(ATTRIBUTES, base_fee=9 * 10**9)).fee


@pytest.mark.parametrize("fork", [forks.BERLIN, forks.LONDON, forks.JOVIAN], ids=lambda fork: fork.name)
def test_refund_is_a_half_and_from_london_on_a_fifth(fork: Fork) -> None:
    who = signer("payer")
    clear = b"".join(bytes.fromhex("600060") + bytes([slot]) + b"\x55" for slot in range(10))
    accounts = state(who) | {TARGET: Before(nonce=1, code=clear, storage=dict.fromkeys(range(10), 1))}
    execution = block(fork, accounts)
    raw = legacy(who, gas=200_000) if fork is forks.BERLIN else who.sign(TARGET, gas=200_000, max_fee=2 * BASE_FEE)
    before_refund = 21_000 + 10 * (3 + 3 + 5_000)
    counter, quotient = (150_000, 2) if fork is forks.BERLIN else (48_000, 5)
    assert execution.apply(raw).gas_used == before_refund - min(counter, before_refund // quotient)


def test_calldata_floor_beats_the_refund() -> None:
    who = signer("payer")
    result = block(forks.ISTHMUS, state(who)).apply(who.sign(TARGET, data=b"\xff" * 1_000, gas=100_000, max_fee=2 * BASE_FEE))
    assert result.gas_used == 21_000 + 40 * 1_000


def test_da_footprint_is_summed_from_jovian_on() -> None:
    who = signer("payer")
    raws = [who.sign(TARGET, max_fee=2 * BASE_FEE, data=bytes(n), gas=30_000) for n in (0, 50)]
    execution = block(forks.JOVIAN, state(who))
    for raw in (l1_info(forks.JOVIAN, ATTRIBUTES), *raws):
        execution.apply(raw)
    assert execution.finish().blob_gas_used == sum(fees.da_footprint(raw, 400) for raw in raws) >= 2 * 100 * 400


# ---- refusals -------------------------------------------------------------------------------------------------------


def legacy(who: Signer, gas: int = 21_000, chain_id: int = 901, price: int = 2 * BASE_FEE) -> bytes:
    return signed(LegacyTransaction(0, price, gas, TARGET, 0, b"", 35 + 2 * chain_id), who.key).raw


def blob_transaction(who: Signer, hashes: tuple[bytes, ...], max_fee_per_blob_gas: int = 10**9) -> bytes:
    tx = BlobTransaction(901, 0, 1, 2 * BASE_FEE, 21_000, TARGET, 0, b"", (), max_fee_per_blob_gas, hashes)
    return signed(tx, who.key).raw


BLOB = b"\x01" + bytes(31)
REFUSED: dict[str, tuple[Fork, Callable[[Signer], bytes], str]] = {
    "nonce too high": (forks.JOVIAN, lambda who: who.sign(nonce=1), r"nonce too high: address 0x\w{40}, tx: 1 state: 0"),
    "fee cap": (
        forks.JOVIAN,
        lambda who: who.sign(max_fee=BASE_FEE - 1, tip=0),
        rf"max fee per gas less than block base fee: address 0x\w{{40}}, maxFeePerGas: {BASE_FEE - 1}, baseFee: {BASE_FEE}",
    ),
    "tip above cap": (
        forks.JOVIAN,
        lambda who: who.sign(max_fee=BASE_FEE, tip=BASE_FEE + 1),
        "max priority fee per gas higher than max fee",
    ),
    "intrinsic gas": (forks.HOLOCENE, lambda who: who.sign(gas=20_999), "intrinsic gas too low: have 20999, want 21000"),
    "floor": (
        forks.ISTHMUS,
        lambda who: who.sign(data=b"\xff" * 100, gas=24_999),
        "insufficient gas for floor data gas cost: have 24999, want 25000",
    ),
    "block gas": (forks.JOVIAN, lambda who: who.sign(gas=16_000_001, max_fee=BASE_FEE), "gas limit reached"),
    "gas cap": (
        forks.KARST,
        lambda who: who.sign(gas=2**24 + 1, max_fee=BASE_FEE),
        r"transaction gas limit too high \(cap: 16777216, tx: 16777217\)",
    ),
    "initcode": (
        forks.CANYON,
        lambda who: who.sign(None, data=bytes(49_153), gas=3_000_000, max_fee=BASE_FEE),
        "max initcode size exceeded: code size 49153 limit 49152",
    ),
    "chain id": (forks.JOVIAN, lambda who: legacy(who, chain_id=10), "invalid chain id for signer: have 10 want 901"),
    "blobs on OP": (forks.KARST, lambda who: blob_transaction(who, (BLOB,)), "transaction type not supported"),
    "type 2 before London": (forks.BERLIN, lambda who: who.sign(), "transaction type not supported"),
    "no blobs": (forks.CANCUN, lambda who: blob_transaction(who, ()), "blob transaction missing blob hashes"),
    "blob version": (forks.CANCUN, lambda who: blob_transaction(who, (bytes(32),)), "version"),
    "blob fee": (forks.CANCUN, lambda who: blob_transaction(who, (BLOB,), 0), "max fee per blob gas less than block blob gas fee"),
    "blobs of the block": (forks.CANCUN, lambda who: blob_transaction(who, (BLOB,) * 7), "blob"),
    "blobs of a transaction": (forks.OSAKA, lambda who: blob_transaction(who, (BLOB,) * 7), "blob transaction has too many blobs"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_transactions_change_nothing(case: str) -> None:
    fork, make, text = REFUSED[case]
    who = signer("refused")
    limit = 16_000_000 if case == "block gas" else 30_000_000
    execution = block(fork.then(fork.name, block_reward=0), state(who), gas_limit=limit, excess_blob_gas=0)
    with pytest.raises(InvalidTransaction, match=text):
        execution.apply(make(who))
    assert execution.gas_before_refunds == 0
    result = execution.finish()
    assert not result.diff.accounts and not result.receipts


def test_blobs_are_paid_for_and_counted() -> None:
    who = signer("blobs")
    execution = block(forks.CANCUN, state(who), excess_blob_gas=40_000_000)
    execution.apply(blob_transaction(who, (BLOB, BLOB)))
    result = execution.finish()
    blob_fee = int(2.718281828459045 ** (40_000_000 / 3_338_477))
    spent = ETHER - result.diff.accounts[who.address].account.balance  # type: ignore[union-attr]
    assert result.blob_gas_used == 2 * 131_072
    assert abs(spent - 21_000 * (BASE_FEE + 1) - 2 * 131_072 * blob_fee) <= 2 * 131_072


def test_a_refused_transaction_does_not_disturb_its_neighbours() -> None:
    who = signer("neighbours")
    first, second = who.sign(TARGET, value=1, max_fee=2 * BASE_FEE), who.sign(TARGET, value=2, max_fee=2 * BASE_FEE)
    plain, disturbed = (block(forks.JOVIAN, state(who)) for _ in range(2))
    for execution in (plain, disturbed):
        execution.apply(first)
        if execution is disturbed:
            with pytest.raises(InvalidTransaction, match=r"nonce too low: address 0x\w{40}, tx: 0 state: 1"):
                execution.apply(first)
        execution.apply(second)
    assert plain.finish() == disturbed.finish()


@pytest.mark.parametrize(("code", "refused"), [(b"\x00", True), (bytes.fromhex("ef0100") + TARGET, False)], ids=["contract", "delegated"])
def test_senders_with_code(code: bytes, refused: bool) -> None:
    who = signer("eoa")
    execution = block(forks.ISTHMUS, state(who) | {who.address: Before(ETHER, code=code)})
    raw = who.sign(TARGET, max_fee=2 * BASE_FEE)
    if refused:
        with pytest.raises(InvalidTransaction, match=r"^sender not an eoa: address 0x\w{40}, len\(code\): 1$"):
            execution.apply(raw)
    else:
        assert execution.apply(raw).receipt.status == 1


# ---- deadlines and deep stacks --------------------------------------------------------------------------------------


def test_deadline_stops_a_loop_and_undoes_it() -> None:
    who = signer("loop")
    execution = block(forks.JOVIAN, state(who, bytes.fromhex("6001600155") + LOOP.replace(b"\x60\x00", b"\x60\x05")))
    raw = who.sign(TARGET, gas=29_000_000, max_fee=BASE_FEE)
    worked = time.process_time()
    with pytest.raises(ExecutionTimeout):
        execution.apply(raw, deadline=time.monotonic() + 0.2)
    assert time.process_time() - worked < 1
    assert execution.apply(who.sign(bytes(20), nonce=0, max_fee=2 * BASE_FEE)).receipt.status == 1
    changes = execution.finish().diff.accounts
    assert TARGET not in changes and changes[who.address].account.nonce == 1  # type: ignore[union-attr]


def test_deadline_stops_a_call_that_only_calls() -> None:
    # in a loop: CALL(gas, address, 0, 0, 0, 0, 0), to itself
    code = bytes.fromhex("5b60006000600060006000305af150600056")
    view = world({TARGET: Before(nonce=1, code=code)})
    executor = ReferenceExecutor(config(forks.JOVIAN))
    worked = time.process_time()
    with pytest.raises(ExecutionTimeout):
        executor.call(view, env(forks.JOVIAN), Call(bytes(20), TARGET, gas=2**40), deadline=time.monotonic() + 0.2)
    assert time.process_time() - worked < 2


def test_calls_nest_1024_deep() -> None:
    # slot 0 counts the frames; each calls itself with all its gas
    code = bytes.fromhex("60005460010160005560006000600060006000305af1")
    call = Call(bytes(20), TARGET, gas=2**62)
    deepest = bytes.fromhex("60006000600060006000305af1" + "60005460005260206000f3")
    counting = code + deepest[13:]
    result = ReferenceExecutor(config(forks.JOVIAN)).call(world({TARGET: Before(nonce=1, code=counting)}), env(forks.JOVIAN), call)
    assert result.success and int.from_bytes(result.output, "big") == 1_025


@pytest.mark.parametrize("there", [Before(nonce=1), Before(code=b"\x00"), Before(storage={1: 1})], ids=["nonce", "code", "EIP-7610"])
def test_create_collision_burns_the_gas(there: Before) -> None:
    who = signer("collision")
    taken = created_address(who.address, 0)
    accounts = state(who) | {taken: there}
    result = block(forks.JOVIAN, accounts).apply(who.sign(None, gas=100_000, max_fee=2 * BASE_FEE))
    assert result.receipt.status == 0 and result.gas_used == 100_000


def test_a_creation_keeps_the_balance_that_it_finds() -> None:
    who = signer("heir")
    by_transaction, by_opcode = created_address(who.address, 0), created_address(TARGET, 1)
    accounts = state(who) | {address: Before(balance=7) for address in (by_transaction, by_opcode)}
    accounts[TARGET] = Before(nonce=1, code=bytes.fromhex("600060006000f0"))
    execution = block(forks.JOVIAN, accounts)
    assert execution.apply(who.sign(None, gas=100_000, max_fee=2 * BASE_FEE)).receipt.status == 1
    assert execution.apply(who.sign(TARGET, nonce=1, gas=100_000, max_fee=2 * BASE_FEE)).receipt.status == 1
    changes = execution.finish().diff.accounts
    for address in (by_transaction, by_opcode):
        assert changes[address].account == Account(1, 7) and not changes[address].destroyed
