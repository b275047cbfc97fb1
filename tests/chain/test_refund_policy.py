"""Block-level warming: what earns a refund, by the published facts and by real execution on both executors."""

from typing import Any

import pytest

from l2engine.chain.refund_policy import Touches, TransactionWarmth, Warming
from l2engine.evm.native.machine import NativeExecutor, available
from l2engine.evm.reference.machine import ReferenceExecutor
from l2engine.rules.forks import LAGOON
from l2engine.rules.predeploys import BASE_FEE_VAULT, L1_FEE_VAULT, OPERATOR_FEE_VAULT
from l2engine.types.transaction import FeeMarketTransaction, created_address
from l2engine.types.transaction_codec import decode_transaction, signed
from tests.evm.states import Before, config, deposit, env, world
from tests.helpers.accounts import signer
from tests.lagoon.facts import Fact, facts, unhex


def _touch(transaction: TransactionWarmth, kind: str, address: str, *slot: int) -> None:
    getattr(transaction, kind)(unhex(address), *slot)


@facts("warming_policy.json", "warming_policy")
def test_refunds_are_those_of_the_fact(fact: Fact) -> None:
    block, refunds = Warming(), []
    for row in fact.input["transactions"]:
        warm = row.get("intrinsic", {})
        transaction = block.begin(
            row["kind"] == "normal",
            [unhex(address) for address in warm.get("accounts", ())],
            [(unhex(address), slot) for address, slot in warm.get("slots", ())],
        )
        for touch in row["touches"]:
            _touch(transaction, *touch)
        refunds.append(transaction.refund)
        block.remember(transaction)
    assert refunds == fact.expected["refunds"]


EXECUTORS = [
    ReferenceExecutor,
    pytest.param(NativeExecutor, marks=pytest.mark.skipif(not available(), reason="the native core is not installed: `make native`")),
]
USER = signer("alice")
TOUCHER, OTHER, HEIR, FAILS = (bytes([1, number]) + bytes(18) for number in range(4))
_PUSH_OTHER, _PUSH_HEIR = (b"\x73" + address for address in (OTHER, HEIR))
CODES = {
    # SLOAD(1), SSTORE(2, 1), BALANCE(HEIR), CALL(OTHER)
    TOUCHER: bytes.fromhex("60015450" + "6001600255") + _PUSH_HEIR + bytes.fromhex("3150" + "5f5f5f5f5f") + _PUSH_OTHER + b"\x5a\xf1\x00",
    OTHER: bytes.fromhex("60075400"),  # SLOAD(7)
    HEIR: b"",
    FAILS: bytes.fromhex("60015450" + "5f5ffd"),  # SLOAD(1), REVERT
}


def in_block(executor: type[Any], *raws: bytes) -> list[TransactionWarmth]:
    """The warmth of each transaction of a block."""
    accounts = {address: Before(1, code=code) for address, code in CODES.items()} | {USER.address: Before(10**20)}
    execution = executor(config(LAGOON)).begin(world(accounts), env(LAGOON))
    block, found = Warming(), []
    for raw in raws:
        touches = Touches(block, decode_transaction(raw))
        execution.apply(raw, tracer=touches)
        found.append(touches.warmth)
        block.remember(touches.warmth)
    return found


def send(to: bytes | None, nonce: int, data: bytes = b"", access_list: Any = ()) -> bytes:
    tx = FeeMarketTransaction(901, nonce, 10**6, 10**10, 1_000_000, to, 0, data, access_list)
    return signed(tx, USER.key).raw


@pytest.mark.parametrize("executor", EXECUTORS)
def test_second_call_earns_what_it_touches_again(executor: type[Any]) -> None:
    first, second = in_block(executor, send(TOUCHER, 0), send(TOUCHER, 1))
    assert (first.refund, second.refund) == (0, 2 * 2500 + 2 * 2000 + 2100)  # HEIR and OTHER; slots 1 of TOUCHER, 7 of OTHER; slot 2
    assert first.slots == second.slots == {(TOUCHER, 1), (TOUCHER, 2), (OTHER, 7)}
    assert first.accounts == {TOUCHER, OTHER, HEIR, L1_FEE_VAULT, BASE_FEE_VAULT, OPERATOR_FEE_VAULT}


@pytest.mark.parametrize("executor", EXECUTORS)
def test_reverted_frames_touch_and_earn(executor: type[Any]) -> None:
    assert [each.refund for each in in_block(executor, send(FAILS, 0), send(FAILS, 1))] == [0, 2000]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_access_list_earns_nothing(executor: type[Any]) -> None:
    listed = ((OTHER, ((7).to_bytes(32, "big"),)), (TOUCHER, ((1).to_bytes(32, "big"),)))
    assert in_block(executor, send(TOUCHER, 0), send(TOUCHER, 1, access_list=listed))[1].refund == 2500 + 2100  # HEIR, slot 2


@pytest.mark.parametrize("executor", EXECUTORS)
def test_created_contract_earns_only_what_it_touches(executor: type[Any]) -> None:
    init = _PUSH_HEIR + bytes.fromhex("3b50") + _PUSH_HEIR + b"\xff"  # EXTCODESIZE(HEIR), SELFDESTRUCT(HEIR)
    first, second = in_block(executor, send(None, 0, init), send(None, 1, init))
    assert (first.refund, second.refund) == (0, 2500)
    assert created_address(USER.address, 1) in second.accounts


@pytest.mark.parametrize("executor", EXECUTORS)
def test_deposit_touches_and_never_earns(executor: type[Any]) -> None:
    first, second, third = in_block(executor, *[deposit(USER.address, TOUCHER, gas=1_000_000)] * 2, send(TOUCHER, 2))
    assert (first.refund, second.refund, third.refund) == (0, 0, 11_100)
    assert not first.accounts & {L1_FEE_VAULT, BASE_FEE_VAULT, OPERATOR_FEE_VAULT}


@pytest.mark.parametrize("executor", EXECUTORS)
def test_step_without_gas_touches_nothing(executor: type[Any]) -> None:
    poor = signed(FeeMarketTransaction(901, 0, 10**6, 10**10, 21_100, TOUCHER, 0, b""), USER.key).raw
    assert in_block(executor, poor)[0].slots == set()


@pytest.mark.parametrize("executor", EXECUTORS)
def test_dropped_candidate_leaves_no_trace(executor: type[Any]) -> None:
    """It ran, and was then not taken: nobody remembers what it touched."""
    block = Warming()
    accounts = {address: Before(1, code=code) for address, code in CODES.items()} | {USER.address: Before(10**20)}
    for _ in range(2):
        execution = executor(config(LAGOON)).begin(world(accounts), env(LAGOON))
        touches = Touches(block, decode_transaction(send(TOUCHER, 0)))
        execution.apply(send(TOUCHER, 0), tracer=touches)
        assert touches.warmth.refund == 0
    assert (block.accounts, block.slots) == (set(), set())
