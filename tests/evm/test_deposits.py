"""Deposits: what each outcome leaves in the state and in the receipt (digest 2.3, 2.4 and section 0)."""

import pytest

from l2engine.errors import InvalidTransaction
from l2engine.rules import forks
from l2engine.rules.forks import Fork
from l2engine.rules.predeploys import BASE_FEE_VAULT, L1_FEE_VAULT, OPERATOR_FEE_VAULT
from l2engine.types.state import AccountDiff
from l2engine.types.transaction import created_address
from l2engine.types.transaction_codec import decode_transaction
from tests.evm.states import BENEFICIARY, Before, block, deposit

SENDER, TARGET = b"\xd0" * 20, b"\x70" * 20
STOP, REVERT, INVALID = bytes.fromhex("00"), bytes.fromhex("60006000fd"), bytes.fromhex("fe")
STORE = bytes.fromhex("6001600155") + REVERT  # writes, then reverts
OP_FORKS = pytest.mark.parametrize("fork", forks.OP_FORKS, ids=lambda fork: fork.name)


def run(fork: Fork, raw: bytes, code: bytes = STOP, **accounts: Before) -> tuple[int, int, AccountDiff, dict[bytes, AccountDiff]]:
    """Status, gas used, the sender's diff and all diffs of a block with one deposit."""
    before = {SENDER: accounts.get("sender", Before(balance=100, nonce=5)), TARGET: Before(code=code, nonce=1)}
    execution = block(fork, before)
    result = execution.apply(raw)
    assert execution.gas_before_refunds == result.gas_used == result.receipt.cumulative_gas_used
    diff = execution.finish().diff
    assert result.receipt.status is not None
    return result.receipt.status, result.gas_used, diff.accounts[SENDER], dict(diff.accounts)


@pytest.mark.parametrize(
    ("fork", "system"),
    [(forks.BEDROCK, True), *((fork, False) for fork in forks.OP_FORKS)],
    ids=["bedrock system", *(fork.name for fork in forks.OP_FORKS)],
)
@pytest.mark.parametrize(
    ("code", "status", "value_moves", "actual"),
    [(STOP, 1, True, 21_000), (REVERT, 0, False, 21_006), (STORE, 0, False, None), (INVALID, 0, False, 100_000)],
    ids=["success", "revert", "revert after a write", "halt"],
)
def test_outcomes_of_execution(fork: Fork, system: bool, code: bytes, status: int, value_moves: bool, actual: int | None) -> None:
    got = run(fork, deposit(SENDER, TARGET, mint=50, value=30, system=system), code)
    assert got[0] == status
    sender = got[2].account
    assert sender is not None and sender.nonce == 6 and sender.balance == 150 - (30 if value_moves else 0)
    assert (TARGET in got[3]) == value_moves
    if fork.deposits_report_gas:
        assert got[1] == actual if actual is not None else 21_000 < got[1] < 100_000
    else:
        assert got[1] == (0 if system else 100_000)


@OP_FORKS
@pytest.mark.parametrize(
    "raw",
    [
        deposit(SENDER, TARGET, mint=50, value=151),
        deposit(SENDER, TARGET, mint=50, gas=20_999),
        deposit(SENDER, None, mint=50, gas=52_999, data=b""),
    ],
    ids=["value above balance and mint", "intrinsic gas", "intrinsic gas of a creation"],
)
def test_failure_before_execution_keeps_mint_and_nonce(fork: Fork, raw: bytes) -> None:
    status, gas_used, change, changes = run(fork, raw)
    assert status == 0 and gas_used == decode_transaction(raw).gas
    assert change.account is not None and (change.account.nonce, change.account.balance) == (6, 150)
    assert set(changes) == {SENDER}


@pytest.mark.parametrize("fork", [forks.REGOLITH, forks.CANYON, forks.KARST], ids=lambda fork: fork.name)
def test_initcode_limit_holds_from_canyon_on(fork: Fork) -> None:
    raw = deposit(SENDER, None, gas=2_000_000, data=bytes(49_153))
    status, gas_used, change, changes = run(fork, raw)
    assert status == (1 if fork is forks.REGOLITH else 0)
    assert change.account is not None and change.account.nonce == 6
    assert (created_address(SENDER, 5) in changes) == (fork is forks.REGOLITH)
    if status == 0:
        assert gas_used == 2_000_000


@pytest.mark.parametrize("fork", [forks.HOLOCENE, forks.ISTHMUS, forks.KARST], ids=lambda fork: fork.name)
def test_calldata_floor_counts_for_deposits_from_isthmus_on(fork: Fork) -> None:
    data = b"\xff" * 1000
    status, gas_used, _, _ = run(fork, deposit(SENDER, TARGET, gas=200_000, data=data))
    assert status == 1 and gas_used == (37_000 if fork is forks.HOLOCENE else 61_000)
    status, gas_used, change, _ = run(fork, deposit(SENDER, TARGET, mint=1, gas=60_999, data=data))
    assert status == (1 if fork is forks.HOLOCENE else 0) and gas_used == (37_000 if fork is forks.HOLOCENE else 60_999)
    assert change.account is not None and change.account.balance == 101


@OP_FORKS
def test_deposits_pay_nobody(fork: Fork) -> None:
    changes = run(fork, deposit(SENDER, TARGET, value=1))[3]
    assert not {BENEFICIARY, BASE_FEE_VAULT, L1_FEE_VAULT, OPERATOR_FEE_VAULT} & set(changes)


@OP_FORKS
def test_receipt_fields(fork: Fork) -> None:
    receipt = block(fork, {SENDER: Before(nonce=5)}).apply(deposit(SENDER, TARGET)).receipt
    assert receipt.deposit_nonce == (None if fork is forks.BEDROCK else 5)
    assert receipt.deposit_receipt_version == (None if fork in (forks.BEDROCK, forks.REGOLITH) else 1)


@OP_FORKS
def test_system_deposit_from_regolith_on_makes_the_block_invalid(fork: Fork) -> None:
    execution = block(fork, {SENDER: Before(nonce=5)})
    if fork is forks.BEDROCK:
        assert execution.apply(deposit(SENDER, TARGET, gas=10**8, system=True)).gas_used == 0
        return
    with pytest.raises(InvalidTransaction, match="system tx not supported: address 0x"):
        execution.apply(deposit(SENDER, TARGET, mint=9, system=True))
    assert execution.gas_before_refunds == 0 and not execution.finish().diff.accounts


@OP_FORKS
def test_deposit_beyond_the_blocks_gas_is_refused_and_undone(fork: Fork) -> None:
    execution = block(fork, {}, gas_limit=150_000)
    execution.apply(deposit(SENDER, TARGET, gas=100_000))
    left = 150_000 - execution.gas_before_refunds
    with pytest.raises(InvalidTransaction, match=r"^gas limit reached$"):
        execution.apply(deposit(SENDER, TARGET, mint=10**18, gas=left + 1))
    assert execution.apply(deposit(SENDER, TARGET, gas=left)).receipt.status == 1
    account = execution.finish().diff.accounts[SENDER].account
    assert account is not None and account.balance == 0 and account.nonce == 2


def test_deposits_from_contracts_and_above_the_gas_cap_run() -> None:
    accounts = {SENDER: Before(nonce=1, code=INVALID), TARGET: Before(nonce=1, code=STOP)}
    execution = block(forks.KARST, accounts)
    assert execution.apply(deposit(SENDER, TARGET, gas=2**24 + 1)).receipt.status == 1
    assert execution.apply(deposit(bytes(20), TARGET)).receipt.status == 1


def test_opcodes_see_a_free_transaction() -> None:
    # GASPRICE, BASEFEE, ORIGIN and CALLER into slots 0 to 3
    code = bytes.fromhex("3a600055486001553260025533600355")
    changes = run(forks.REGOLITH, deposit(SENDER, TARGET), code)[3]
    who = int.from_bytes(SENDER, "big")
    assert changes[TARGET].storage == {1: 10**9, 2: who, 3: who}
