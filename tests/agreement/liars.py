"""Executors that are wrong about one thing, to stand in for one of the two."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from l2engine.errors import InvalidTransaction
from l2engine.evm.executor import BlockExecution, Executor
from l2engine.refusals import Reason
from l2engine.types.base import Address
from l2engine.types.execution import BlockResult, TransactionResult
from l2engine.types.state import Account, AccountDiff, StateDiff

Lie = Callable[["LyingExecution", bytes, TransactionResult], TransactionResult]
"""Changes the result of a transaction, given the execution and the raw transaction, or notes what to change in the diff."""


class LyingExecutor:
    """An executor whose answers about one transaction are changed by `lie`."""

    def __init__(self, truth: Executor, wanted: Callable[[bytes], bool], lie: Lie) -> None:
        self.truth, self.wanted, self.lie = truth, wanted, lie
        self.call = truth.call

    def begin(self, view: Any, env: Any, intermediate_root: Any = None, fork: Any = None) -> "LyingExecution":
        return LyingExecution(self, self.truth.begin(view, env, intermediate_root))


class LyingExecution:
    """One block of a `LyingExecutor`."""

    def __init__(self, executor: LyingExecutor, truth: BlockExecution) -> None:
        self.executor, self.truth = executor, truth
        self.changes: dict[Address, Callable[[AccountDiff], AccountDiff]] = {}
        self.gas_before_refunds = 0

    def apply_all(self, raws: Any) -> Any:
        for index, raw in enumerate(raws):
            try:
                self.apply(raw)
            except InvalidTransaction as error:
                return index, error
        return None

    def apply(self, raw: bytes, *rest: Any, **named: Any) -> TransactionResult:
        result = self.truth.apply(raw, *rest, **named)
        self.gas_before_refunds = self.truth.gas_before_refunds
        return self.executor.lie(self, raw, result) if self.executor.wanted(raw) else result

    def finish(self) -> BlockResult:
        result = self.truth.finish()
        accounts = dict(result.diff.accounts)
        for address, change in self.changes.items():
            accounts[address] = change(accounts.get(address, AccountDiff(Account())))
        return replace(result, diff=StateDiff(accounts, result.diff.codes))


def more_gas(execution: LyingExecution, raw: bytes, result: TransactionResult) -> TransactionResult:
    """One gas too much."""
    receipt = replace(result.receipt, cumulative_gas_used=result.receipt.cumulative_gas_used + 1)
    return replace(result, receipt=receipt, gas_used=result.gas_used + 1)


def refuse(execution: LyingExecution, raw: bytes, result: TransactionResult) -> TransactionResult:
    """The transaction cannot stand."""
    raise InvalidTransaction(Reason.GAS_LIMIT_REACHED)


def richer(address: Address) -> Lie:
    """The account has a wei too much, and nothing else shows it."""

    def lie(execution: LyingExecution, raw: bytes, result: TransactionResult) -> TransactionResult:
        execution.changes[address] = lambda diff: replace(
            diff, account=replace(diff.account or Account(), balance=(diff.account or Account()).balance + 1)
        )
        return result

    return lie


def wrong_slot(address: Address, slot: int) -> Lie:
    """The slot holds 77, and nothing else shows it."""

    def lie(execution: LyingExecution, raw: bytes, result: TransactionResult) -> TransactionResult:
        execution.changes[address] = lambda diff: replace(diff, storage={**diff.storage, slot: 77})
        return result

    return lie
