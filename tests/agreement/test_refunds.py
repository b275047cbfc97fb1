"""Random Lagoon blocks with gas refunds on both executors: same receipts, gas, balances, refusals; and the balances that plain integers
say. The slow run has more than 20,000 transactions."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from l2engine.errors import DecodeError, InvalidTransaction
from l2engine.evm.agreement import AgreementExecutor, differences
from l2engine.evm.executor import Executor
from l2engine.evm.native.machine import NativeExecutor
from l2engine.evm.reference.machine import ReferenceExecutor
from l2engine.rules.forks import LAGOON
from l2engine.rules.post_execution import gas_refunds
from l2engine.rules.predeploys import BASE_FEE_VAULT, L1_BLOCK, OPERATOR_FEE_VAULT
from l2engine.types.execution import BlockResult
from l2engine.types.state import Account, AccountDiff, StateDiff
from l2engine.types.transaction import effective_gas_price
from l2engine.types.transaction_codec import decode_transaction, recover_sender
from l2engine.types.transactions import Transactions
from tests.agreement.fuzz import RandomBlock
from tests.agreement.refunds import FLAWS, RefundedBlock, refunded_block

QUICK, LONG = 90, 3_600


@dataclass
class Seen:
    """Counts of the cases in a run of random blocks."""

    transactions: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    traits: Counter[str] = field(default_factory=Counter)


def run(seed: int, seen: Seen) -> None:
    """Execute one random block in every way and compare."""
    made = refunded_block(seed)
    raws = made.block.transactions
    seen.transactions += len(raws)
    refunds = _read(made, seen)
    if refunds is None:
        return
    block = replace(made.block, env=replace(made.block.env, refunds=refunds))
    agreed = _one_by_one(AgreementExecutor(block.config), block)
    whole = [_at_once(executor(block.config), block) for executor in (NativeExecutor, ReferenceExecutor)]
    assert whole[0][0] == whole[1][0] == agreed[0]
    for result in (whole[0][1], whole[1][1]):
        for name in ("receipts", "gas_used", "blob_gas_used", "receipts_root", "logs_bloom", "value"):
            assert getattr(result, name) == getattr(agreed[1], name), name
        assert not list(differences(result.diff, agreed[1].diff, block.world))
    seen.outcomes[agreed[0][1] if agreed[0] else "valid"] += 1
    seen.traits.update(made.traits)
    if seed % 4 == 0:
        for executor in (NativeExecutor(block.config), ReferenceExecutor(block.config)):
            _compare_with_plain_integers(executor, block, len(agreed[1].receipts))


def _read(made: RefundedBlock, seen: Seen) -> Mapping[int, int] | None:
    """The refunds of a block, None where they do not even read; both decoders say the same."""
    raws = made.block.transactions
    try:
        decoded = [decode_transaction(raw) for raw in raws]
    except DecodeError:
        decoded = []
    wrong = Transactions(raws).first_undecodable
    assert (wrong is None) == bool(decoded)
    if wrong is not None:
        assert made.flaw == "mangled" and wrong[0] == len(raws) - 1
        seen.outcomes["undecodable"] += 1
        return None
    try:
        return gas_refunds(LAGOON, made.block.env.number, raws)
    except InvalidTransaction as error:
        assert made.flaw
        seen.outcomes[error.reason] += 1
        return None


Outcome = tuple[tuple[int, str] | None, BlockResult]
"""Which transaction was refused and why, None when all ran; and the block as far as it came."""


def _one_by_one(executor: AgreementExecutor, block: RandomBlock) -> Outcome:
    execution = executor.begin(block.world, block.env)
    failed = None
    for index, raw in enumerate(block.transactions):
        try:
            execution.apply(raw)
        except InvalidTransaction as error:
            failed = index, error.reason
            break
    return failed, execution.finish()


def _at_once(executor: Executor, block: RandomBlock) -> Outcome:
    execution = executor.begin(block.world, block.env)
    failed = execution.apply_all(Transactions(block.transactions))
    assert failed is None or isinstance(failed[1], InvalidTransaction)
    return None if failed is None else (failed[0], failed[1].reason), execution.finish()  # type: ignore[attr-defined]


# ---- a third opinion ------------------------------------------------------------------------------------------------


def _compare_with_plain_integers(executor: Executor, block: RandomBlock, ran: int) -> None:
    """Each refund moves what the specification says, and nothing else: the state with it against the state without it."""
    scalar = block.world.storage(L1_BLOCK, 8) >> 64 & 0xFFFFFFFF
    for index, refund in block.env.refunds.items():
        if index >= ran:
            return
        without, paid = _up_to(executor, block, index, {})
        settled, left = _up_to(executor, block, index, {index: refund})
        assert paid - left == refund
        tx = decode_transaction(block.transactions[index])
        base_fee = block.env.base_fee_per_gas or 0
        price, sender = effective_gas_price(tx, base_fee), recover_sender(tx)
        expected: Counter[bytes] = Counter()
        expected[sender] += refund * price + refund * scalar * 100
        expected[block.env.beneficiary] -= refund * (price - base_fee)
        expected[BASE_FEE_VAULT] -= refund * base_fee
        expected[OPERATOR_FEE_VAULT] -= refund * scalar * 100
        moved = {address: wei for address, wei in expected.items() if wei}
        assert _moved(block, without, settled) == moved


def _up_to(executor: Executor, block: RandomBlock, index: int, more: Mapping[int, int]) -> tuple[StateDiff, int]:
    """The changes made by a block's transaction at `index`, and the gas that its receipt says, by the refunds before it and `more`."""
    before = {place: gas for place, gas in block.env.refunds.items() if place < index}
    execution = executor.begin(block.world, replace(block.env, refunds={**before, **more}))
    assert execution.apply_all(Transactions(block.transactions[:index])) is None
    gas = execution.apply(block.transactions[index]).gas_used
    return execution.finish().diff, gas


def _moved(block: RandomBlock, before: StateDiff, after: StateDiff) -> dict[bytes, int]:
    """By how much balances differ; nothing else may."""
    found: dict[bytes, int] = {}
    for address in before.accounts.keys() | after.accounts.keys():
        unchanged = AccountDiff(block.world.account(address))
        left, right = before.accounts.get(address, unchanged), after.accounts.get(address, unchanged)
        mine, other = left.account or Account(), right.account or Account()
        assert replace(mine, balance=0) == replace(other, balance=0)
        assert (left.storage, left.destroyed) == (right.storage, right.destroyed) or other == Account()
        if mine.balance != other.balance:
            found[address] = other.balance - mine.balance
    assert before.codes == after.codes
    return found


# ---- runs -----------------------------------------------------------------------------------------------------------


def test_random_refunds() -> None:
    seen = Seen()
    for seed in range(QUICK):
        run(seed, seen)
    assert seen.outcomes["valid"] > QUICK / 3
    for trait in TRAITS:
        assert seen.traits[trait] >= 3, trait


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_many_random_refunds(part: int) -> None:
    seen = Seen()
    for seed in range(QUICK + part, QUICK + LONG, 8):
        run(seed, seen)
    assert seen.transactions > 20_000 / 8
    assert {"valid", "undecodable", "gas_limit_reached", "insufficient_funds", "refund_above_gas_used"} <= seen.outcomes.keys()


TRAITS = (
    "sender is the beneficiary", "refund is spent", "filled before refunds", "everything is refunded", "failed", "delegates",
    "below the floor",
)  # fmt: skip


@pytest.mark.parametrize("flaw", FLAWS)
def test_every_flaw_comes_up(flaw: str) -> None:
    assert any(refunded_block(seed).flaw == flaw for seed in range(400))


def main() -> None:
    """`python -m tests.agreement.test_refunds FIRST LAST`: the seeds of a range, and what came up."""
    import sys

    seen: Any = Seen()
    for seed in range(*map(int, sys.argv[1:3])):
        run(seed, seen)
    print(seen)


if __name__ == "__main__":
    main()
