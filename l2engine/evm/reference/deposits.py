"""Deposits: transactions that come from L1, pay nothing here and cannot be kept out.

Sources: OP specs, deposits.md and regolith; digest 2.4 and section 0.
"""

from l2engine.errors import InvalidTransaction
from l2engine.evm.reference.transactions import Execution, Plan, TransactionRunner
from l2engine.refusals import Reason
from l2engine.rules.checks import check_type, initcode_is_too_large
from l2engine.rules.intrinsic_gas import floor_gas, intrinsic_gas
from l2engine.types.base import MAX_UINT256, Gas
from l2engine.types.transaction import DepositTransaction


class Deposit:
    """The phases of one deposit; see `transactions.Phases`. Only a full block or an overflowing mint excludes it. Any other failure
    still keeps the mint and increments the nonce."""

    def __init__(self, runner: TransactionRunner, tx: DepositTransaction, gas_left: Gas) -> None:
        self._runner, self._tx, self._gas_left = runner, tx, gas_left
        self._unmetered = tx.is_system_transaction and not runner.fork.deposits_report_gas

    def validate(self) -> Plan:
        tx, fork, accounts = self._tx, self._runner.fork, self._runner.accounts
        check_type(fork, tx)
        if tx.mint > MAX_UINT256:
            raise InvalidTransaction(Reason.MINT_OVERFLOWS)
        if tx.is_system_transaction and fork.deposits_report_gas:
            raise InvalidTransaction(Reason.SYSTEM_DEPOSIT, address=tx.sender)
        if not self._unmetered and tx.gas > self._gas_left:
            raise InvalidTransaction(Reason.GAS_LIMIT_REACHED)
        if accounts.get_balance(tx.sender) + tx.mint > MAX_UINT256:
            raise InvalidTransaction(Reason.MINT_OVERFLOWS)
        nonce = accounts.get_nonce(tx.sender)
        return Plan(tx.sender, nonce, tx.to, tx.value, tx.data, tx.gas, intrinsic_gas(fork, tx), floor_gas(fork, tx))

    def charge(self, plan: Plan) -> bool:
        accounts = self._runner.accounts
        if self._tx.mint:
            accounts.delta_balance(plan.sender, self._tx.mint)
        has_gas = plan.gas >= max(plan.intrinsic, plan.floor)
        runs = (
            has_gas and accounts.get_balance(plan.sender) >= plan.value and not initcode_is_too_large(self._runner.fork, plan.to, plan.data)
        )
        if not (runs and plan.has_last_nonce):
            accounts.increment_nonce(plan.sender)
        return runs

    def settle(self, plan: Plan, execution: Execution) -> Gas:
        if self._runner.fork.deposits_report_gas and execution.ran:
            return self._runner.settled_gas(plan, execution)
        return 0 if self._unmetered else plan.gas
