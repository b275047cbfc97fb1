"""The reference executor: blocks and calls over py-evm, for every OP fork and for plain Ethereum rules.

`evm/block.py` says how a block runs; `transactions.py` runs one transaction, `pyevm.py` runs its frames.
"""

from collections.abc import Callable, Mapping, Sequence

from l2engine.errors import DecodeError, ExecutionTimeout, InvalidBlock, InvalidTransaction
from l2engine.evm.block import BlockLoop
from l2engine.evm.machine import SealedReceipts
from l2engine.evm.reference.calls import run_call
from l2engine.evm.reference.deposits import Deposit
from l2engine.evm.reference.pyevm import BlockContext, Message, TransactionContext, state_class
from l2engine.evm.reference.signed import Signed
from l2engine.evm.reference.transactions import Execution, Plan, TransactionRunner
from l2engine.rules import blobs, fees
from l2engine.rules.checks import check_type
from l2engine.rules.config import ChainConfig
from l2engine.rules.forks import Fork, L1Rules
from l2engine.rules.l1_attributes import L1Attributes, from_storage
from l2engine.rules.predeploys import L1_BLOCK, SYSTEM_CALLER
from l2engine.rules.system_calls import SYSTEM_CALL_GAS
from l2engine.types.base import Address, Gas, Hash32, Wei
from l2engine.types.environment import BlockEnv
from l2engine.types.execution import AccountOverride, Call, CallResult, Deadline, RefundRule, TransactionResult
from l2engine.types.native_functions import ordered_root
from l2engine.types.receipt import Receipt, merge_blooms, post_execution_receipt
from l2engine.types.state import StateDiff, StateView
from l2engine.types.tracing import Tracer
from l2engine.types.transaction import (
    DEPOSIT_TYPE,
    BlobTransaction,
    DepositTransaction,
    PostExecutionTransaction,
    SignedTransaction,
    Transaction,
)
from l2engine.types.transaction_codec import decode_transaction
from l2engine.types.transactions import Transactions


class ReferenceExecutor:
    """Implements `evm.executor.Executor` on py-evm."""

    def __init__(self, config: ChainConfig) -> None:
        self.config = config

    def begin(
        self,
        view: StateView,
        env: BlockEnv,
        intermediate_root: Callable[[StateDiff], Hash32] | None = None,
        fork: Fork | None = None,
    ) -> BlockLoop:
        fork = fork or self.config.fork_at(env.number, env.timestamp)
        return BlockLoop(self.config, fork, env, ReferenceMachine(self.config, fork, view, env, intermediate_root))

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
        fork = self.config.fork_at(env.number, env.timestamp)
        return run_call(self.config, fork, view, env, call, overrides or {}, deadline, tracer)


class ReferenceMachine:
    """The state of one block in py-evm; implements `evm.machine.Machine`."""

    def __init__(
        self,
        config: ChainConfig,
        fork: Fork,
        view: StateView,
        env: BlockEnv,
        intermediate_root: Callable[[StateDiff], Hash32] | None,
    ) -> None:
        self.gas_used: Gas = 0
        self.gas_before_refunds: Gas = 0
        self.blob_gas_used: Gas = 0
        self.da_size = 0
        self.value: Wei = 0
        self._fork, self._env, self._intermediate_root = fork, env, intermediate_root
        blob_fee = blobs.blob_base_fee(fork, env.excess_blob_gas or 0)
        self._state = state_class(fork)(view, BlockContext(env, config.chain_id, env.base_fee_per_gas or 0, blob_fee))
        self._accounts = self._state.accounts
        self._runner = TransactionRunner(config, fork, env, self._state)
        self._l1: L1Attributes | None = None
        self._receipts: list[Receipt] = []

    def run(
        self,
        raw: bytes,
        sender: Address | None = None,
        deadline: float | Deadline | None = None,
        tracer: Tracer | None = None,
        refund: RefundRule | None = None,
    ) -> TransactionResult:
        tx = decode_transaction(raw)
        self._state.deadline = deadline
        try:
            if tx.is_signed:
                return self._run_signed(tx, sender, tracer, refund)
            if tx.type == DEPOSIT_TYPE:
                return self._run_deposit(tx, tracer)
            return self._close(tx, tracer)
        except (ExecutionTimeout, InvalidTransaction):
            self._accounts.discard(0)
            raise
        finally:
            self._state.deadline = None

    def run_all(self, transactions: Transactions) -> tuple[int, Exception] | None:
        for index, raw in enumerate(transactions):
            try:
                self.run(raw)
            except (InvalidTransaction, DecodeError) as error:
                return index, error
        return None

    def system_call(self, contract: Address, data: bytes) -> bytes | None:
        accounts, state = self._accounts, self._state
        accounts.begin_transaction((SYSTEM_CALLER, contract, *state.precompiles))
        message = Message(SYSTEM_CALL_GAS, contract, SYSTEM_CALLER, 0, data, accounts.get_code(contract), should_transfer_value=False)
        computation = state.computation_class.apply_message(state, message, TransactionContext(SYSTEM_CALLER, 0))
        accounts.end_transaction(remove_empty=True)
        return None if computation._error is not None else bytes(computation.output)

    def has_code(self, address: Address) -> bool:
        return bool(self._accounts.get_code(address))

    def set_code(self, address: Address, code: bytes) -> None:
        self._accounts.begin_transaction(())
        self._accounts.set_code(address, code)
        self._accounts.end_transaction(remove_empty=True)

    def credit(self, address: Address, wei: Wei) -> None:
        self._accounts.begin_transaction(())
        self._accounts.delta_balance(address, wei)
        self._accounts.end_transaction(self._fork.has(L1Rules.SPURIOUS_DRAGON))

    def receipts(self) -> Sequence[Receipt]:
        return self._receipts

    def seal(self) -> SealedReceipts:
        root = ordered_root([receipt.encode_for_root() for receipt in self._receipts])
        return SealedReceipts(tuple(self._receipts), root, merge_blooms(receipt.bloom for receipt in self._receipts))

    def diff(self) -> StateDiff:
        return self._accounts.diff()

    def _run_signed(
        self, tx: SignedTransaction, sender: Address | None, tracer: Tracer | None, refund: RefundRule | None
    ) -> TransactionResult:
        blob_limit = self._fork.blobs.max * blobs.GAS_PER_BLOB if self._fork.blobs is not None else 0
        gas_left, blob_gas_left = self._env.gas_limit - self.gas_before_refunds, blob_limit - self.blob_gas_used
        listed = self._env.refunds.get(len(self._receipts), 0)
        phases = Signed(self._runner, tx, sender, refund or (lambda _: listed), gas_left, blob_gas_left, self._l1_attributes())
        plan, execution, gas_used = self._runner.run(phases, tracer)
        if isinstance(tx, BlobTransaction):
            self.blob_gas_used += blobs.GAS_PER_BLOB * len(tx.blob_versioned_hashes)
        self.value += gas_used * (plan.price - (self._env.base_fee_per_gas or 0))
        if self._fork.da_footprint and tx.counts_for_da:
            self.da_size += fees.da_size(tx.raw)
        self.gas_before_refunds += gas_used + phases.refund
        receipt = self._receipt(tx, plan, execution, gas_used)
        return TransactionResult(receipt, gas_used, execution.output, phases.l1_fee, phases.operator_fee)

    def _run_deposit(self, tx: DepositTransaction, tracer: Tracer | None) -> TransactionResult:
        phases = Deposit(self._runner, tx, self._env.gas_limit - self.gas_before_refunds)
        plan, execution, gas_used = self._runner.run(phases, tracer)
        self.gas_before_refunds += gas_used
        return TransactionResult(self._receipt(tx, plan, execution, gas_used), gas_used, execution.output)

    def _close(self, tx: PostExecutionTransaction, tracer: Tracer | None) -> TransactionResult:
        """A post-execution transaction is not executed: its refunds have long been settled. Its receipt repeats the gas so far."""
        check_type(self._fork, tx)
        receipt = post_execution_receipt(self.gas_used)
        self._receipts.append(receipt)
        if tracer is not None:
            tracer.end(0, None)
        return TransactionResult(receipt, 0, b"")

    def _receipt(self, tx: Transaction, plan: Plan, execution: Execution, gas_used: Gas) -> Receipt:
        """The transaction's receipt, which the block keeps."""
        self.gas_used += gas_used
        is_deposit, has_status = tx.type == DEPOSIT_TYPE, self._fork.has(L1Rules.BYZANTIUM)
        receipt = Receipt(
            tx.type,
            int(execution.succeeded) if has_status else None,
            self.gas_used,
            tuple(execution.logs),
            None if has_status else self._root(),
            plan.nonce if is_deposit and self._fork.deposit_nonce_in_receipt else None,
            self._fork.deposit_receipt_version if is_deposit else None,
        )
        self._receipts.append(receipt)
        return receipt

    def _l1_attributes(self) -> L1Attributes:
        """The L1 attributes that the fees depend on, read once after the block's own L1-attributes deposit has written it."""
        if self._l1 is None:
            read = self._accounts.get_storage
            self._l1 = from_storage(lambda slot: read(L1_BLOCK, slot), self._fork) if self._fork.is_optimism else L1Attributes()
        return self._l1

    def _root(self) -> Hash32:
        if self._intermediate_root is None:
            raise InvalidBlock("receipts before Byzantium need the state root after each transaction")
        return self._intermediate_root(self._accounts.diff())
