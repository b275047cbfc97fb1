"""N-version execution (`--evm both`): every transaction and call runs on the native and on the reference executor.

Where they differ nothing is acknowledged: `ExecutorsDisagree` names the first differing transaction, field, account and
slot, with both values. A call whose error texts differ in wording only counts as equal.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from l2engine.errors import DecodeError, ExecutionTimeout, ExecutorsDisagree, InvalidBlock, InvalidTransaction, L2EngineError
from l2engine.evm.native import NativeExecutor
from l2engine.evm.reference import ReferenceExecutor
from l2engine.rules.config import ChainConfig
from l2engine.types.base import Address, Gas, Hash32, keccak
from l2engine.types.state import (
    AccountDiff,
    AccountOverride,
    BlockEnv,
    BlockExecution,
    BlockResult,
    Call,
    CallResult,
    Deadline,
    StateDiff,
    StateView,
    Tracer,
    TransactionResult,
)

log = logging.getLogger(__name__)

_REFUSALS = (InvalidTransaction, InvalidBlock, DecodeError)


class AgreementExecutor:
    """Implements `types.state.Executor`; answers with what the native executor gives."""

    def __init__(self, config: ChainConfig) -> None:
        self.config = config
        self.native, self.reference = NativeExecutor(config), ReferenceExecutor(config)

    def begin(
        self, view: StateView, env: BlockEnv, intermediate_root: Callable[[StateDiff], Hash32] | None = None
    ) -> "AgreementBlockExecution":
        native = self.native.begin(view, env, intermediate_root)
        return AgreementBlockExecution(env, native, self.reference.begin(view, env, intermediate_root))

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
        if isinstance(native, CallResult) and isinstance(reference, CallResult):
            for name in ("success", "output", "gas_used", "gas_refund", "created", "logs"):
                _same(f"call at block {env.number}, {name}", getattr(native, name), getattr(reference, name))
            return native
        return _both_refused(f"call at block {env.number}", native, reference)  # type: ignore[no-any-return]


class AgreementBlockExecution:
    """One block under execution, twice; implements `types.state.BlockExecution`."""

    def __init__(self, env: BlockEnv, native: BlockExecution, reference: BlockExecution) -> None:
        self._where = f"block {env.number}"
        self._native, self._reference = native, reference
        self._count = 0
        self.gas_used: Gas = 0

    def apply(
        self, raw: bytes, sender: Address | None = None, deadline: float | Deadline | None = None, tracer: Tracer | None = None
    ) -> TransactionResult:
        where = f"{self._where}, transaction {self._count} 0x{keccak(raw).hex()}"
        native = _attempt(lambda: self._native.apply(raw, sender))
        reference = _attempt(lambda: self._reference.apply(raw, sender, deadline, tracer))
        if not isinstance(native, TransactionResult) or not isinstance(reference, TransactionResult):
            return _both_refused(where, native, reference)  # type: ignore[no-any-return]
        for name in (field.name for field in fields(native.receipt)):
            _same(f"{where}, receipt's {name}", getattr(native.receipt, name), getattr(reference.receipt, name))
        for name in ("gas_used", "output", "l1_fee", "operator_fee"):
            _same(f"{where}, {name}", getattr(native, name), getattr(reference, name))
        self._count += 1
        self.gas_used = self._native.gas_used
        _same(f"{where}, gas of the block", self.gas_used, self._reference.gas_used)
        return native

    def finish(self) -> BlockResult:
        native, reference = _attempt(self._native.finish), _attempt(self._reference.finish)
        if isinstance(native, L2EngineError) or isinstance(reference, L2EngineError):
            return _both_refused(self._where, native, reference)  # type: ignore[no-any-return]
        for name in ("gas_used", "blob_gas_used", "requests"):
            _same(f"{self._where}, {name}", getattr(native, name), getattr(reference, name))
        for what, left, right in differences(native.diff, reference.diff):
            _same(f"{self._where}, {what}", left, right)
        return native  # type: ignore[no-any-return]


def differences(native: StateDiff, reference: StateDiff) -> Iterator[tuple[str, Any, Any]]:
    """Where two diffs differ: what, and both values; accounts in order of address."""
    for address in sorted(native.accounts.keys() | reference.accounts.keys()):
        left, right = native.accounts.get(address), reference.accounts.get(address)
        who = f"account 0x{address.hex()}"
        if left is None or right is None:
            yield who, left, right
            continue
        yield from _account_differences(who, left, right)
    for code_hash in sorted(native.codes.keys() | reference.codes.keys()):
        if native.codes.get(code_hash) != reference.codes.get(code_hash):
            yield f"code 0x{code_hash.hex()}", native.codes.get(code_hash), reference.codes.get(code_hash)


def _account_differences(who: str, left: AccountDiff, right: AccountDiff) -> Iterator[tuple[str, Any, Any]]:
    if left.account != right.account:
        yield who, left.account, right.account
    if left.destroyed != right.destroyed:
        yield f"{who}, destroyed", left.destroyed, right.destroyed
    for slot in sorted(left.storage.keys() | right.storage.keys()):
        if left.storage.get(slot) != right.storage.get(slot):
            yield f"{who}, slot {slot:#x}", left.storage.get(slot), right.storage.get(slot)


def _attempt(work: Callable[[], Any]) -> Any:
    """The result, or the refusal."""
    try:
        return work()
    except (*_REFUSALS, ExecutionTimeout) as error:
        return error


def _both_refused(where: str, native: Any, reference: Any) -> Any:
    """Raise what both raised; `ExecutorsDisagree` when only one did."""
    for error in (reference, native):
        if isinstance(error, ExecutionTimeout):
            raise error
    if isinstance(native, _REFUSALS) and isinstance(reference, _REFUSALS):
        raise reference
    _same(f"{where}, refusal", native if isinstance(native, Exception) else None, reference if isinstance(reference, Exception) else None)
    raise AssertionError("one of the two must have refused")


def _same(where: str, native: object, reference: object) -> None:
    if native != reference:
        log.critical("The executors disagree", extra={"fields": {"where": where, "native": native, "reference": reference}})
        raise ExecutorsDisagree(where, native, reference)
