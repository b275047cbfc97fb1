"""The story of one transaction: what makes it valid, what it pays up front, how it runs, and how it is settled.

Errors are geth's, in geth's order and words. Sources: Yellow Paper 6; EIP-1559, 2929, 3529, 3607, 3651, 4844, 7623, 7702;
OP specs, deposits.md and exec-engine.md; digest 2.3, 2.4, 3.5 and section 0.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from eth_utils import to_checksum_address

from l2engine.errors import InvalidTransaction
from l2engine.evm.pyevm import Message, TransactionContext
from l2engine.evm.trace import attach, detach, report_collision
from l2engine.rules import blobs, fees
from l2engine.rules.config import ChainConfig
from l2engine.rules.forks import Fork, L1Rules
from l2engine.rules.intrinsic_gas import MAX_INITCODE_SIZE, floor_gas, intrinsic_gas, validate_form
from l2engine.rules.l1_attributes import L1Attributes, from_storage
from l2engine.rules.predeploys import BASE_FEE_VAULT, L1_BLOCK, L1_FEE_VAULT, OPERATOR_FEE_VAULT
from l2engine.types.base import MAX_UINT64, MAX_UINT256, ZERO_ADDRESS, Address, Gas, Wei
from l2engine.types.environment import BlockEnv
from l2engine.types.receipt import Log
from l2engine.types.tracing import TracedTransaction, Tracer
from l2engine.types.transaction import (
    DELEGATION,
    AccessList,
    Authorization,
    BlobTransaction,
    DepositTransaction,
    SetCodeTransaction,
    SignedTransaction,
    created_address,
    is_delegation,
    recover_sender,
)

_SELFDESTRUCT_REFUND = 24_000  # until London
_AUTHORIZATION_REFUND = 12_500


@dataclass(slots=True)
class Outcome:
    """An executed transaction before it has a receipt."""

    succeeded: bool
    gas_used: Gas
    output: bytes
    logs: Sequence[Log]
    nonce: int
    """The sender's, before execution."""
    l1_fee: Wei = 0
    operator_fee: Wei = 0


@dataclass(slots=True)
class Execution:
    """What running a message left: gas before settling, and the frame."""

    computation: Any | None
    """None when nothing ran (the created address was taken)."""
    gas_left: Gas
    refund: Gas
    """The refund counter, not capped yet."""

    @property
    def succeeded(self) -> bool:
        return self.computation is not None and self.computation._error is None

    @property
    def output(self) -> bytes:
        return b"" if self.computation is None else bytes(self.computation.output)

    @property
    def logs(self) -> Sequence[Log]:
        return self.computation.logs if self.computation is not None else ()


class TransactionRunner:
    """Runs the transactions of one block on one py-evm State."""

    def __init__(self, config: ChainConfig, fork: Fork, env: BlockEnv, state: Any) -> None:
        self._config, self._fork, self._env, self._state = config, fork, env, state
        self._accounts = state.accounts
        self._precompiles = tuple(state.precompiles)
        self._l1: L1Attributes | None = None
        self._remove_empty = fork.has(L1Rules.SPURIOUS_DRAGON)

    # ---- signed transactions ----------------------------------------------------------------------------------------

    def signed(self, tx: SignedTransaction, sender: Address | None, gas_left: Gas, blob_gas_left: Gas, tracer: Tracer | None) -> Outcome:
        """Run a transaction that pays. `InvalidTransaction` leaves everything as it was."""
        fork, env, accounts = self._fork, self._env, self._accounts
        validate_form(fork, tx, self._config.chain_id)
        if sender is None:
            sender = recover_sender(tx, allow_high_s=not fork.has(L1Rules.HOMESTEAD))
        base_fee = env.base_fee_per_gas or 0
        nonce = accounts.get_nonce(sender)
        self._check_sender(tx, sender, nonce)
        if fork.has(L1Rules.LONDON) and tx.max_fee_per_gas < base_fee:
            raise InvalidTransaction(
                f"max fee per gas less than block base fee: address {to_checksum_address(sender)}, "
                f"maxFeePerGas: {tx.max_fee_per_gas}, baseFee: {base_fee}"
            )
        blob_gas, blob_fee = self._check_blobs(tx, sender, blob_gas_left)
        l1_fee, operator_fee_limit = self._fees(tx)
        price = min(tx.max_fee_per_gas, tx.max_priority_fee_per_gas + base_fee) if fork.has(L1Rules.LONDON) else tx.max_fee_per_gas
        self._check_funds(tx, sender, l1_fee + operator_fee_limit, blob_gas)
        if tx.gas > gas_left:
            raise InvalidTransaction("gas limit reached")
        intrinsic, floor = intrinsic_gas(fork, tx), floor_gas(fork, tx)
        if tx.gas < intrinsic:
            raise InvalidTransaction(f"intrinsic gas too low: have {tx.gas}, want {intrinsic}")
        if tx.gas < floor:
            raise InvalidTransaction(f"insufficient gas for floor data gas cost: have {tx.gas}, want {floor}")

        authorizations = tx.authorization_list if isinstance(tx, SetCodeTransaction) else ()
        self.begin(sender, tx.to, tx.access_list, nonce)
        if tracer is not None:
            self.start_tracing(tracer, sender, tx.to, tx.gas, nonce, authorizations)
        try:
            accounts.delta_balance(sender, -(tx.gas * price + blob_gas * blob_fee + l1_fee + operator_fee_limit))
            accounts.increment_nonce(sender)
            refund = self.delegate(authorizations)
            if tracer is not None:
                self._state.tracing.refund = refund
            hashes = tx.blob_versioned_hashes if isinstance(tx, BlobTransaction) else ()
            context = TransactionContext(sender, price, hashes)
            execution = self.execute(sender, tx.to, tx.value, tx.data, tx.gas - intrinsic, nonce, context)
            execution.refund += refund
            gas_used = settled_gas(fork, tx.gas, execution, floor)
            operator_fee = self._settle(sender, tx.gas, gas_used, price, base_fee, l1_fee, operator_fee_limit)
            self.end(execution)
            if tracer is not None:
                tracer.end(gas_used, None)
        finally:
            if tracer is not None:
                detach(self._state)
        return Outcome(execution.succeeded, gas_used, execution.output, execution.logs, nonce, l1_fee, operator_fee)

    def _check_sender(self, tx: SignedTransaction, sender: Address, nonce: int) -> None:
        who = to_checksum_address(sender)
        if tx.nonce > nonce:
            raise InvalidTransaction(f"nonce too high: address {who}, tx: {tx.nonce} state: {nonce}")
        if tx.nonce < nonce:
            raise InvalidTransaction(f"nonce too low: address {who}, tx: {tx.nonce} state: {nonce}")
        code = self._accounts.get_code(sender)
        if code and not (self._fork.has(L1Rules.PRAGUE) and is_delegation(code)):
            raise InvalidTransaction(f"sender not an eoa: address {who}, len(code): {len(code)}")

    def _check_blobs(self, tx: SignedTransaction, sender: Address, blob_gas_left: Gas) -> tuple[Gas, Wei]:
        """A blob transaction's blob gas and its price; zeros for others."""
        if not isinstance(tx, BlobTransaction):
            return 0, 0
        if not tx.blob_versioned_hashes:
            raise InvalidTransaction("blob transaction missing blob hashes")
        if any(h[0] != 1 for h in tx.blob_versioned_hashes):
            raise InvalidTransaction("blob transaction with a versioned hash of an unknown version")
        if self._fork.has(L1Rules.OSAKA) and len(tx.blob_versioned_hashes) > blobs.MAX_BLOBS_PER_TRANSACTION:
            raise InvalidTransaction(
                f"blob transaction has too many blobs: {len(tx.blob_versioned_hashes)}, max {blobs.MAX_BLOBS_PER_TRANSACTION}"
            )
        blob_gas = blobs.GAS_PER_BLOB * len(tx.blob_versioned_hashes)
        if blob_gas > blob_gas_left:
            raise InvalidTransaction("blob gas limit reached")
        fee = blobs.blob_base_fee(self._fork, self._env.excess_blob_gas or 0)
        if tx.max_fee_per_blob_gas < fee:
            raise InvalidTransaction(
                f"max fee per blob gas less than block blob gas fee: address {to_checksum_address(sender)} "
                f"blobGasFeeCap: {tx.max_fee_per_blob_gas}, blobBaseFee: {fee}"
            )
        return blob_gas, fee

    def _fees(self, tx: SignedTransaction) -> tuple[Wei, Wei]:
        """The L1 data fee, and the operator fee for the whole gas limit."""
        if not self._fork.is_optimism:
            return 0, 0
        if self._l1 is None:  # after the block's own L1-attributes deposit: it has just written them
            self._l1 = from_storage(lambda slot: self._accounts.get_storage(L1_BLOCK, slot), self._fork)
        return fees.l1_fee(self._fork, tx.raw, self._l1).fee, fees.operator_fee(self._fork, tx.gas, self._l1)

    def _check_funds(self, tx: SignedTransaction, sender: Address, op_fees: Wei, blob_gas: Gas) -> None:
        wanted = tx.gas * tx.max_fee_per_gas + tx.value + op_fees
        if isinstance(tx, BlobTransaction):
            wanted += blob_gas * tx.max_fee_per_blob_gas
        have = self._accounts.get_balance(sender)
        if have < wanted:
            raise InvalidTransaction(
                f"insufficient funds for gas * price + value: address {to_checksum_address(sender)} have {have} want {wanted}"
            )

    def _settle(self, sender: Address, limit: Gas, used: Gas, price: Wei, base_fee: Wei, l1_fee: Wei, operator_fee_limit: Wei) -> Wei:
        """Give back what was not used and pay who earned it; the operator fee that was due."""
        accounts, fork = self._accounts, self._fork
        accounts.delta_balance(sender, (limit - used) * price)
        accounts.delta_balance(self._env.beneficiary, used * (price - base_fee))
        if not fork.is_optimism:
            return 0  # the base fee is burnt
        accounts.delta_balance(BASE_FEE_VAULT, used * base_fee)
        accounts.delta_balance(L1_FEE_VAULT, l1_fee)
        operator_fee = fees.operator_fee(fork, used, self._l1 or L1Attributes())
        if operator_fee_limit:
            accounts.delta_balance(sender, operator_fee_limit - operator_fee)
            accounts.delta_balance(OPERATOR_FEE_VAULT, operator_fee)
        return operator_fee

    # ---- deposits ---------------------------------------------------------------------------------------------------

    def deposit(self, tx: DepositTransaction, gas_left: Gas, tracer: Tracer | None) -> Outcome:
        """Run a deposit. It pays nothing, and only a full block or an overflowing mint keep it out; what fails otherwise
        leaves the mint and a nonce higher by one."""
        fork, accounts = self._fork, self._accounts
        unmetered = tx.is_system_transaction and not fork.deposits_report_gas
        if tx.is_system_transaction and fork.deposits_report_gas:
            raise InvalidTransaction(f"system tx not supported: address {to_checksum_address(tx.sender)}")
        if not unmetered and tx.gas > gas_left:
            raise InvalidTransaction("gas limit reached")
        if accounts.get_balance(tx.sender) + tx.mint > MAX_UINT256:
            raise InvalidTransaction("mint overflows the balance")
        nonce = accounts.get_nonce(tx.sender)
        self.begin(tx.sender, tx.to, (), nonce)
        if tracer is not None:
            self.start_tracing(tracer, tx.sender, tx.to, tx.gas, nonce)
        try:
            if tx.mint:
                accounts.delta_balance(tx.sender, tx.mint)
            intrinsic, floor = intrinsic_gas(fork, tx), floor_gas(fork, tx)
            too_much_code = tx.to is None and fork.has(L1Rules.SHANGHAI) and len(tx.data) > MAX_INITCODE_SIZE
            accounts.increment_nonce(tx.sender)
            if tx.gas < max(intrinsic, floor) or accounts.get_balance(tx.sender) < tx.value or too_much_code:
                gas_used = 0 if unmetered else tx.gas
                self.end(None)
                if tracer is not None:
                    tracer.end(gas_used, "failed deposit transaction")
                return Outcome(False, gas_used, b"", (), nonce)
            context = TransactionContext(tx.sender, 0)
            execution = self.execute(tx.sender, tx.to, tx.value, tx.data, tx.gas - intrinsic, nonce, context)
            gas_used = 0 if unmetered else tx.gas
            if fork.deposits_report_gas:
                gas_used = settled_gas(fork, tx.gas, execution, floor)
            self.end(execution)
            if tracer is not None:
                tracer.end(gas_used, None)
        finally:
            if tracer is not None:
                detach(self._state)
        return Outcome(execution.succeeded, gas_used, execution.output, execution.logs, nonce)

    # ---- shared steps -----------------------------------------------------------------------------------------------

    def begin(self, sender: Address, to: Address | None, access_list: AccessList, nonce: int) -> None:
        """Start a transaction: what is warm from the beginning (EIP-2929, 2930, 3651)."""
        accounts = self._accounts
        self._state.contracts_created.clear()
        warm = [*self._precompiles, sender, created_address(sender, nonce) if to is None else to]
        if self._fork.has(L1Rules.SHANGHAI):
            warm.append(self._env.beneficiary)
        warm += [address for address, _ in access_list]
        accounts.begin_transaction(warm)
        for address, keys in access_list:
            for key in keys:
                accounts.mark_storage_warm(address, int.from_bytes(key, "big"))

    def delegate(self, authorizations: Iterable[Authorization]) -> Gas:
        """Process a transaction's delegations (EIP-7702); what they add to the refund counter. Bad ones are skipped."""
        accounts, refund = self._accounts, 0
        for item in authorizations:
            if item.chain_id not in (0, self._config.chain_id) or item.nonce >= MAX_UINT64:
                continue
            authority = item.authority()
            if authority is None:
                continue
            accounts.mark_address_warm(authority)
            code = accounts.get_code(authority)
            if (code and not is_delegation(code)) or accounts.get_nonce(authority) != item.nonce:
                continue
            if accounts.account_exists(authority):
                refund += _AUTHORIZATION_REFUND
            accounts.set_code(authority, b"" if item.address == ZERO_ADDRESS else DELEGATION + item.address)
            accounts.increment_nonce(authority)
        return refund

    def execute(
        self, sender: Address, to: Address | None, value: Wei, data: bytes, gas: Gas, nonce: int, context: TransactionContext
    ) -> Execution:
        """Run the transaction's message with `gas` left after the intrinsic gas."""
        state, accounts = self._state, self._accounts
        if to is None:
            address = created_address(sender, nonce)
            if accounts.account_has_code_or_nonce(address):
                report_collision(state, sender, address, value, gas, data)
                return Execution(None, 0, 0)
            message = Message(gas, b"", sender, value, b"", data, create_address=address)
            computation = state.computation_class.apply_create_message(state, message, context)
        else:
            code, delegated = accounts.get_code(to), False
            if self._fork.has(L1Rules.PRAGUE) and is_delegation(code):
                target = code[3:]
                accounts.mark_address_warm(target)
                code, delegated = accounts.get_code(target), True
            message = Message(gas, to, sender, value, data, code, is_delegation=delegated)
            computation = state.computation_class.apply_message(state, message, context)
        refund = computation.gas_refund
        if computation._error is None and not self._fork.has(L1Rules.LONDON):
            refund += _SELFDESTRUCT_REFUND * len(computation.accounts_to_delete)
        return Execution(computation, computation._gas_meter.gas_remaining, refund)

    def end(self, execution: Execution | None) -> None:
        """Close the transaction: self-destructed accounts go, and from Spurious Dragon on touched empty ones."""
        if execution is not None and execution.succeeded and execution.computation is not None:
            for address in execution.computation.accounts_to_delete:
                self._accounts.delete_account(address)
        self._accounts.end_transaction(self._remove_empty)

    def start_tracing(
        self,
        tracer: Tracer,
        sender: Address,
        to: Address | None,
        gas: Gas,
        nonce: int,
        authorizations: Iterable[Authorization] = (),
    ) -> None:
        """Let `tracer` listen to the transaction that is about to be charged."""
        attach(self._state, tracer)
        tracer.begin(
            TracedTransaction(
                env=self._env,
                sender=sender,
                to=created_address(sender, nonce) if to is None else to,
                creates=to is None,
                gas=gas,
                precompiles=frozenset(self._precompiles),
                state=self._accounts,
                authorities=tuple(who for item in authorizations if (who := item.authority()) is not None),
                base_fee_recipient=BASE_FEE_VAULT if self._fork.is_optimism else None,
            )
        )


def settled_gas(fork: Fork, limit: Gas, execution: Execution, floor: Gas) -> Gas:
    """The gas that is paid for: refunds up to a part of it (EIP-3529) come off, and it never falls below the floor (EIP-7623)."""
    used = limit - execution.gas_left
    refund = min(execution.refund, used // (5 if fork.has(L1Rules.LONDON) else 2))
    return max(used - refund, floor)
