"""The native executor: `evm.executor.Executor` over the Rust core (`native/`), for OP chains and Ethereum from Paris on.

Rust runs transactions and keeps the block's state; `evm/block.py` says what a block does around its transactions. Blocks before the
merge go to the reference executor.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from operator import attrgetter
from time import monotonic
from typing import Any

from l2engine.errors import ConfigError
from l2engine.evm.block import BlockLoop
from l2engine.evm.executor import BlockExecution, Executor
from l2engine.evm.machine import SealedReceipts
from l2engine.rules.config import ChainConfig
from l2engine.rules.forks import Fork, L1Rules
from l2engine.rules.predeploys import SYSTEM_CALLER
from l2engine.types.base import MAX_UINT64, Address, BlockNumber, Gas, Hash32, Wei
from l2engine.types.environment import BlockEnv
from l2engine.types.execution import AccountOverride, Call, CallResult, Deadline, RefundRule, TransactionResult
from l2engine.types.failure import Failure, FailureKind
from l2engine.types.native_core import InNativeCore
from l2engine.types.native_core import core as _native
from l2engine.types.receipt import Log, PackedReceipts, Receipt
from l2engine.types.state import Account, AccountDiff, StateDiff, StateView
from l2engine.types.tracing import Tracer
from l2engine.types.transactions import Transactions

_PRECOMPILES = bytes(18)
"""The prefix of precompile addresses."""


def available() -> bool:
    """Whether the native core is installed."""
    return _native is not None


class NativeExecutor:
    """Implements `evm.executor.Executor`; `ConfigError` when the native core is not installed."""

    def __init__(self, config: ChainConfig) -> None:
        if _native is None:
            raise ConfigError("the native core is not installed: run `make native` (needs cargo)")
        self.config = config

    @cached_property
    def reference(self) -> Executor:
        """The reference executor, imported only when something needs it."""
        from l2engine.evm.reference.machine import ReferenceExecutor

        return ReferenceExecutor(self.config)

    def prepare(self, env: BlockEnv, call: Call | None, overrides: Mapping[Address, AccountOverride] | None, traced: bool) -> None:
        fork = self.config.fork_at(env.number, env.timestamp)
        if not fork.has(L1Rules.PARIS) or _is_unusual(env, call, overrides or {}):
            _ = self.reference
        elif traced:
            from l2engine.evm.native import trace  # noqa: F401
        elif call is not None and call.to is not None and call.to.startswith(_PRECOMPILES):
            from l2engine.evm.reference import precompiles  # noqa: F401

    def begin(
        self,
        view: StateView,
        env: BlockEnv,
        intermediate_root: Callable[[StateDiff], Hash32] | None = None,
        fork: Fork | None = None,
    ) -> BlockExecution:
        fork = fork or self.config.fork_at(env.number, env.timestamp)
        if not fork.has(L1Rules.PARIS):
            return self.reference.begin(view, env, intermediate_root, fork)
        return BlockLoop(self.config, fork, env, NativeMachine(self.config, fork, view, env))

    def call(
        self,
        view: StateView,
        env: BlockEnv,
        call: Call,
        overrides: Mapping[Address, AccountOverride] | None = None,
        deadline: float | Deadline | None = None,
        tracer: Tracer | None = None,
    ) -> CallResult:
        fork = self.config.fork_at(env.number, env.timestamp)
        if not fork.has(L1Rules.PARIS) or _is_unusual(env, call, overrides or {}):
            return self.reference.call(view, env, call, overrides, deadline, tracer)
        hooks = _hooks(tracer, env, fork)
        failed, output, gas_used, gas_refund, created, logs = _native.call(
            _native_view(view), _row(fork), self.config.chain_id, env, call, overrides and dict(overrides), _deadline(deadline), hooks
        )
        failure = None if failed is None else Failure(FailureKind(failed[0]), failed[1])
        if failure is not None and failure.kind is FailureKind.PRECOMPILE_FAILED:
            from l2engine.evm.reference.precompiles import why_refused

            failure = why_refused(fork, call.to or b"", call.data, call.gas) or failure
        return CallResult(failure is None, output, gas_used, gas_refund, failure, created, tuple(Log(*log) for log in logs))


def _is_unusual(env: BlockEnv, call: Call | None, overrides: Mapping[Address, AccountOverride]) -> bool:
    """Whether a call's overrides are such that only the reference executor takes them: moved precompiles, fees of more than 64 bits,
    and receivers so rich that their balance may wrap around, as it does in geth."""
    if (env.base_fee_per_gas or 0) > MAX_UINT64 or env.blob_base_fee is not None:
        return True
    sender = None if call is None else call.sender
    return any(item.move_precompile_to or ((item.balance or 0) >> 255 and who != sender) for who, item in overrides.items())


class NativeMachine:
    """The state of one block in Rust; implements `evm.machine.Machine`."""

    def __init__(self, config: ChainConfig, fork: Fork, view: StateView, env: BlockEnv) -> None:
        self._env, self._fork = env, fork
        self._block = block = _native.Block(_native_view(view), _row(fork), config.chain_id, env)
        self.has_code: Callable[[Address], bool] = block.has_code
        self.set_code: Callable[[Address, bytes], None] = block.set_code
        self.credit: Callable[[Address, Wei], None] = block.credit

    gas_used: Gas = property(attrgetter("_block.gas_used"))  # type: ignore[assignment]
    gas_before_refunds: Gas = property(attrgetter("_block.gas_before_refunds"))  # type: ignore[assignment]
    blob_gas_used: Gas = property(attrgetter("_block.blob_gas_used"))  # type: ignore[assignment]
    da_size: int = property(attrgetter("_block.da_size"))  # type: ignore[assignment]
    value: Wei = property(attrgetter("_block.value"))  # type: ignore[assignment]

    def run(
        self,
        raw: bytes,
        sender: Address | None,
        deadline: float | Deadline | None,
        tracer: Tracer | None,
        refund: RefundRule | None,
    ) -> TransactionResult:
        hooks = _hooks(tracer, self._env, self._fork)
        receipt, gas_used, output, l1_fee, operator_fee = self._block.apply(raw, sender, _deadline(deadline), hooks, refund)
        return TransactionResult(_receipt(receipt), gas_used, output, l1_fee, operator_fee)

    def run_all(self, transactions: Transactions) -> tuple[int, Exception] | None:
        return self._block.apply_all(transactions.native)  # type: ignore[no-any-return]

    def system_call(self, contract: Address, data: bytes) -> bytes | None:
        return self._block.system_call(SYSTEM_CALLER, contract, data)  # type: ignore[no-any-return]

    def receipts(self) -> Sequence[Receipt]:
        return tuple(_receipt(fields) for fields in self._block.receipts())

    def seal(self) -> SealedReceipts:
        root, bloom, row, receipts = self._block.seal()
        return SealedReceipts(NativeReceipts(receipts, row), root, bloom)

    def diff(self) -> StateDiff:
        return NativeDiff(self._block.diff())  # type: ignore[return-value]


class NativeReceipts(PackedReceipts):
    """A block's receipts, converted from Rust only when they are read; `row` is their stored form."""

    def __init__(self, native: Any, row: bytes) -> None:
        self._native, self.row = native, row
        self.log_keys: Callable[[BlockNumber], list[bytes]] = native.log_keys

    @cached_property
    def _all(self) -> tuple[Receipt, ...]:
        return tuple(_receipt(fields) for fields in self._native.all())

    def __getitem__(self, index: Any) -> Any:
        return self._all[index]

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Receipt]:
        return iter(self._all)

    def __eq__(self, other: object) -> bool:
        return self._all == tuple(other) if isinstance(other, Sequence) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._all)


class NativeDiff(InNativeCore):
    """A `types.state.StateDiff` in Rust; `native` is what the native store takes."""

    def __init__(self, native: Any) -> None:
        self.native = native

    @cached_property
    def accounts(self) -> Mapping[Address, AccountDiff]:
        return {
            address: AccountDiff(None if account is None else Account(*account), storage, destroyed)
            for address, (account, storage, destroyed) in self.native.accounts().items()
        }

    @cached_property
    def codes(self) -> Mapping[Hash32, bytes]:
        return self.native.codes()  # type: ignore[no-any-return]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NativeDiff | StateDiff):
            return NotImplemented
        return self.accounts == other.accounts and self.codes == other.codes

    __hash__ = None  # type: ignore[assignment]


def recover_senders(raws: Sequence[bytes]) -> list[Address | None]:
    """The senders of transactions, found in parallel and remembered for the blocks that will hold them."""
    return _native.recover_senders(list(raws))  # type: ignore[no-any-return]


def _row(fork: Fork) -> Any:
    """The row in Rust, which reads its fields by name, once for each of a chain's rows."""
    known = _ROWS.get(id(fork))
    if known is None or known[0] is not fork:
        if len(_ROWS) > 100:  # test suites make rows of their own
            _ROWS.clear()
        known = _ROWS[id(fork)] = (fork, _native.Fork(fork))
    return known[1]


_ROWS: dict[int, tuple[Fork, Any]] = {}


def _hooks(tracer: Tracer | None, env: BlockEnv, fork: Fork) -> Any:
    """The hooks that Rust calls for a tracer; None without a tracer."""
    if tracer is None:
        return None
    from l2engine.evm.native.trace import Hooks  # a start has no use for it

    return Hooks(tracer, env, fork)


def _native_view(view: StateView) -> Any:
    """The view that Rust reads from: a native view directly, any other view through its methods."""
    return view.native if isinstance(view, InNativeCore) else view


def _receipt(fields: tuple[Any, ...]) -> Receipt:
    kind, status, cumulative_gas, logs, deposit_nonce, version = fields
    return Receipt(kind, status, cumulative_gas, tuple(Log(*log) for log in logs), None, deposit_nonce, version)


def _deadline(deadline: float | Deadline | None) -> Any:
    """The deadline as Rust takes it."""
    if deadline is None:
        return None
    return deadline.native if isinstance(deadline, Deadline) else _native.Deadline(deadline - monotonic())
