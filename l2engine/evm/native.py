"""The native executor: `types.execution.Executor` over the Rust core (`native/`), for OP chains and Ethereum from Paris on.

Rust runs transactions and keeps the block's state; what a block does around its transactions is orchestrated here from the
same tables that the reference executor uses. Blocks before the merge go to the reference executor.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from time import monotonic
from typing import Any

from l2engine.errors import ConfigError, DecodeError, InvalidBlock, InvalidTransaction
from l2engine.rules.config import ChainConfig
from l2engine.rules.forks import Fork, L1Rules
from l2engine.rules.l1_attributes import Format, calldata_format, from_calldata
from l2engine.rules.predeploys import CONSOLIDATION_REQUESTS, CREATE2_DEPLOYER, SYSTEM_CALLER, WITHDRAWAL_REQUESTS, create2_deployer_code
from l2engine.rules.system_calls import system_calls
from l2engine.types.base import MAX_UINT64, Address, BlockNumber, Gas, Hash32, Wei
from l2engine.types.environment import BlockEnv
from l2engine.types.execution import AccountOverride, BlockExecution, BlockResult, Call, CallResult, Deadline, Executor, TransactionResult
from l2engine.types.native_core import PRECOMPILE_FAILED
from l2engine.types.native_core import core as _native
from l2engine.types.receipt import Log, Receipt
from l2engine.types.state import Account, AccountDiff, StateDiff, StateView
from l2engine.types.tracing import Tracer
from l2engine.types.transaction import DepositTransaction, decode_transaction

_DEPOSIT_EVENT: Hash32 = bytes.fromhex("649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5")
_DEPOSIT_FIELDS = ((160, 48), (256, 32), (320, 8), (384, 96), (512, 8))
"""Where the fields of the deposit contract's event stand in its data, and how long they are (EIP-6110)."""


def available() -> bool:
    """Whether the native core is installed."""
    return _native is not None


class NativeExecutor:
    """Implements `types.execution.Executor`; `ConfigError` when the native core is not installed."""

    def __init__(self, config: ChainConfig) -> None:
        if _native is None:
            raise ConfigError("the native core is not installed: run `make native` (needs cargo)")
        self.config = config

    @cached_property
    def reference(self) -> Executor:
        """The reference executor, imported only when something needs it."""
        from l2engine.evm.reference import ReferenceExecutor

        return ReferenceExecutor(self.config)

    def begin(self, view: StateView, env: BlockEnv, intermediate_root: Callable[[StateDiff], Hash32] | None = None) -> BlockExecution:
        fork = self.config.fork_at(env.number, env.timestamp)
        if not fork.has(L1Rules.PARIS):
            return self.reference.begin(view, env, intermediate_root)
        return NativeBlockExecution(self, view, env, fork)

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
        if not fork.has(L1Rules.PARIS) or _is_unusual(env, overrides or {}):
            return self.reference.call(view, env, call, overrides, deadline, tracer)
        hooks = _hooks(tracer, env, fork)
        error, output, gas_used, gas_refund, created, logs = _native.call(
            _native_view(view), _row(fork), self.config.chain_id, env, call, overrides and dict(overrides), _seconds(deadline), hooks
        )
        if error == PRECOMPILE_FAILED:
            from l2engine.evm.precompiles import why_refused

            error = why_refused(fork, call.to or b"", call.data, call.gas) or error
        return CallResult(error is None, output, gas_used, gas_refund, error, created, tuple(Log(*log) for log in logs))


def _is_unusual(env: BlockEnv, overrides: Mapping[Address, AccountOverride]) -> bool:
    """Whether a call's overrides are such that only the reference executor takes them."""
    fees = env.base_fee_per_gas or 0, env.blob_base_fee or 0
    return max(fees) > MAX_UINT64 or env.blob_base_fee is not None or any(item.move_precompile_to for item in overrides.values())


class NativeBlockExecution:
    """One block under execution in Rust; implements `types.execution.BlockExecution`."""

    def __init__(self, executor: NativeExecutor, view: StateView, env: BlockEnv, fork: Fork) -> None:
        self._executor, self._env, self._fork = executor, env, fork
        self.gas_used: Gas = 0
        self._raws: list[bytes] = []
        self._block = block = _native.Block(_native_view(view), _row(fork), executor.config.chain_id, env)
        parent = env.parent
        begun = executor.config.activated((parent.number, parent.timestamp), (env.number, env.timestamp))
        if any(row.create2_deployer_on_activation for row in begun):
            block.set_code(CREATE2_DEPLOYER, create2_deployer_code())
        for call in system_calls(fork):
            block.system_call(SYSTEM_CALLER, call.contract, call.data(env))

    def apply(
        self, raw: bytes, sender: Address | None = None, deadline: float | Deadline | None = None, tracer: Tracer | None = None
    ) -> TransactionResult:
        hooks = _hooks(tracer, self._env, self._fork)
        receipt, gas_used, output, l1_fee, operator_fee = self._block.apply(raw, sender, _seconds(deadline), hooks)
        self._raws.append(raw)
        self.gas_used += gas_used
        return TransactionResult(_receipt(receipt), gas_used, output, l1_fee, operator_fee)

    def apply_all(self, raws: Sequence[bytes]) -> tuple[int, Exception] | None:
        """Execute transactions in order until one is refused, their senders recovered in parallel: its place and the reason."""
        failed: tuple[int, Exception] | None = self._block.apply_all(raws)
        if failed is not None and not isinstance(failed[1], InvalidTransaction | DecodeError):
            raise failed[1]
        self._raws.extend(raws if failed is None else raws[: failed[0]])
        self.gas_used = self._block.gas_used
        return failed

    def finish(self) -> BlockResult:
        requests = None
        if not self._fork.is_optimism:
            for withdrawal in self._env.withdrawals or ():
                self._block.pay(withdrawal.address, withdrawal.amount * 10**9)
            if self._fork.has(L1Rules.PRAGUE):
                requests = self._requests()
        block = self._block
        value = block.value
        receipts_root, logs_bloom, row, receipts = block.seal()
        return BlockResult(
            receipts=NativeReceipts(receipts, row, value),
            gas_used=block.gas_used,
            blob_gas_used=self._blob_gas_used(),
            requests=requests,
            diff=NativeDiff(block.diff()),  # type: ignore[arg-type]
            receipts_root=receipts_root,
            logs_bloom=logs_bloom,
        )

    def _blob_gas_used(self) -> int:
        if not self._fork.da_footprint:
            return self._block.blob_gas_used  # type: ignore[no-any-return]
        first = decode_transaction(self._raws[0]) if self._raws else None
        if not isinstance(first, DepositTransaction) or calldata_format(first.data) is not Format.JOVIAN:
            return 0
        return self._block.da_size * (from_calldata(first.data).da_footprint_gas_scalar or 0)  # type: ignore[no-any-return]

    def _requests(self) -> tuple[bytes, ...]:
        """Deposits from the logs (EIP-6110), then what the two request contracts hand out (EIP-7002, EIP-7251)."""
        deposits = b"".join(
            _deposit_request(data)
            for _, _, _, logs, _, _ in self._block.receipts()
            for address, topics, data in logs
            if address == self._executor.config.deposit_contract and topics[:1] == (_DEPOSIT_EVENT,)
        )
        found = [b"\0" + deposits]
        for kind, contract in ((1, WITHDRAWAL_REQUESTS), (2, CONSOLIDATION_REQUESTS)):
            output = self._block.system_call(SYSTEM_CALLER, contract, b"")
            if output is None:
                raise InvalidBlock(f"system call to 0x{contract.hex()} failed")
            found.append(bytes([kind]) + output)
        return tuple(request for request in found if len(request) > 1)


class NativeReceipts(Sequence[Receipt]):
    """A block's receipts, which leave Rust only when somebody asks; `row` is what the store keeps of them, `value` what
    the beneficiary has earned."""

    def __init__(self, native: Any, row: bytes, value: Wei) -> None:
        self._native, self.row, self.value = native, row, value
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


class NativeDiff:
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
    """The row in Rust, made once for each of a chain's rows."""
    known = _ROWS.get(id(fork))
    if known is None or known[0] is not fork:
        if len(_ROWS) > 100:  # test suites make rows of their own
            _ROWS.clear()
        known = _ROWS[id(fork)] = (fork, _make_row(fork))
    return known[1]


_ROWS: dict[int, tuple[Fork, Any]] = {}


def _make_row(fork: Fork) -> Any:
    return _native.Fork(
        l1=fork.l1.value,
        is_optimism=fork.is_optimism,
        blobs=None if fork.blobs is None else (fork.blobs.max, fork.blobs.base_fee_update_fraction),
        deposit_nonce_in_receipt=fork.deposit_nonce_in_receipt,
        deposits_report_gas=fork.deposits_report_gas,
        deposit_receipt_version=fork.deposit_receipt_version,
        l1_fee=fork.l1_fee.value,
        operator_fee=fork.operator_fee.value,
        p256_verify_gas=fork.p256_verify_gas,
        precompile_input_limits=list(fork.precompile_input_limits.items()),
    )


def _hooks(tracer: Tracer | None, env: BlockEnv, fork: Fork) -> Any:
    """What Rust calls for a tracer, None without one."""
    if tracer is None:
        return None
    from l2engine.evm.native_trace import Hooks  # a start has no use for it

    return Hooks(tracer, env, fork)


def _native_view(view: StateView) -> Any:
    """What Rust reads from: a view that lives there, or any other through its methods."""
    return getattr(view, "native", view)


def _receipt(fields: tuple[Any, ...]) -> Receipt:
    kind, status, cumulative_gas, logs, deposit_nonce, version = fields
    return Receipt(kind, status, cumulative_gas, tuple(Log(*log) for log in logs), None, deposit_nonce, version)


def _deposit_request(data: bytes) -> bytes:
    if len(data) != 576:
        raise InvalidBlock("deposit event with data of the wrong length")
    return b"".join(data[start : start + length] for start, length in _DEPOSIT_FIELDS)


def _seconds(deadline: float | Deadline | None) -> float | None:
    """Seconds until a `time.monotonic` deadline. One brought forward later ends the block after the running transaction."""
    if deadline is None:
        return None
    return (deadline.at if isinstance(deadline, Deadline) else deadline) - monotonic()
