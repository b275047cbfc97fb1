"""The reference executor: the block loop and eth_call over py-evm, for every OP fork and for plain Ethereum rules.

It says how a block runs; `transactions.py` tells the story of one transaction, `pyevm.py` runs its frames.
Sources: Yellow Paper 11; EIP-4895, 6110, 7002, 7251; OP specs, exec-engine.md; digest 1.8, 1.9, 3.6.
"""

from collections.abc import Callable, Mapping
from typing import Any

from l2engine.errors import ExecutionTimeout, InvalidBlock
from l2engine.evm.calls import run_call
from l2engine.evm.pyevm import BlockContext, Message, TransactionContext, state_class
from l2engine.evm.transactions import TransactionRunner
from l2engine.rules import blobs, fees
from l2engine.rules.config import ChainConfig
from l2engine.rules.forks import Fork, L1Rules
from l2engine.rules.l1_attributes import Format, calldata_format, from_calldata
from l2engine.rules.predeploys import CONSOLIDATION_REQUESTS, CREATE2_DEPLOYER, SYSTEM_CALLER, WITHDRAWAL_REQUESTS, create2_deployer_code
from l2engine.rules.system_calls import SYSTEM_CALL_GAS, system_calls
from l2engine.types.base import Address, Gas, Hash32
from l2engine.types.environment import BlockEnv
from l2engine.types.execution import AccountOverride, BlockResult, Call, CallResult, Deadline, TransactionResult
from l2engine.types.receipt import Receipt
from l2engine.types.state import StateDiff, StateView
from l2engine.types.tracing import Tracer
from l2engine.types.transaction import BlobTransaction, DepositTransaction, decode_transaction

_DEPOSIT_EVENT: Hash32 = bytes.fromhex("649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5")
_DEPOSIT_FIELDS = ((160, 48), (256, 32), (320, 8), (384, 96), (512, 8))
"""Where the fields of the deposit contract's event stand in its data, and how long they are (EIP-6110)."""


class ReferenceExecutor:
    """Implements `types.execution.Executor` on py-evm."""

    def __init__(self, config: ChainConfig) -> None:
        self.config = config

    def begin(
        self, view: StateView, env: BlockEnv, intermediate_root: Callable[[StateDiff], Hash32] | None = None
    ) -> "ReferenceBlockExecution":
        return ReferenceBlockExecution(self.config, view, env, intermediate_root)

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


class ReferenceBlockExecution:
    """One block under execution; implements `types.execution.BlockExecution`."""

    def __init__(
        self, config: ChainConfig, view: StateView, env: BlockEnv, intermediate_root: Callable[[StateDiff], Hash32] | None = None
    ) -> None:
        self.gas_used: Gas = 0
        self._config, self._env = config, env
        self._fork: Fork = config.fork_at(env.number, env.timestamp)
        self._intermediate_root = intermediate_root
        self._receipts: list[Receipt] = []
        self._blob_gas = 0
        self._footprint_scalar: int | None = None
        blob_fee = blobs.blob_base_fee(self._fork, env.excess_blob_gas or 0)
        context = BlockContext(env, config.chain_id, env.base_fee_per_gas or 0, blob_fee)
        self._state = state_class(self._fork)(view, context)
        self._runner = TransactionRunner(config, self._fork, env, self._state)
        parent = (env.parent.number, env.parent.timestamp)
        if any(fork.create2_deployer_on_activation for fork in config.activated(parent, (env.number, env.timestamp))):
            self._state.accounts.begin_transaction(())
            self._state.accounts.set_code(CREATE2_DEPLOYER, create2_deployer_code())
            self._state.accounts.end_transaction(remove_empty=True)
        for call in system_calls(self._fork):
            self._system_call(call.contract, call.data(env))

    def apply(
        self, raw: bytes, sender: Address | None = None, deadline: float | Deadline | None = None, tracer: Tracer | None = None
    ) -> TransactionResult:
        tx = decode_transaction(raw)
        self._state.deadline = deadline
        gas_left = self._env.gas_limit - self.gas_used
        try:
            if isinstance(tx, DepositTransaction):
                outcome = self._runner.deposit(tx, gas_left, tracer)
            else:
                blob_gas_left = self._blob_gas_left()
                outcome = self._runner.signed(tx, sender, gas_left, blob_gas_left, tracer)
        except ExecutionTimeout:
            self._state.accounts.discard(0)
            raise
        finally:
            self._state.deadline = None
        self.gas_used += outcome.gas_used
        if isinstance(tx, BlobTransaction):
            self._blob_gas += blobs.GAS_PER_BLOB * len(tx.blob_versioned_hashes)
        elif self._fork.da_footprint:
            self._add_footprint(tx, raw)
        is_deposit = isinstance(tx, DepositTransaction)
        has_status = self._fork.has(L1Rules.BYZANTIUM)
        receipt = Receipt(
            tx.type,
            int(outcome.succeeded) if has_status else None,
            self.gas_used,
            tuple(outcome.logs),
            None if has_status else self._root(),
            outcome.nonce if is_deposit and self._fork.deposit_nonce_in_receipt else None,
            self._fork.deposit_receipt_version if is_deposit else None,
        )
        self._receipts.append(receipt)
        return TransactionResult(receipt, outcome.gas_used, outcome.output, outcome.l1_fee, outcome.operator_fee)

    def finish(self) -> BlockResult:
        requests = None
        if not self._fork.is_optimism:
            self._pay_rewards_and_withdrawals()
            if self._fork.has(L1Rules.PRAGUE):
                requests = self._requests()
        return BlockResult(tuple(self._receipts), self.gas_used, self._blob_gas, requests, self._state.accounts.diff())

    # ---- DA footprint and blobs -------------------------------------------------------------------------------------

    def _blob_gas_left(self) -> int:
        limit = self._fork.blobs.max * blobs.GAS_PER_BLOB if self._fork.blobs is not None else 0
        return limit - self._blob_gas

    def _add_footprint(self, tx: Any, raw: bytes) -> None:
        """Jovian: the first transaction's calldata has the scalar, every transaction that pays has a share."""
        if self._footprint_scalar is None:
            self._footprint_scalar = 0
            if isinstance(tx, DepositTransaction) and calldata_format(tx.data) is Format.JOVIAN:
                self._footprint_scalar = from_calldata(tx.data).da_footprint_gas_scalar or 0
        if not isinstance(tx, DepositTransaction):
            self._blob_gas += fees.da_footprint(raw, self._footprint_scalar)

    def _root(self) -> Hash32:
        if self._intermediate_root is None:
            raise InvalidBlock("receipts before Byzantium need the state root after each transaction")
        return self._intermediate_root(self._state.accounts.diff())

    # ---- system calls and Ethereum's end of a block -----------------------------------------------------------------

    def _system_call(self, contract: Address, data: bytes) -> bytes | None:
        """Call a system contract; its output, or None when it failed. Without code nothing happens."""
        accounts, state = self._state.accounts, self._state
        code = accounts.get_code(contract)
        if not code:
            return b""
        accounts.begin_transaction((SYSTEM_CALLER, contract, *state.precompiles))
        message = Message(SYSTEM_CALL_GAS, contract, SYSTEM_CALLER, 0, data, code, should_transfer_value=False)
        computation = state.computation_class.apply_message(state, message, TransactionContext(SYSTEM_CALLER, 0))
        accounts.end_transaction(remove_empty=True)
        return None if computation._error is not None else bytes(computation.output)

    def _pay_rewards_and_withdrawals(self) -> None:
        accounts, env, reward = self._state.accounts, self._env, self._fork.block_reward
        accounts.begin_transaction(())
        if reward:
            for ommer in env.ommers:
                accounts.delta_balance(ommer.beneficiary, reward * (8 + ommer.number - env.number) // 8)
            accounts.delta_balance(env.beneficiary, reward + len(env.ommers) * (reward // 32))
        for withdrawal in env.withdrawals or ():
            accounts.delta_balance(withdrawal.address, withdrawal.amount * 10**9)
        accounts.end_transaction(self._fork.has(L1Rules.SPURIOUS_DRAGON))

    def _requests(self) -> tuple[bytes, ...]:
        """Deposits from the logs (EIP-6110), then what the two request contracts hand out (EIP-7002, EIP-7251)."""
        deposits = b"".join(
            _deposit_request(log.data)
            for receipt in self._receipts
            for log in receipt.logs
            if log.address == self._config.deposit_contract and log.topics[:1] == (_DEPOSIT_EVENT,)
        )
        found = [b"\0" + deposits]
        for kind, contract in ((1, WITHDRAWAL_REQUESTS), (2, CONSOLIDATION_REQUESTS)):
            if not self._state.accounts.get_code(contract):
                if self._env.parent_beacon_block_root is None:  # a bare transaction test, not a block
                    continue
                raise InvalidBlock(f"system contract 0x{contract.hex()} has no code")
            output = self._system_call(contract, b"")
            if output is None:
                raise InvalidBlock(f"system call to 0x{contract.hex()} failed")
            found.append(bytes([kind]) + output)
        return tuple(request for request in found if len(request) > 1)


def _deposit_request(data: bytes) -> bytes:
    if len(data) != 576:
        raise InvalidBlock("deposit event with data of the wrong length")
    return b"".join(data[start : start + length] for start, length in _DEPOSIT_FIELDS)
