"""Around the transactions of a block: system calls, Canyon's deployer, SELFDESTRUCT, rewards, withdrawals, requests."""

import pytest

from l2engine.errors import InvalidBlock
from l2engine.evm.reference.machine import ReferenceExecutor
from l2engine.rules import forks
from l2engine.rules.config import Activation, ChainConfig
from l2engine.rules.forks import Fork
from l2engine.rules.predeploys import (
    BEACON_ROOTS,
    CONSOLIDATION_REQUESTS,
    CREATE2_DEPLOYER,
    CREATE2_DEPLOYER_CODE_HASH,
    HISTORY_STORAGE,
    SYSTEM_CALLER,
    WITHDRAWAL_REQUESTS,
)
from l2engine.types.block import Withdrawal
from l2engine.types.state import Account
from tests.evm.states import BENEFICIARY, CHAIN_ID, Before, block, deposit, env, world

SENDER, TARGET, HEIR = b"\xd0" * 20, b"\x70" * 20, b"\x4e" * 20
DESTRUCT = b"\x73" + HEIR + b"\xff"
KEEP_INPUT = bytes.fromhex("600035600055" + "33600155" + "5a600255")  # calldata, caller and gas into slots 0, 1 and 2


def test_system_calls_run_the_contracts() -> None:
    accounts = {BEACON_ROOTS: Before(nonce=1, code=KEEP_INPUT), HISTORY_STORAGE: Before(nonce=1, code=KEEP_INPUT)}
    execution = block(forks.ISTHMUS, accounts, parent_beacon_block_root=b"\x77" * 32)
    assert execution.gas_before_refunds == 0
    changes = execution.finish().diff.accounts
    assert set(changes) == {BEACON_ROOTS, HISTORY_STORAGE}
    for address, data in ((BEACON_ROOTS, b"\x77" * 32), (HISTORY_STORAGE, env(forks.ISTHMUS).parent.hash)):
        stored = changes[address].storage
        assert stored[0] == int.from_bytes(data, "big") and stored[1] == int.from_bytes(SYSTEM_CALLER, "big")
        assert 29_900_000 < stored[2] < 30_000_000


def test_system_calls_leave_no_trace_without_contracts() -> None:
    assert not block(forks.KARST, {}, parent_beacon_block_root=b"\x77" * 32).finish().diff.accounts


@pytest.mark.parametrize(("parent_time", "time", "expected"), [(98, 100, True), (100, 102, False), (96, 98, False)])
def test_canyon_deploys_create2_in_its_first_block(parent_time: int, time: int, expected: bool) -> None:
    config = ChainConfig(CHAIN_ID, (Activation(forks.REGOLITH, block=0), Activation(forks.CANYON, time=100)), is_optimism=True)
    plain = env(forks.CANYON, timestamp=time)
    parent = type(plain.parent)(**{**{n: getattr(plain.parent, n) for n in plain.parent.__dataclass_fields__}, "timestamp": parent_time})
    before = world({CREATE2_DEPLOYER: Before(balance=3)})
    diff = ReferenceExecutor(config).begin(before, env(forks.CANYON, timestamp=time, parent=parent)).finish().diff
    if not expected:
        assert not diff.accounts
        return
    assert diff.accounts[CREATE2_DEPLOYER].account == Account(0, 3, CREATE2_DEPLOYER_CODE_HASH)
    assert len(diff.codes[CREATE2_DEPLOYER_CODE_HASH]) == 1_584


@pytest.mark.parametrize("fork", [forks.CANYON, forks.ECOTONE, forks.KARST], ids=lambda fork: fork.name)
def test_selfdestruct_destroys_until_ecotone(fork: Fork) -> None:
    accounts = {TARGET: Before(balance=9, nonce=1, code=DESTRUCT, storage={1: 2}), SENDER: Before()}
    execution = block(fork, accounts)
    assert execution.apply(deposit(SENDER, TARGET)).receipt.status == 1
    changes = execution.finish().diff.accounts
    assert changes[HEIR].account == Account(0, 9)
    if fork is forks.CANYON:
        assert changes[TARGET].account is None and changes[TARGET].destroyed
    else:
        assert changes[TARGET].account is not None and changes[TARGET].account.balance == 0 and not changes[TARGET].destroyed


@pytest.mark.parametrize("fork", [forks.CANYON, forks.KARST], ids=lambda fork: fork.name)
def test_contract_that_destroys_itself_while_created_leaves_nothing(fork: Fork) -> None:
    execution = block(fork, {})
    execution.apply(deposit(SENDER, None, mint=9, value=9, data=DESTRUCT))
    assert set(execution.finish().diff.accounts) == {SENDER, HEIR}


def test_reverted_selfdestruct_is_no_selfdestruct() -> None:
    # calls TARGET, then reverts
    caller = bytes.fromhex("6000600060006000600073") + TARGET + bytes.fromhex("5af160006000fd")
    accounts = {TARGET: Before(balance=9, nonce=1, code=DESTRUCT, storage={1: 2}), HEIR: Before(nonce=1, code=caller)}
    execution = block(forks.CANYON, accounts)
    assert execution.apply(deposit(SENDER, HEIR)).receipt.status == 0
    assert set(execution.finish().diff.accounts) == {SENDER}


def test_touched_empty_accounts_vanish_from_spurious_dragon_on() -> None:
    for fork, kept in ((forks.TANGERINE_WHISTLE, True), (forks.SPURIOUS_DRAGON, False)):
        execution = block(fork.then(fork.name, block_reward=0), {BENEFICIARY: Before()}, withdrawals=(Withdrawal(0, 0, BENEFICIARY, 0),))
        changes = execution.finish().diff.accounts
        assert (BENEFICIARY not in changes) == kept


@pytest.mark.parametrize(("fork", "reward"), [(forks.FRONTIER, 5), (forks.BYZANTIUM, 3), (forks.LONDON, 2), (forks.PARIS, 0)])
def test_miners_and_ommers_are_rewarded(fork: Fork, reward: int) -> None:
    ommer = env(fork).parent
    ommer = type(ommer)(**{**{n: getattr(ommer, n) for n in ommer.__dataclass_fields__}, "beneficiary": HEIR})
    execution = block(fork, {}, ommers=(ommer,))
    changes = execution.finish().diff.accounts
    if not reward:
        assert not changes
        return
    wei = reward * 10**18
    assert changes[BENEFICIARY].account.balance == wei + wei // 32  # type: ignore[union-attr]
    assert changes[HEIR].account.balance == wei * 7 // 8  # type: ignore[union-attr]


def test_withdrawals_pay_gwei_on_ethereum() -> None:
    execution = block(forks.CANCUN, {}, withdrawals=(Withdrawal(0, 1, HEIR, 3), Withdrawal(1, 1, HEIR, 4)))
    assert execution.finish().diff.accounts[HEIR].account == Account(0, 7 * 10**9)


def returning(data: bytes) -> bytes:
    return b"\x6a" + data.ljust(11, b"\0")[:11] + bytes.fromhex("600052") + bytes([0x60, len(data), 0x60, 32 - 11, 0xF3])


def test_requests_of_ethereum() -> None:
    accounts = {WITHDRAWAL_REQUESTS: Before(nonce=1, code=returning(b"abc")), CONSOLIDATION_REQUESTS: Before(nonce=1, code=b"\x00")}
    execution = block(forks.PRAGUE, accounts, withdrawals=(), parent_beacon_block_root=bytes(32))
    assert execution.finish().requests == (b"\x01abc",)


@pytest.mark.parametrize("code", [b"", b"\xfe"], ids=["missing", "failing"])
def test_ethereum_block_without_working_request_contracts_is_invalid(code: bytes) -> None:
    accounts = {WITHDRAWAL_REQUESTS: Before(nonce=1, code=code), CONSOLIDATION_REQUESTS: Before(nonce=1, code=b"\x00")}
    with pytest.raises(InvalidBlock):
        block(forks.PRAGUE, accounts, withdrawals=(), parent_beacon_block_root=bytes(32)).finish()


@pytest.mark.parametrize("fork", [forks.ISTHMUS, forks.KARST], ids=lambda fork: fork.name)
def test_op_chains_run_no_requests(fork: Fork) -> None:
    accounts = {WITHDRAWAL_REQUESTS: Before(nonce=1, code=KEEP_INPUT), CONSOLIDATION_REQUESTS: Before(nonce=1, code=b"\xfe")}
    result = block(fork, accounts, withdrawals=(), parent_beacon_block_root=bytes(32)).finish()
    assert not result.requests and not result.diff.accounts
