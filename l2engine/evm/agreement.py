"""N-version execution (`--evm both`): every transaction and call runs on the native and on the reference executor.

Where they differ nothing is acknowledged: `ExecutorsDisagree` names the first differing transaction, field, account and
slot, with both values. Refusals and failed calls are equal when their kinds are; their words may differ.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, TypeAlias

from l2engine.errors import (
    DecodeError,
    ExecutionTimeout,
    ExecutorsDisagree,
    InvalidBlock,
    InvalidOverride,
    InvalidTransaction,
    L2EngineError,
)
from l2engine.evm.executor import BlockExecution, Executor
from l2engine.evm.native.machine import NativeExecutor
from l2engine.evm.reference.machine import ReferenceExecutor
from l2engine.rules.config import ChainConfig
from l2engine.rules.forks import Fork
from l2engine.types.base import Address, Gas, Hash32, keccak
from l2engine.types.environment import BlockEnv
from l2engine.types.execution import AccountOverride, BlockResult, Call, CallResult, Deadline, RefundRule, TransactionResult
from l2engine.types.failure import FailureKind
from l2engine.types.state import Account, AccountDiff, StateDiff, StateView
from l2engine.types.tracing import Tracer
from l2engine.types.transactions import Transactions

log = logging.getLogger(__name__)

Difference: TypeAlias = tuple[str, Any, Any]
"""The name of the difference, its native value and its reference value."""

_REFUSALS = (InvalidTransaction, InvalidOverride, InvalidBlock, DecodeError)
_ONE_STEP = {
    FailureKind.OUT_OF_GAS,
    FailureKind.GAS_OVERFLOW,
    FailureKind.STACK_UNDERFLOW,
    FailureKind.STACK_OVERFLOW,
    FailureKind.WRITE_PROTECTION,
    FailureKind.RETURN_DATA_OUT_OF_BOUNDS,
    FailureKind.INVALID_JUMP,
}
"""One step may fail in several of these ways, and executors look for them in different orders: they count as one."""
_LOGGED = 20  # differences of one block that the log lists


class AgreementExecutor:
    """Implements `evm.executor.Executor`; answers with what the native executor gives."""

    def __init__(self, config: ChainConfig, native: Executor | None = None, reference: Executor | None = None) -> None:
        self.native, self.reference = native or NativeExecutor(config), reference or ReferenceExecutor(config)

    def begin(
        self,
        view: StateView,
        env: BlockEnv,
        intermediate_root: Callable[[StateDiff], Hash32] | None = None,
        fork: Fork | None = None,
    ) -> "AgreementBlockExecution":
        return AgreementBlockExecution((self.native, self.reference), view, env, intermediate_root)

    def prepare(self, env: BlockEnv, call: Call | None, overrides: Mapping[Address, AccountOverride] | None, traced: bool) -> None:
        """Nothing is left to import."""

    def call(
        self,
        view: StateView,
        env: BlockEnv,
        call: Call,
        overrides: Mapping[Address, AccountOverride] | None = None,
        deadline: float | Deadline | None = None,
        tracer: Tracer | None = None,
    ) -> CallResult:
        if tracer is not None:
            return self.reference.call(view, env, call, overrides, deadline, tracer)
        native = _attempt(lambda: self.native.call(view, env, call, overrides, deadline))
        reference = _attempt(lambda: self.reference.call(view, env, call, overrides, deadline))
        for answer in (reference, native):
            if isinstance(answer, ExecutionTimeout):
                raise answer
        found = _field_differences(("success", "output", "gas_used", "gas_refund", "created", "logs"), native, reference)
        kinds = [_failure_kind(answer) for answer in (native, reference)]
        if not found and kinds[0] != kinds[1]:
            found = [("kind of failure", kinds[0], kinds[1])]
        if found:
            what, left, right = found[0]
            raise ExecutorsDisagree(f"call at block {env.number}, {what}", left, right)
        return _answer(native)  # type: ignore[no-any-return]


class AgreementBlockExecution:
    """One block under execution, twice; implements `evm.executor.BlockExecution`."""

    def __init__(
        self,
        executors: tuple[Executor, Executor],
        view: StateView,
        env: BlockEnv,
        intermediate_root: Callable[[StateDiff], Hash32] | None,
    ) -> None:
        self._executors, self._view, self._env, self._intermediate_root = executors, view, env, intermediate_root
        self._decided: dict[int, Gas] = {}
        """Refunds that a block builder has given, by the transaction's index."""
        self._native, self._reference = self._begin()
        self._raws: list[bytes] = []
        self.gas_before_refunds: Gas = 0

    def _begin(self) -> tuple[BlockExecution, BlockExecution]:
        env = replace(self._env, refunds={**self._env.refunds, **self._decided})
        native, reference = (executor.begin(self._view, env, self._intermediate_root) for executor in self._executors)
        return native, reference

    def apply(
        self,
        raw: bytes,
        sender: Address | None = None,
        deadline: float | Deadline | None = None,
        tracer: Tracer | None = None,
        refund: RefundRule | None = None,
    ) -> TransactionResult:
        decided = self._decided

        def decide(gas_used: Gas) -> Gas:  # asked once: a rule may look at what the tracer has heard
            assert refund is not None
            decided[len(self._raws)] = refund(gas_used)
            return decided[len(self._raws)]

        def repeat(_: Gas) -> Gas:
            return decided.get(len(self._raws), 0)

        rules = (None, None) if refund is None else (decide, repeat)
        # The reference executor first: when its time is up, the native one must not have run the transaction either.
        reference = _attempt(lambda: self._reference.apply(raw, sender, deadline, tracer, rules[0]))
        if isinstance(reference, ExecutionTimeout):
            raise reference
        native = _attempt(lambda: self._native.apply(raw, sender, refund=rules[1]))
        found = _transaction_differences(native, reference)
        if not found and self._native.gas_before_refunds != self._reference.gas_before_refunds:
            found = [("gas of the block", self._native.gas_before_refunds, self._reference.gas_before_refunds)]
        if found:
            raws = [*self._raws, raw]
            raise self._disagreement(raws, [*found, *self._state_differences(raws)])
        if isinstance(native, TransactionResult):
            self._raws.append(raw)
            self.gas_before_refunds = self._native.gas_before_refunds
        else:
            decided.pop(len(self._raws), None)
        return _answer(native)  # type: ignore[no-any-return]

    def apply_all(self, transactions: Transactions) -> tuple[int, Exception] | None:
        for index, raw in enumerate(transactions):
            try:
                self.apply(raw)
            except (InvalidTransaction, DecodeError) as error:
                return index, error
        return None

    def diff(self) -> StateDiff:
        return self._native.diff()

    def finish(self) -> BlockResult:
        native, reference = _attempt(self._native.finish), _attempt(self._reference.finish)
        found = self._result_differences(native, reference)
        if found:
            first = self._first_differing()
            if first is None:
                raise self._disagreement(self._raws, found, "end of the block")
            raise self._disagreement(self._raws[:first], self._state_differences(self._raws[:first]))
        return _answer(native)  # type: ignore[no-any-return]

    def _result_differences(self, native: Any, reference: Any) -> list[Difference]:
        """The differences between two ends of a block; roots and blooms that an executor has computed along the way count."""
        if not isinstance(native, BlockResult) or not isinstance(reference, BlockResult):
            return _field_differences((), native, reference)
        found = list(differences(native.diff, reference.diff, self._view))
        return found + _field_differences(
            ("gas_used", "blob_gas_used", "requests", "receipts_root", "logs_bloom", "value"), native, reference
        )

    def _first_differing(self) -> int | None:
        """How many transactions it takes until the states differ, found by halving; None when only the end of the block differs."""
        below, above = -1, len(self._raws)
        if not self._state_differences(self._raws):
            return None
        while above - below > 1:
            middle = (below + above) // 2
            if self._state_differences(self._raws[:middle]):
                above = middle
            else:
                below = middle
        return above

    def _state_differences(self, raws: Sequence[bytes]) -> list[Difference]:
        """The differences between the states after these transactions, found by running them again."""
        diffs = []
        for execution in self._begin():
            for raw in raws:
                _attempt(lambda execution=execution, raw=raw: execution.apply(raw))  # type: ignore[misc]
            result = _attempt(execution.finish)
            diffs.append(result.diff if isinstance(result, BlockResult) else StateDiff({}, {}))
        return list(differences(diffs[0], diffs[1], self._view))

    def _disagreement(self, raws: Sequence[bytes], found: Sequence[Difference], place: str | None = None) -> ExecutorsDisagree:
        """The error, with the transactions up to the first differing one; the log gets all that differs."""
        if place is None:
            place = f"transaction {len(raws) - 1} 0x{keccak(raws[-1]).hex()}" if raws else "beginning of the block"
        where = f"block {self._env.number}, {place}"
        for what, native, reference in found[:_LOGGED]:
            row = {"block": self._env.number, "at": place, "what": what, "native": native, "reference": reference}
            log.critical("The executors disagree", extra={"fields": row})
        what, native, reference = found[0]
        return ExecutorsDisagree(f"{where}, {what}", native, reference, tuple(raws), self._executors)


def _transaction_differences(native: Any, reference: Any) -> list[Difference]:
    if not isinstance(native, TransactionResult) or not isinstance(reference, TransactionResult):
        return _field_differences((), native, reference)
    names = [field.name for field in fields(native.receipt)]
    found = [(f"receipt's {what}", left, right) for what, left, right in _field_differences(names, native.receipt, reference.receipt)]
    return found + _field_differences(("gas_used", "output", "l1_fee", "operator_fee"), native, reference)


def differences(native: StateDiff, reference: StateDiff, before: StateView) -> Iterator[Difference]:
    """The differences between two diffs on the state `before`, accounts in order of address."""
    for address in sorted(native.accounts.keys() | reference.accounts.keys()):
        left, right = native.accounts.get(address), reference.accounts.get(address)
        if left == right:
            continue
        who = f"account 0x{address.hex()}"
        found = list(_account_differences(address, left, right, before))
        yield from ((f"{who}, {what}", *values) for what, *values in found)
        if not found:  # one of the two lists what has not changed
            yield who, left, right
    for code_hash in sorted(native.codes.keys() | reference.codes.keys()):
        if native.codes.get(code_hash) != reference.codes.get(code_hash):
            yield f"code 0x{code_hash.hex()}", native.codes.get(code_hash), reference.codes.get(code_hash)


def _account_differences(address: Address, left: AccountDiff | None, right: AccountDiff | None, before: StateView) -> Iterator[Difference]:
    unchanged = AccountDiff(before.account(address))
    left, right = left or unchanged, right or unchanged
    yield from _field_differences([field.name for field in fields(Account)], left.account, right.account)
    if left.destroyed != right.destroyed:
        yield "destroyed", left.destroyed, right.destroyed
    for slot in sorted(left.storage.keys() | right.storage.keys()):
        values = [diff.storage.get(slot, 0 if diff.destroyed else before.storage(address, slot)) for diff in (left, right)]
        if values[0] != values[1]:
            yield f"slot {slot:#x}", values[0], values[1]


def _field_differences(names: Sequence[str], native: Any, reference: Any) -> list[Difference]:
    """The named fields that differ; where one of the two is missing or was refused, that is the difference."""
    if isinstance(native, Exception) or isinstance(reference, Exception):
        left, right = _refusal(native), _refusal(reference)
        return [] if left == right else [("refusal", left, right)]
    if native is None or reference is None:
        return [] if native is reference else [("existence", native, reference)]
    pairs = ((name, getattr(native, name), getattr(reference, name)) for name in names)
    return [(name, left, right) for name, left, right in pairs if left != right]


def _refusal(answer: Any) -> str | None:
    """Why something was refused: a transaction's reason, otherwise the kind of error; None when it was not."""
    if isinstance(answer, InvalidTransaction):
        return answer.reason
    return type(answer).__name__ if isinstance(answer, Exception) else None


def _failure_kind(answer: Any) -> FailureKind | None:
    """How a call failed; None when it did not, or did not begin."""
    failure = getattr(answer, "failure", None)
    return None if failure is None else FailureKind.OUT_OF_GAS if failure.kind in _ONE_STEP else failure.kind


def _attempt(work: Callable[[], Any]) -> Any:
    """The result, or the refusal."""
    try:
        return work()
    except (*_REFUSALS, ExecutionTimeout) as error:
        return error


def _answer(result: Any) -> Any:
    """The result that both agree on; raises it when it is a refusal."""
    if isinstance(result, L2EngineError):
        raise result
    return result
