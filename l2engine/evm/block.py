"""A block from its first system call to its last request, the same for both executors and for verifying and building.

Beginning: Canyon's irregular transition, system calls. Then transactions, one by one or all at once. End: rewards, withdrawals and
requests (Ethereum only), receipts sealed. What runs a transaction is the `Machine` below.
Sources: Yellow Paper 11; EIP-4895, 6110, 7002, 7251, 7685; OP specs, exec-engine.md, canyon, jovian; digest 1.8, 1.9, 3.6.
"""

from l2engine.errors import InvalidBlock
from l2engine.evm.machine import Machine
from l2engine.rules.config import ChainConfig
from l2engine.rules.forks import Fork
from l2engine.rules.l1_attributes import Format, deposit_format, from_calldata
from l2engine.rules.predeploys import CREATE2_DEPLOYER, create2_deployer_code
from l2engine.rules.system_calls import DEPOSIT_REQUESTS, deposit_requests, request_calls, system_calls
from l2engine.types.base import Address, Gas
from l2engine.types.environment import BlockEnv
from l2engine.types.execution import BlockResult, Deadline, RefundRule, TransactionResult
from l2engine.types.state import StateDiff
from l2engine.types.tracing import Tracer
from l2engine.types.transaction import Transaction
from l2engine.types.transaction_codec import decode_transaction
from l2engine.types.transactions import Transactions

_GWEI = 10**9


class BlockLoop:
    """One block under execution; implements `evm.executor.BlockExecution` over a machine."""

    def __init__(self, config: ChainConfig, fork: Fork, env: BlockEnv, machine: Machine) -> None:
        self._config, self._fork, self._env, self._machine = config, fork, env, machine
        self._first: Transaction | None = None
        """On OP chains the L1-attributes deposit."""
        parent = env.parent
        begun = config.activated((parent.number, parent.timestamp), (env.number, env.timestamp))
        if any(row.create2_deployer_on_activation for row in begun):
            machine.set_code(CREATE2_DEPLOYER, create2_deployer_code())
        for call in system_calls(fork):
            if machine.has_code(call.contract):
                machine.system_call(call.contract, call.data(env))

    @property
    def gas_before_refunds(self) -> Gas:
        return self._machine.gas_before_refunds

    def apply(
        self,
        raw: bytes,
        sender: Address | None = None,
        deadline: float | Deadline | None = None,
        tracer: Tracer | None = None,
        refund: RefundRule | None = None,
    ) -> TransactionResult:
        result = self._machine.run(raw, sender, deadline, tracer, refund)
        if self._first is None:
            self._first = decode_transaction(raw)
        return result

    def apply_all(self, transactions: Transactions) -> tuple[int, Exception] | None:
        failed = self._machine.run_all(transactions)
        if self._first is None and (failed is None or failed[0] > 0):
            self._first = transactions.first
        return failed

    def diff(self) -> StateDiff:
        return self._machine.diff()

    def finish(self) -> BlockResult:
        requests = None
        if not self._fork.is_optimism:
            self._pay_rewards_and_withdrawals()
            requests = self._requests()
        machine = self._machine
        sealed = machine.seal()
        return BlockResult(
            receipts=sealed.receipts,
            gas_used=machine.gas_used,
            blob_gas_used=self._da_footprint() if self._fork.da_footprint else machine.blob_gas_used,
            requests=requests,
            diff=machine.diff(),
            receipts_root=sealed.root,
            logs_bloom=sealed.bloom,
            value=machine.value,
        )

    def _da_footprint(self) -> Gas:
        """Jovian: every transaction that pays has a share, by the scalar in the first transaction's calldata."""
        first = self._first
        if first is None or deposit_format(first) is not Format.JOVIAN:
            return 0
        return self._machine.da_size * (from_calldata(first.data).da_footprint_gas_scalar or 0)

    def _pay_rewards_and_withdrawals(self) -> None:
        env, machine, reward = self._env, self._machine, self._fork.block_reward
        if reward:
            for ommer in env.ommers:
                machine.credit(ommer.beneficiary, reward * (8 + ommer.number - env.number) // 8)
            machine.credit(env.beneficiary, reward + len(env.ommers) * (reward // 32))
        for withdrawal in env.withdrawals or ():
            machine.credit(withdrawal.address, withdrawal.amount * _GWEI)

    def _requests(self) -> tuple[bytes, ...] | None:
        """Deposits from the logs, then what the request contracts hand out; None before Prague."""
        calls = request_calls(self._fork)
        if not calls:
            return None
        logs = (log for receipt in self._machine.receipts() for log in receipt.logs)
        found = [(DEPOSIT_REQUESTS, deposit_requests(self._config.deposit_contract, logs))]
        for call in calls:
            if not self._machine.has_code(call.contract):
                if self._env.parent_beacon_block_root is None:  # a bare transaction test, not a block
                    continue
                raise InvalidBlock(f"system contract 0x{call.contract.hex()} has no code")
            output = self._machine.system_call(call.contract, b"")
            if output is None:
                raise InvalidBlock(f"system call to 0x{call.contract.hex()} failed")
            found.append((call.kind, output))
        return tuple(bytes([kind]) + content for kind, content in found if content)
