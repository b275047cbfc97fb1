"""eth_call and eth_estimateGas: running a message on the state of some block, for free.

Sources: geth internal/ethapi (caps), eth/gasestimator (the search).
"""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from l2engine.errors import ExecutionReverted, ExecutionTimeout, InvalidTransaction
from l2engine.evm.tracers.calls import revert_reason
from l2engine.refusals import Reason
from l2engine.rules.blobs import GAS_PER_BLOB
from l2engine.rules.forks import L1Rules
from l2engine.types.base import Address, Gas, Wei
from l2engine.types.environment import BlockEnv
from l2engine.types.execution import Call, CallResult
from l2engine.types.failure import Failure, FailureKind
from l2engine.types.header import Header
from l2engine.types.state import StateView
from l2engine.types.tracing import Tracer
from rpc.context import Context
from rpc.errors import SERVER_ERROR, RpcError
from rpc.jsonrpc import RunsOn, method
from rpc.read.blocks import BlockReference, or_latest
from rpc.read.calls import Overrides, block_overrides, state_override, to_call, transaction_args
from rpc.read.values import Optional

TX_GAS = 21_000
CALL_STIPEND = 2_300
TX_GAS_CAP = 1 << 24  # EIP-7825
ESTIMATE_ERROR_RATIO = 0.015  # how far above the true minimum geth lets an estimate be


# ---- eth_call -------------------------------------------------------------------------------------------------------


def call(
    context: Context, args: dict[str, Any], block: BlockReference, overrides: Overrides | None, env_overrides: dict[str, Any] | None
) -> str:
    """Run a message and answer what it returns."""
    header = context.header_or_error(block)
    message = to_call(args, context.config.chain_id, context.settings.gas_cap)
    view, env = context.view(header), context.environment(header, env_overrides)
    result = run(context, view, env, message, overrides)
    if result.failure is not None:
        raise failed(result, result.failure)
    return "0x" + result.output.hex()


def _balance(view: StateView, who: Address, overrides: Overrides) -> Wei:
    override = overrides.get(who)
    if override is not None and override.balance is not None:
        return override.balance
    account = view.account(who)
    return account.balance if account is not None else 0


def run(
    context: Context, view: StateView, env: BlockEnv, message: Call, overrides: Overrides | None = None, tracer: Tracer | None = None
) -> CallResult:
    """Run a message within the node's time limit; geth's words when it cannot start or takes too long."""
    deadline = context.deadline(env, message, overrides, tracer is not None)
    try:
        return context.executor.call(view, env, message, overrides, deadline, tracer)
    except ExecutionTimeout:
        raise RpcError(SERVER_ERROR, f"execution aborted (timeout = {context.settings.evm_timeout_seconds:g}s)") from None
    except InvalidTransaction as error:
        raise RpcError(SERVER_ERROR, f"err: {error} (supplied gas {message.gas})") from None


def failed(result: CallResult, failure: Failure) -> Exception:
    """The error that answers a call with this failure."""
    if failure.kind is FailureKind.REVERTED:
        reason = revert_reason(result.output)
        return ExecutionReverted(failure.text if reason is None else f"{failure.text}: {reason}", result.output)
    return RpcError(SERVER_ERROR, failure.text)


# ---- eth_estimateGas ------------------------------------------------------------------------------------------------


def estimate_gas(
    context: Context, args: dict[str, Any], block: BlockReference, overrides: Overrides | None, env_overrides: dict[str, Any] | None
) -> str:
    """A gas limit with which the message succeeds."""
    return hex(lowest_gas(context, args, block, overrides, env_overrides))


def lowest_gas(
    context: Context, args: dict[str, Any], block: BlockReference, overrides: Overrides | None, env_overrides: dict[str, Any] | None
) -> Gas:
    """A gas limit with which the message succeeds, at most 1.5% above the lowest."""
    header = context.header_or_error(block)
    message = replace(to_call(args, context.config.chain_id, 0), gas=args.get("gas", 0))
    env = context.environment(header, env_overrides)
    view = context.view(header)
    highest = _highest_gas(context, message, view, header, overrides or {})
    deadline = context.deadline(env, message, overrides)

    def attempt(gas: int) -> CallResult | None:
        """The outcome with this gas limit; None when it does not even cover the intrinsic gas."""
        try:
            return context.executor.call(view, env, replace(message, gas=gas), overrides, deadline)
        except ExecutionTimeout:
            raise RpcError(SERVER_ERROR, f"execution aborted (timeout = {context.settings.evm_timeout_seconds:g}s)") from None
        except InvalidTransaction as error:
            if error.reason in (Reason.INTRINSIC_GAS_TOO_LOW, Reason.FLOOR_GAS_TOO_LOW):
                return None
            raise RpcError(SERVER_ERROR, f"failed with {gas} gas: {error}") from None

    plain_transfer = not message.data and message.to is not None and not _has_code(view, message.to, overrides)
    return _search(attempt, highest, plain_transfer)


def _highest_gas(context: Context, message: Call, view: StateView, header: Header, overrides: Overrides) -> int:
    """The most gas that the block (without overrides), the sender's balance and the node's cap allow."""
    highest = message.gas if message.gas >= TX_GAS else header.gas_limit
    if context.config.fork_at(header.number, header.timestamp).has(L1Rules.OSAKA):
        highest = min(highest, TX_GAS_CAP)
    price = message.max_fee_per_gas or 0
    if price:
        balance = _balance(view, message.sender, overrides)
        if message.value >= balance:
            raise RpcError(SERVER_ERROR, "insufficient funds for transfer")
        for_blobs = len(message.blob_versioned_hashes) * GAS_PER_BLOB * message.max_fee_per_blob_gas
        if for_blobs and for_blobs >= balance - message.value:
            raise RpcError(SERVER_ERROR, "insufficient funds for gas * price + value")
        highest = min(highest, (balance - message.value - for_blobs) // price)
    cap = context.settings.gas_cap
    return min(highest, cap) if cap else highest


def _has_code(view: StateView, who: Address, overrides: Overrides | None) -> bool:
    override = (overrides or {}).get(who)
    if override is not None and override.code is not None:
        return bool(override.code)
    account = view.account(who)
    return account is not None and bool(view.code(account.code_hash))


def _search(attempt: Callable[[int], CallResult | None], highest: int, plain_transfer: bool) -> int:
    """geth's search: the highest limit, then what the first run suggests, then halving with a bias to the low side."""
    if plain_transfer:
        with contextlib.suppress(RpcError):  # its error is reported by the run with all gas
            if _succeeds(attempt(TX_GAS)):
                return TX_GAS
    result = attempt(highest)
    if result is None or not result.success:
        if result is not None and result.failure is not None and result.failure.kind is not FailureKind.OUT_OF_GAS:
            raise failed(result, result.failure)
        raise RpcError(SERVER_ERROR, f"gas required exceeds allowance ({highest})")
    low, high = result.gas_used - 1, highest
    first = (result.gas_used + result.gas_refund + CALL_STIPEND) * 64 // 63
    if first < high:
        low, high = (low, first) if _succeeds(attempt(first)) else (first, high)
    while low + 1 < high and (high - low) / high >= ESTIMATE_ERROR_RATIO:
        middle = min((high + low) // 2, low * 2)
        low, high = (low, middle) if _succeeds(attempt(middle)) else (middle, high)
    return high


def _succeeds(result: CallResult | None) -> bool:
    return result is not None and result.success


METHODS = {
    "eth_call": method(call, transaction_args, or_latest, Optional(state_override), Optional(block_overrides), runs_on=RunsOn.CALL),
    "eth_estimateGas": method(
        estimate_gas, transaction_args, or_latest, Optional(state_override), Optional(block_overrides), runs_on=RunsOn.CALL
    ),
}
