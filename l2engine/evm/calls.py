"""Message calls that leave no trace: eth_call, estimates and traced calls.

As geth does it: nonce and signature do not matter, gas is bought when it has a price, and without a price the base fee
is zero for the call. L1 and operator fees are not charged. Source: geth's behaviour as recorded; digest 3.3.
"""

from collections.abc import Mapping
from typing import Any

from eth_utils import to_checksum_address

from l2engine.errors import InvalidTransaction
from l2engine.evm.pyevm import BlockContext, TransactionContext, state_class
from l2engine.evm.trace import detach, error_text
from l2engine.evm.transactions import TransactionRunner, settled_gas
from l2engine.rules import blobs
from l2engine.rules.config import ChainConfig
from l2engine.rules.forks import Fork, L1Rules
from l2engine.rules.intrinsic_gas import MAX_INITCODE_SIZE, floor_gas, intrinsic_gas
from l2engine.types.base import Address, Wei
from l2engine.types.environment import BlockEnv
from l2engine.types.execution import AccountOverride, Call, CallResult, Deadline
from l2engine.types.state import StateView
from l2engine.types.tracing import Tracer
from l2engine.types.transaction import FeeMarketTransaction, SetCodeTransaction, created_address


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
    base_fee = env.base_fee_per_gas or 0
    price = _price(call, base_fee)
    blob_fee = blobs.blob_base_fee(fork, env.excess_blob_gas or 0) if env.blob_base_fee is None else env.blob_base_fee
    context = BlockContext(env, config.chain_id, base_fee if price else 0, blob_fee)
    state = state_class(fork)(view, context)
    state.deadline = deadline
    _override(state, overrides)
    accounts = state.accounts
    runner = TransactionRunner(config, fork, env, state)

    fee_cap = call.gas_price if call.max_fee_per_gas is None else call.max_fee_per_gas
    tip_cap = call.gas_price if call.max_priority_fee_per_gas is None else call.max_priority_fee_per_gas
    who = to_checksum_address(call.sender)
    if fork.has(L1Rules.LONDON) and (fee_cap or tip_cap):
        if fee_cap < tip_cap:
            raise InvalidTransaction(
                f"max priority fee per gas higher than max fee per gas: address {who}, maxPriorityFeePerGas: {tip_cap}, maxFeePerGas: {fee_cap}"
            )
        if fee_cap < base_fee:
            raise InvalidTransaction(
                f"max fee per gas less than block base fee: address {who}, maxFeePerGas: {fee_cap}, baseFee: {base_fee}"
            )
    have, wanted = accounts.get_balance(call.sender), call.gas * fee_cap + call.value
    if have < wanted and call.gas * fee_cap:
        raise InvalidTransaction(f"insufficient funds for gas * price + value: address {who} have {have} want {wanted}")
    likeness = _likeness(call)
    intrinsic, floor = intrinsic_gas(fork, likeness), floor_gas(fork, likeness)
    if call.gas < intrinsic:
        raise InvalidTransaction(f"intrinsic gas too low: have {call.gas}, want {intrinsic}")
    if call.gas < floor:
        raise InvalidTransaction(f"insufficient gas for floor data gas cost: have {call.gas}, want {floor}")
    if have < wanted:
        raise InvalidTransaction(f"insufficient funds for gas * price + value: address {who} have {have} want {wanted}")
    if call.to is None and fork.has(L1Rules.SHANGHAI) and len(call.data) > MAX_INITCODE_SIZE:
        raise InvalidTransaction(f"max initcode size exceeded: code size {len(call.data)} limit {MAX_INITCODE_SIZE}")

    nonce = accounts.get_nonce(call.sender)
    authorizations = call.authorization_list
    runner.begin(call.sender, call.to, call.access_list, nonce)
    if tracer is not None:
        runner.start_tracing(tracer, call.sender, call.to, call.gas, nonce, authorizations)
    try:
        accounts.delta_balance(call.sender, -call.gas * price)
        accounts.increment_nonce(call.sender)
        refund = runner.delegate(authorizations)
        if tracer is not None:
            state.tracing.refund = refund
        transaction_context = TransactionContext(call.sender, price, call.blob_versioned_hashes)
        execution = runner.execute(call.sender, call.to, call.value, call.data, call.gas - intrinsic, nonce, transaction_context)
        execution.refund += refund
        gas_used = settled_gas(fork, call.gas, execution, floor)
        accounts.delta_balance(call.sender, (call.gas - gas_used) * price)
        accounts.delta_balance(env.beneficiary, gas_used * max(0, price - context.base_fee_per_gas))
        runner.end(execution)
        if tracer is not None:
            tracer.end(gas_used, None)
    finally:
        if tracer is not None:
            detach(state)
    error = None
    if not execution.succeeded:
        error = "contract address collision" if execution.computation is None else error_text(execution.computation)
    return CallResult(
        success=execution.succeeded,
        output=execution.output,
        gas_used=gas_used,
        gas_refund=max(0, call.gas - execution.gas_left - gas_used),  # EIP-7623's floor can exceed what was used
        error=error,
        created=created_address(call.sender, nonce) if call.to is None and execution.succeeded else None,
        logs=tuple(execution.logs),
    )


def _price(call: Call, base_fee: Wei) -> Wei:
    """The effective gas price of a call; 0 when it names none."""
    if call.max_fee_per_gas is None and call.max_priority_fee_per_gas is None:
        return call.gas_price
    if not call.max_fee_per_gas and not call.max_priority_fee_per_gas:
        return 0
    return min(call.max_fee_per_gas or 0, (call.max_priority_fee_per_gas or 0) + base_fee)


def _likeness(call: Call) -> Any:
    """The transaction that the call would be, as far as its gas before execution depends on it."""
    fields = (b"", 0, 0, 0, 0, call.gas, call.to, call.value, call.data, call.access_list)
    if call.authorization_list:
        return SetCodeTransaction(*fields, call.authorization_list, 0, 0, 0)  # type: ignore[arg-type]
    return FeeMarketTransaction(*fields, 0, 0, 0)


def _override(state: Any, overrides: Mapping[Address, AccountOverride]) -> None:
    """Apply eth_call's state overrides; precompiles are moved first, as geth does."""
    accounts = state.accounts
    accounts.begin_transaction(())
    if any(item.move_precompile_to is not None for item in overrides.values()):
        moved = dict(state.precompiles)
        for address, item in overrides.items():
            if item.move_precompile_to is not None:
                if address not in state.precompiles:
                    raise InvalidTransaction(f"account {to_checksum_address(address)} is not a precompile")
                moved[item.move_precompile_to] = moved.pop(address)
        state.precompiles = moved
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
