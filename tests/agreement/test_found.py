"""Disagreements that were found between the executors, each kept as a test. docs/differences.md lists them."""

from typing import Any

import pytest

from l2engine.conformance.world import World
from l2engine.evm.agreement import AgreementExecutor
from l2engine.rules import forks
from l2engine.types.base import Address, keccak
from l2engine.types.execution import AccountOverride, Call, CallResult
from l2engine.types.state import Account
from tests.agreement.fuzz import FORKS, SENDERS, random_block, rules

CONTRACT: Address = bytes([0xAA]) * 20
RETURN_ONE = "60015f5260205ff3"


def call(fork: Any, code: str) -> CallResult:
    """Call a contract with this code, on both executors."""
    block, raw = random_block(FORKS.index(fork)), bytes.fromhex(code)
    world = block.world
    accounts = {**world.accounts, CONTRACT: Account(1, 0, keccak(raw))}
    extended = World(accounts, world.storages, {**world.codes, keccak(raw): raw}, world.block_hash)
    return AgreementExecutor(rules(fork)).call(extended, block.env, Call(SENDERS[0], CONTRACT, 1_000_000))


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("opcode", ["f0", "f5"])
@pytest.mark.parametrize("fork", [forks.SHANGHAI, forks.CANYON, forks.KARST], ids=lambda fork: fork.name)
def test_init_code_above_the_limit_ends_the_frame_whatever_the_balance(fork: Any, opcode: str, value: int) -> None:
    """EIP-3860: an exceptional abort of the creating frame. py-evm looked at the balance first and went on with a 0."""
    salt = "5f" if opcode == "f5" else ""
    answer = call(fork, f"{salt}61c0015f60{value:02x}{opcode}{RETURN_ONE}")
    assert (answer.success, answer.gas_used) == (False, 1_000_000)
    within = call(fork, f"{salt}61c0005f60{value:02x}{opcode}{RETURN_ONE}")
    assert within.success


def test_a_creation_that_fails_creates_nothing() -> None:
    """The reference executor named the address all the same."""
    block = random_block(FORKS.index(forks.KARST))
    for code, created in (("5f5ffd", False), ("5f5ff3", True)):
        answer = AgreementExecutor(rules(forks.KARST)).call(
            block.world, block.env, Call(SENDERS[0], None, 1_000_000, data=bytes.fromhex(code))
        )
        assert (answer.created is not None) == answer.success == created


def test_the_refund_of_a_call_is_what_the_data_floor_leaves_of_it() -> None:
    """EIP-7623; eth_estimateGas begins with the gas that was needed before the refund. The native executor forgot it at the floor."""
    clears = bytes.fromhex("5f5f555f600155")  # slots 0 and 1, which the override fills
    block = random_block(FORKS.index(forks.KARST))
    overrides = {CONTRACT: AccountOverride(code=clears, state={0: 1, 1: 1})}
    needed = set()
    for size in (0, 100, 400):
        answer = AgreementExecutor(rules(forks.KARST)).call(
            block.world, block.env, Call(SENDERS[0], CONTRACT, 1_000_000, data=b"\x01" * size), overrides
        )
        assert answer.success
        needed.add(answer.gas_used + answer.gas_refund - 16 * size)
    assert len(needed) == 1
