"""Signed transactions, whose sender pays for them. The checks come in geth's order.

Sources: Yellow Paper 6; EIP-1559, 3607, 4844, 7623, 7702, 7825; OP specs, exec-engine.md; digest 2.3, 2.4, 3.5.
"""

from l2engine.errors import InvalidTransaction
from l2engine.evm.reference.transactions import Execution, Plan, TransactionRunner
from l2engine.refusals import Reason
from l2engine.rules import blobs, checks, fees, post_execution
from l2engine.rules.forks import L1Rules
from l2engine.rules.l1_attributes import L1Attributes
from l2engine.rules.predeploys import BASE_FEE_VAULT, L1_FEE_VAULT, OPERATOR_FEE_VAULT
from l2engine.types.base import MAX_UINT64, Address, Gas, Wei
from l2engine.types.delegation import is_delegation
from l2engine.types.execution import RefundRule
from l2engine.types.transaction import BlobTransaction, SetCodeTransaction, SignedTransaction, effective_gas_price
from l2engine.types.transaction_codec import recover_sender


class Signed:
    """The phases of one signed transaction; see `transactions.Phases`."""

    def __init__(
        self,
        runner: TransactionRunner,
        tx: SignedTransaction,
        sender: Address | None,
        refund_rule: RefundRule,
        gas_left: Gas,
        blob_gas_left: Gas,
        l1: L1Attributes,
    ) -> None:
        self._runner, self._tx, self._sender, self._refund_rule, self._l1 = runner, tx, sender, refund_rule, l1
        self._gas_left, self._blob_gas_left = gas_left, blob_gas_left
        fork, env = runner.fork, runner.env
        self._base_fee = env.base_fee_per_gas or 0
        self._blob_gas = blobs.GAS_PER_BLOB * len(tx.blob_versioned_hashes) if isinstance(tx, BlobTransaction) else 0
        self._blob_fee = blobs.blob_base_fee(fork, env.excess_blob_gas or 0) if self._blob_gas else 0
        self.l1_fee: Wei = fees.l1_fee(fork, tx.raw, l1).fee if fork.is_optimism else 0
        self.operator_fee: Wei = fees.operator_fee(fork, tx.gas, l1) if fork.is_optimism else 0
        """For the whole gas limit until the transaction is settled, then for the gas that was used."""
        self.refund: Gas = 0
        """Gas that is given back, known when the transaction is settled."""

    def validate(self) -> Plan:
        tx, runner = self._tx, self._runner
        fork, env = runner.fork, runner.env
        checks.check_signer(fork, tx, runner.config.chain_id)
        sender = recover_sender(tx, allow_high_s=not fork.has(L1Rules.HOMESTEAD)) if self._sender is None else self._sender
        nonce = runner.accounts.get_nonce(sender)
        self._check_nonce(sender, nonce)
        checks.check_gas_cap(fork, tx.gas)
        self._check_code(sender)
        checks.check_tip(sender, tx.max_priority_fee_per_gas, tx.max_fee_per_gas)
        if fork.has(L1Rules.LONDON):
            checks.check_fee_cap(sender, tx.max_fee_per_gas, self._base_fee)
        if isinstance(tx, BlobTransaction):
            self._check_blobs(tx, sender)
        checks.check_authorizations(tx, sender)
        checks.check_funds(sender, runner.accounts.get_balance(sender), self._highest_cost())
        if tx.gas > self._gas_left:
            raise InvalidTransaction(Reason.GAS_LIMIT_REACHED)
        intrinsic, floor = checks.check_gas(fork, tx)
        checks.check_initcode(fork, tx.to, tx.data)
        return Plan(
            sender=sender,
            nonce=nonce,
            to=tx.to,
            value=tx.value,
            data=tx.data,
            gas=tx.gas,
            intrinsic=intrinsic,
            floor=floor,
            price=effective_gas_price(tx, env.base_fee_per_gas),
            access_list=tx.access_list,
            authorizations=tx.authorization_list if isinstance(tx, SetCodeTransaction) else (),
            blob_versioned_hashes=tx.blob_versioned_hashes if isinstance(tx, BlobTransaction) else (),
        )

    def charge(self, plan: Plan) -> bool:
        cost = plan.gas * plan.price + self._blob_gas * self._blob_fee + self.l1_fee + self.operator_fee
        self._runner.accounts.delta_balance(plan.sender, -cost)
        self._runner.accounts.increment_nonce(plan.sender)
        return True

    def settle(self, plan: Plan, execution: Execution) -> Gas:
        runner, accounts = self._runner, self._runner.accounts
        used = runner.settled_gas(plan, execution)
        accounts.delta_balance(plan.sender, (plan.gas - used) * plan.price)
        accounts.delta_balance(runner.env.beneficiary, used * (plan.price - self._base_fee))
        if not runner.fork.is_optimism:
            return used  # the base fee is burnt
        accounts.delta_balance(BASE_FEE_VAULT, used * self._base_fee)
        accounts.delta_balance(L1_FEE_VAULT, self.l1_fee)
        charged, self.operator_fee = self.operator_fee, fees.operator_fee(runner.fork, used, self._l1)
        if charged:
            accounts.delta_balance(plan.sender, charged - self.operator_fee)
            accounts.delta_balance(OPERATOR_FEE_VAULT, self.operator_fee)
        self.refund = self._refund_rule(used)
        return self._settle_refund(plan, used) if self.refund else used

    def _settle_refund(self, plan: Plan, evm_gas_used: Gas) -> Gas:
        """Undo the payment of the gas that the block refunds (Lagoon), within the transaction's own changes; the gas that is left."""
        left = post_execution.gas_after_refund(evm_gas_used, self.refund)
        paid, self.operator_fee = self.operator_fee, fees.operator_fee(self._runner.fork, left, self._l1)
        beneficiary, operator_fee = self._runner.env.beneficiary, paid - self.operator_fee
        changes = post_execution.balance_changes(plan.sender, beneficiary, self.refund, plan.price, self._base_fee, operator_fee)
        post_execution.settle(self._runner.accounts, changes)
        return left

    def _check_nonce(self, sender: Address, nonce: int) -> None:
        tx = self._tx
        if tx.nonce > nonce:
            raise InvalidTransaction(Reason.NONCE_TOO_HIGH, address=sender, tx=tx.nonce, state=nonce)
        if tx.nonce < nonce:
            raise InvalidTransaction(Reason.NONCE_TOO_LOW, address=sender, tx=tx.nonce, state=nonce)
        if nonce == MAX_UINT64:
            raise InvalidTransaction(Reason.NONCE_MAX, address=sender, nonce=nonce)

    def _check_code(self, sender: Address) -> None:
        """EIP-3607: no contract sends transactions; an account that delegates does."""
        code = self._runner.accounts.get_code(sender)
        if code and not (self._runner.fork.has(L1Rules.PRAGUE) and is_delegation(code)):
            raise InvalidTransaction(Reason.SENDER_HAS_CODE, address=sender, length=len(code))

    def _check_blobs(self, tx: BlobTransaction, sender: Address) -> None:
        if not tx.blob_versioned_hashes:
            raise InvalidTransaction(Reason.BLOBS_MISSING)
        checks.check_blob_hashes(self._runner.fork, tx.blob_versioned_hashes)
        checks.check_blob_fee(sender, tx.max_fee_per_blob_gas, self._blob_fee)
        if self._blob_gas > self._blob_gas_left:
            raise InvalidTransaction(Reason.BLOB_GAS_LIMIT_REACHED)

    def _highest_cost(self) -> Wei:
        """The most that the transaction can take from its sender."""
        tx = self._tx
        cost = tx.gas * tx.max_fee_per_gas + tx.value + self.l1_fee + self.operator_fee
        return cost + self._blob_gas * tx.max_fee_per_blob_gas if isinstance(tx, BlobTransaction) else cost
