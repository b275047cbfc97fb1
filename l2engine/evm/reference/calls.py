"""Message calls that leave no trace: eth_call, estimates and traced calls.

As geth does it: nonce and signature do not matter, gas is bought when it has a price, and without a price the base fee
is zero for the call. L1 and operator fees are not charged. Source: geth's behaviour as recorded; digest 3.3.
"""

from collections.abc import Mapping
from typing import Any

from l2engine.errors import InvalidOverride, InvalidTransaction
from l2engine.evm.reference.failures import failure_of
from l2engine.evm.reference.pyevm import BlockContext, state_class
from l2engine.evm.reference.transactions import Execution, Plan, TransactionRunner
from l2engine.refusals import Reason
from l2engine.rules import blobs, checks
from l2engine.rules.config import ChainConfig
from l2engine.rules.forks import Fork, L1Rules
from l2engine.rules.predeploys import BASE_FEE_VAULT
from l2engine.types.base import Address, Gas, Wei, checksum_address
from l2engine.types.environment import BlockEnv
from l2engine.types.execution import AccountOverride, Call, CallResult, Deadline
from l2engine.types.state import StateView
from l2engine.types.tracing import Tracer
from l2engine.types.transaction import FeeMarketTransaction, SetCodeTransaction


def run_call(
    config: ChainConfig,
    fork: Fork,
    view: StateView,
    env: BlockEnv,
    call: Call,
    overrides: Mapping[Address, AccountOverride],
    deadline: float | Deadline | None,
    tracer: Tracer | None,
) -> CallResult:
    """Run one call; `InvalidTransaction` when it could not even start."""
    price = _price(call, env.base_fee_per_gas or 0)
    blob_fee = blobs.blob_base_fee(fork, env.excess_blob_gas or 0) if env.blob_base_fee is None else env.blob_base_fee
    context = BlockContext(env, config.chain_id, (env.base_fee_per_gas or 0) if price else 0, blob_fee)
    state = state_class(fork)(view, context)
    state.deadline = deadline
    _override(state, overrides)
    runner = TransactionRunner(config, fork, env, state)
    plan, execution, gas_used = runner.run(_Call(runner, call, price, context), tracer)
    failure = None
    if not execution.succeeded:
        failure = execution.unopened or failure_of(execution.computation)
    return CallResult(
        success=execution.succeeded,
        output=execution.output,
        gas_used=gas_used,
        gas_refund=max(0, call.gas - execution.gas_left - gas_used),  # EIP-7623's floor can exceed what was used
        failure=failure,
        created=plan.target if call.to is None and execution.succeeded else None,
        logs=tuple(execution.logs),
    )


class _Call:
    """The phases of a call; see `transactions.Phases`."""

    def __init__(self, runner: TransactionRunner, call: Call, price: Wei, block: BlockContext) -> None:
        self._runner, self._call, self._price, self._block = runner, call, price, block
        counts = call.max_fee_per_blob_gas and runner.fork.has(L1Rules.CANCUN)  # without a fee blobs are free
        self._blob_gas = blobs.GAS_PER_BLOB * len(call.blob_versioned_hashes) if counts else 0

    def validate(self) -> Plan:
        call, fork, env, accounts = self._call, self._runner.fork, self._runner.env, self._runner.accounts
        fee_cap = call.gas_price if call.max_fee_per_gas is None else call.max_fee_per_gas
        tip_cap = call.gas_price if call.max_priority_fee_per_gas is None else call.max_priority_fee_per_gas
        if fork.has(L1Rules.LONDON) and (fee_cap or tip_cap):
            checks.check_tip(call.sender, tip_cap, fee_cap)
            checks.check_fee_cap(call.sender, fee_cap, env.base_fee_per_gas or 0)
        self._check_parts()
        most = call.gas * fee_cap + self._blob_gas * call.max_fee_per_blob_gas
        checks.check_funds(call.sender, accounts.get_balance(call.sender), most + call.value)
        intrinsic, floor = checks.check_gas(fork, _likeness(call))
        checks.check_initcode(fork, call.to, call.data)
        return Plan(
            sender=call.sender,
            nonce=accounts.get_nonce(call.sender),
            to=call.to,
            value=call.value,
            data=call.data,
            gas=call.gas,
            intrinsic=intrinsic,
            floor=floor,
            price=self._price,
            access_list=call.access_list,
            authorizations=call.authorization_list,
            blob_versioned_hashes=call.blob_versioned_hashes,
        )

    def _check_parts(self) -> None:
        """Check blobs and authorizations, with which a call cannot create a contract (EIP-4844, 7702)."""
        call = self._call
        if call.blob_versioned_hashes:
            if call.to is None:
                raise InvalidTransaction(Reason.BLOBS_CREATE)
            checks.check_blob_hashes(self._runner.fork, call.blob_versioned_hashes)
        if self._blob_gas:
            checks.check_blob_fee(call.sender, call.max_fee_per_blob_gas, self._block.blob_base_fee)
        if call.authorization_list and call.to is None:
            raise InvalidTransaction(Reason.AUTHORIZATIONS_CREATE, address=call.sender)

    def charge(self, plan: Plan) -> bool:
        self._runner.accounts.delta_balance(plan.sender, -plan.gas * plan.price - self._blob_gas * self._block.blob_base_fee)
        if not plan.has_last_nonce:
            self._runner.accounts.increment_nonce(plan.sender)
        return True

    def settle(self, plan: Plan, execution: Execution) -> Gas:
        accounts, used = self._runner.accounts, self._runner.settled_gas(plan, execution)
        accounts.delta_balance(plan.sender, (plan.gas - used) * plan.price)
        base_fee = self._block.base_fee_per_gas  # 0 when the call has no price
        accounts.delta_balance(self._runner.env.beneficiary, used * max(0, plan.price - base_fee))
        if self._runner.fork.is_optimism:
            accounts.delta_balance(BASE_FEE_VAULT, used * base_fee)
        return used


def _price(call: Call, base_fee: Wei) -> Wei:
    """The effective gas price of a call; 0 when it names none."""
    if call.max_fee_per_gas is None and call.max_priority_fee_per_gas is None:
        return call.gas_price
    if not call.max_fee_per_gas and not call.max_priority_fee_per_gas:
        return 0
    return min(call.max_fee_per_gas or 0, (call.max_priority_fee_per_gas or 0) + base_fee)


def _likeness(call: Call) -> FeeMarketTransaction | SetCodeTransaction:
    """The transaction that the call would be, as far as its gas before execution depends on it."""
    likeness = FeeMarketTransaction(0, 0, 0, 0, call.gas, call.to, call.value, call.data, call.access_list)
    if not call.authorization_list or call.to is None:
        return likeness
    return SetCodeTransaction(0, 0, 0, 0, call.gas, call.to, call.value, call.data, call.access_list, call.authorization_list)


def _override(state: Any, overrides: Mapping[Address, AccountOverride]) -> None:
    """Apply eth_call's state overrides. An address with one is no precompile any more, as in geth."""
    if not overrides:
        return
    accounts = state.accounts
    accounts.begin_transaction(())
    state.precompiles = _without_overridden(state.precompiles, overrides)
    for address, item in overrides.items():
        if item.nonce is not None:
            accounts.set_nonce(address, item.nonce)
        if item.code is not None:
            accounts.set_code(address, item.code)
        if item.balance is not None:
            accounts.set_balance(address, item.balance)
        if item.state is not None:
            accounts.touch_account(address)
            accounts.delete_storage(address)
        for slot, value in (*(item.state or {}).items(), *(item.state_diff or {}).items()):
            accounts.set_storage(address, slot, value)
    accounts.end_transaction(remove_empty=False)


def _without_overridden(precompiles: Mapping[Address, Any], overrides: Mapping[Address, AccountOverride]) -> dict[Address, Any]:
    """The precompiles that are left; those that move are at their new address. `InvalidOverride` where there is none to move."""
    left = {address: run for address, run in precompiles.items() if address not in overrides}
    for address, item in overrides.items():
        if item.move_precompile_to is not None:
            if address not in precompiles:
                raise InvalidOverride(f"account {checksum_address(address)} is not a precompile")
            left[item.move_precompile_to] = precompiles[address]
    return left
