"""One transaction in four phases: validate, charge, execute, settle.

`signed.py`, `deposits.py` and `calls.py` say what each kind of transaction does in its validate, charge and settle phase; executing is
the same for all of them and is told here. Sources: Yellow Paper 6; EIP-2929, 2930, 3529, 3651, 7623, 7702; digest 2.3, 2.4, 3.5.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from l2engine.evm.reference.pyevm import Message, TransactionContext, precompiles_of
from l2engine.evm.reference.trace import attach, detach, report_unopened
from l2engine.rules.config import ChainConfig
from l2engine.rules.forks import Fork, L1Rules
from l2engine.rules.predeploys import BASE_FEE_VAULT
from l2engine.types.base import MAX_UINT64, ZERO_ADDRESS, Address, Gas, Hash32, Wei
from l2engine.types.delegation import DELEGATION, Authorization, is_delegation, recover_authority
from l2engine.types.environment import BlockEnv
from l2engine.types.failure import Failure, FailureKind
from l2engine.types.receipt import Log
from l2engine.types.tracing import TracedTransaction, Tracer
from l2engine.types.transaction import AccessList, created_address

_SELFDESTRUCT_REFUND = 24_000  # until London
_AUTHORIZATION_REFUND = 12_500


@dataclass(frozen=True, slots=True)
class Plan:
    """A transaction that has been found valid: what is executed, and what must be known to pay for it."""

    sender: Address
    nonce: int
    """The sender's, before execution."""
    to: Address | None
    value: Wei
    data: bytes
    gas: Gas
    """The gas limit."""
    intrinsic: Gas
    floor: Gas
    """The least gas that is charged (EIP-7623)."""
    price: Wei = 0
    access_list: AccessList = ()
    authorizations: Sequence[Authorization] = ()
    blob_versioned_hashes: tuple[Hash32, ...] = ()

    @property
    def has_last_nonce(self) -> bool:
        """Whether this is a creation that fails, and leaves the nonce, since there is no nonce after it (EIP-2681)."""
        return self.to is None and self.nonce == MAX_UINT64

    @property
    def target(self) -> Address:
        """The account that is called or created."""
        return created_address(self.sender, self.nonce) if self.to is None else self.to


@dataclass(slots=True)
class Execution:
    """How a transaction's frames ended."""

    computation: Any | None
    """py-evm's outermost frame; None when none was opened."""
    gas_left: Gas
    refund: Gas
    """The refund counter, not capped yet."""
    ran: bool = True
    """Whether the transaction was executed at all: a deposit that cannot pay is not."""
    unopened: Failure | None = None
    """Why a creation opened no frame."""

    @property
    def succeeded(self) -> bool:
        return self.computation is not None and self.computation._error is None

    @property
    def output(self) -> bytes:
        return b"" if self.computation is None else bytes(self.computation.output)

    @property
    def logs(self) -> Sequence[Log]:
        return self.computation.logs if self.computation is not None else ()


class Phases(Protocol):
    """One kind of transaction, by what it does before and after its execution."""

    def validate(self) -> Plan:
        """Find out whether the transaction may run; `InvalidTransaction` when not. Changes nothing."""

    def charge(self, plan: Plan) -> bool:
        """Take the upfront payment and increment the nonce; returns whether the transaction is then executed."""

    def settle(self, plan: Plan, execution: Execution) -> Gas:
        """Refund unused gas and pay the fee recipients; returns the gas used."""


class TransactionRunner:
    """Runs the transactions of one block on one py-evm State."""

    def __init__(self, config: ChainConfig, fork: Fork, env: BlockEnv, state: Any) -> None:
        self.config, self.fork, self.env, self.state, self.accounts = config, fork, env, state, state.accounts
        self._precompiles = tuple(precompiles_of(fork))  # overrides of a call make them no colder, as in geth

    def run(self, phases: Phases, tracer: Tracer | None) -> tuple[Plan, Execution, Gas]:
        """The plan, its execution and the gas it used. `InvalidTransaction` leaves everything as it was."""
        plan = phases.validate()
        self._begin(plan)
        if tracer is not None:
            self._start_tracing(tracer, plan)
        try:
            execution = self._execute(plan) if phases.charge(plan) else Execution(None, 0, 0, ran=False)
            gas_used = phases.settle(plan, execution)
            self._end(execution)
            if tracer is not None:
                tracer.end(gas_used, None if execution.ran else "failed deposit transaction")
        finally:
            if tracer is not None:
                detach(self.state)
        return plan, execution, gas_used

    def settled_gas(self, plan: Plan, execution: Execution) -> Gas:
        """The gas that is paid for: refunds up to a part of it (EIP-3529) come off, and it never falls below the floor (EIP-7623)."""
        used = plan.gas - execution.gas_left
        refund = min(execution.refund, used // (5 if self.fork.has(L1Rules.LONDON) else 2))
        return max(used - refund, plan.floor)

    def _begin(self, plan: Plan) -> None:
        """Start a transaction with what is warm from the beginning (EIP-2929, 2930, 3651)."""
        self.state.contracts_created.clear()
        warm = [*self._precompiles, plan.sender, plan.target]
        if self.fork.has(L1Rules.SHANGHAI):
            warm.append(self.env.beneficiary)
        warm += [address for address, _ in plan.access_list]
        self.accounts.begin_transaction(warm)
        for address, keys in plan.access_list:
            for key in keys:
                self.accounts.mark_storage_warm(address, int.from_bytes(key, "big"))

    def _execute(self, plan: Plan) -> Execution:
        """Apply the delegations, then run the message with the gas that is left after the intrinsic gas."""
        refund = self._delegate(plan.authorizations)
        context = TransactionContext(plan.sender, plan.price, plan.blob_versioned_hashes)
        unopened = self._why_unopened(plan)
        if unopened is not None:
            gas = plan.gas - plan.intrinsic
            report_unopened(self.state, plan.sender, plan.target, plan.value, gas, plan.data, unopened)
            return Execution(None, 0 if unopened.kind is FailureKind.ADDRESS_COLLISION else gas, refund, unopened=unopened)
        computation = self._create(plan, context) if plan.to is None else self._call(plan, plan.to, context)
        refund += computation.gas_refund
        if computation._error is None and not self.fork.has(L1Rules.LONDON):
            refund += _SELFDESTRUCT_REFUND * len(computation.accounts_to_delete)
        return Execution(computation, computation._gas_meter.gas_remaining, refund)

    def _why_unopened(self, plan: Plan) -> Failure | None:
        """Why a creation cannot even begin; None when it can."""
        if plan.has_last_nonce:
            return Failure(FailureKind.NONCE_OVERFLOW)
        if plan.to is None and self.accounts.account_has_code_or_nonce(plan.target):
            return Failure(FailureKind.ADDRESS_COLLISION)
        return None

    def _create(self, plan: Plan, context: TransactionContext) -> Any:
        """The frame of a creation."""
        message = Message(plan.gas - plan.intrinsic, b"", plan.sender, plan.value, b"", plan.data, create_address=plan.target)
        return self.state.computation_class.apply_create_message(self.state, message, context)

    def _call(self, plan: Plan, to: Address, context: TransactionContext) -> Any:
        """The frame of a call; an account that delegates lends its storage to the code of another."""
        code, delegated = self.accounts.get_code(to), False
        if self.fork.has(L1Rules.PRAGUE) and is_delegation(code) and to not in self.state.precompiles:
            target = code[3:]
            self.accounts.mark_address_warm(target)
            code, delegated = self.accounts.get_code(target), True
        message = Message(plan.gas - plan.intrinsic, to, plan.sender, plan.value, plan.data, code, is_delegation=delegated)
        return self.state.computation_class.apply_message(self.state, message, context)

    def _delegate(self, authorizations: Sequence[Authorization]) -> Gas:
        """Process a transaction's delegations (EIP-7702); what they add to the refund counter. Bad ones are skipped."""
        accounts, refund = self.accounts, 0
        for item in authorizations:
            if item.chain_id not in (0, self.config.chain_id) or item.nonce >= MAX_UINT64:
                continue
            authority = recover_authority(item)
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
        if (tracing := getattr(self.state, "tracing", None)) is not None:
            tracing.refund = refund
        return refund

    def _end(self, execution: Execution) -> None:
        """Close the transaction: self-destructed accounts go, and from Spurious Dragon on touched empty ones."""
        if execution.succeeded and execution.computation is not None:
            for address in execution.computation.accounts_to_delete:
                self.accounts.delete_account(address)
        self.accounts.end_transaction(self.fork.has(L1Rules.SPURIOUS_DRAGON))

    def _start_tracing(self, tracer: Tracer, plan: Plan) -> None:
        """Let `tracer` listen to the transaction that is about to be charged."""
        attach(self.state, tracer)
        tracer.begin(
            TracedTransaction(
                env=self.env,
                sender=plan.sender,
                to=plan.target,
                creates=plan.to is None,
                gas=plan.gas,
                precompiles=frozenset(self._precompiles),
                state=self.accounts,
                authorities=tuple(who for item in plan.authorizations if (who := recover_authority(item)) is not None),
                base_fee_recipient=BASE_FEE_VAULT if self.fork.is_optimism else None,
            )
        )
