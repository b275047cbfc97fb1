"""eth_call, eth_estimateGas and eth_createAccessList: running a message on the state of some block, for free.

Sources: geth internal/ethapi (defaults and caps), eth/gasestimator (the search), EIP-2930; geth's override objects.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from l2engine.chain.process import block_env
from l2engine.errors import ExecutionReverted, ExecutionTimeout, InvalidTransaction
from l2engine.evm.tracers.calls import revert_reason
from l2engine.rules.blobs import GAS_PER_BLOB
from l2engine.rules.forks import L1Rules
from l2engine.types.base import ZERO_ADDRESS, Address, Wei
from l2engine.types.block import Block
from l2engine.types.environment import BlockEnv
from l2engine.types.execution import AccountOverride, Call, CallResult
from l2engine.types.header import Header
from l2engine.types.state import StateView
from l2engine.types.tracing import Tracer
from l2engine.types.transaction import Authorization
from rpc import render
from rpc.codec import (
    BlockReference,
    Mismatch,
    Optional,
    Parser,
    address,
    any_json,
    block_reference,
    data,
    hash32,
    list_of,
    struct,
    uint64,
    uint256,
)
from rpc.context import Context
from rpc.errors import SERVER_ERROR, RpcError
from rpc.jsonrpc import Place, method

TX_GAS = 21_000
CALL_STIPEND = 2_300
TX_GAS_CAP = 1 << 24  # EIP-7825
ESTIMATE_ERROR_RATIO = 0.015  # how far above the true minimum geth lets an estimate be

Overrides = Mapping[Address, AccountOverride]


# ---- arguments ------------------------------------------------------------------------------------------------------

access_list = list_of(
    struct("types.AccessTuple", {"address": address, "storageKeys": list_of(hash32, "common.Hash")}, ("address", "storageKeys")),
    "types.AccessTuple",
)
authorization = struct(
    "types.SetCodeAuthorization",
    {"chainId": uint256, "address": address, "nonce": uint64, "yParity": uint64, "r": uint256, "s": uint256},
    ("chainId", "address", "nonce", "yParity", "r", "s"),
)
transaction_args = struct(
    "ethapi.TransactionArgs",
    {
        "from": address,
        "to": address,
        "gas": uint64,
        "gasPrice": uint256,
        "maxFeePerGas": uint256,
        "maxPriorityFeePerGas": uint256,
        "value": uint256,
        "nonce": uint64,
        "data": data,
        "input": data,
        "accessList": access_list,
        "chainId": uint256,
        "maxFeePerBlobGas": uint256,
        "blobVersionedHashes": list_of(hash32, "common.Hash"),
        "authorizationList": list_of(authorization, "types.SetCodeAuthorization"),
    },
)


def _map_of(key: Parser[Any], value: Parser[Any], kind: str) -> Parser[dict[Any, Any]]:
    def parse(item: Any) -> dict[Any, Any]:
        if not isinstance(item, dict):
            raise Mismatch("array" if isinstance(item, list) else "string" if isinstance(item, str) else "number", kind)
        return {key(name): value(inner) for name, inner in item.items()}

    return parse


_slots = _map_of(hash32, hash32, "map[common.Hash]common.Hash")
_account_override = struct(
    "override.OverrideAccount",
    {"nonce": uint64, "code": data, "balance": uint256, "state": _slots, "stateDiff": _slots, "movePrecompileToAddress": address},
)
_state_override = _map_of(address, _account_override, "override.StateOverride")


def state_override(value: Any) -> Overrides:
    """geth's state override object."""
    accounts = _state_override(value)
    for fields in accounts.values():
        target = fields.get("movePrecompileToAddress")
        if target in accounts:
            raise RpcError(SERVER_ERROR, f"account {render.checksum_address(target)} is already overridden")
    return {who: _override(who, fields) for who, fields in accounts.items()}


def _override(who: Address, fields: dict[str, Any]) -> AccountOverride:
    state, difference = fields.get("state"), fields.get("stateDiff")
    if state is not None and difference is not None:
        raise RpcError(SERVER_ERROR, f"account {render.checksum_address(who)} has both 'state' and 'stateDiff'")
    return AccountOverride(
        fields.get("nonce"),
        fields.get("balance"),
        fields.get("code"),
        _as_ints(state),
        _as_ints(difference),
        fields.get("movePrecompileToAddress"),
    )


def _as_ints(slots: Mapping[bytes, bytes] | None) -> dict[int, int] | None:
    if slots is None:
        return None
    return {int.from_bytes(slot, "big"): int.from_bytes(value, "big") for slot, value in slots.items()}


or_latest = Optional(block_reference, "latest")
_block_overrides = struct(
    "override.BlockOverrides",
    {
        "number": uint256,
        "difficulty": uint256,
        "time": uint64,
        "gasLimit": uint64,
        "feeRecipient": address,
        "prevRandao": hash32,
        "baseFeePerGas": uint256,
        "blobBaseFee": uint256,
        "beaconRoot": any_json,
        "withdrawals": any_json,
    },
)


def block_overrides(value: Any) -> dict[str, Any]:
    """geth's block override object."""
    fields = _block_overrides(value)
    for name in ("beaconRoot", "withdrawals"):
        if name in fields:
            raise RpcError(SERVER_ERROR, f'block override "{name}" is not supported for this RPC method')
    return fields


def to_call(context: Context, args: dict[str, Any], gas_cap: int) -> Call:
    """The message that call arguments describe, with geth's defaults."""
    if "gasPrice" in args and ("maxFeePerGas" in args or "maxPriorityFeePerGas" in args):
        raise RpcError(SERVER_ERROR, "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
    if args.get("chainId", context.config.chain_id) != context.config.chain_id:
        raise RpcError(SERVER_ERROR, f"chainId does not match node's (have={args['chainId']}, want={context.config.chain_id})")
    cap = gas_cap or (1 << 63) - 1
    price = args.get("gasPrice")
    return Call(
        sender=args.get("from", ZERO_ADDRESS),
        to=args.get("to"),
        gas=min(args.get("gas", cap), cap),
        gas_price=price or 0,
        max_fee_per_gas=args.get("maxFeePerGas", price),
        max_priority_fee_per_gas=args.get("maxPriorityFeePerGas", price),
        value=args.get("value", 0),
        data=args.get("input", args.get("data", b"")),
        access_list=tuple((entry["address"], tuple(entry["storageKeys"])) for entry in args.get("accessList", ())),
        authorization_list=tuple(
            Authorization(a["chainId"], a["address"], a["nonce"], a["yParity"], a["r"], a["s"]) for a in args.get("authorizationList", ())
        ),
        blob_versioned_hashes=tuple(args.get("blobVersionedHashes", ())),
    )


def environment(context: Context, header: Header, overrides: Mapping[str, Any] | None = None) -> BlockEnv:
    """A block's environment, for calls on top of its state."""
    parent = context.blocks.header(header.parent_hash) or header
    env = block_env(Block(header, (), withdrawals=()), parent)
    if not overrides:
        return env
    return replace(env, **{_ENV_FIELDS[key]: value for key, value in overrides.items()})


_ENV_FIELDS = {
    "number": "number",
    "difficulty": "difficulty",
    "time": "timestamp",
    "gasLimit": "gas_limit",
    "feeRecipient": "beneficiary",
    "prevRandao": "prev_randao",
    "baseFeePerGas": "base_fee_per_gas",
    "blobBaseFee": "blob_base_fee",
}


# ---- eth_call -------------------------------------------------------------------------------------------------------


def call(
    context: Context, args: dict[str, Any], block: BlockReference, overrides: Overrides | None, env_overrides: dict[str, Any] | None
) -> str:
    """Run a message and answer what it returns."""
    header = context.header_or_error(block)
    message = to_call(context, args, context.settings.gas_cap)
    view, env = context.view(header), environment(context, header, env_overrides)
    _check_blob_funds(context, args, view, env, message, overrides or {})
    result = run(context, view, env, message, overrides)
    if result.error is not None:
        raise failure(result)
    return "0x" + result.output.hex()


def _check_blob_funds(context: Context, args: dict[str, Any], view: StateView, env: BlockEnv, message: Call, overrides: Overrides) -> None:
    """A call with blobs must be able to pay for them, from Cancun on."""
    cost = len(message.blob_versioned_hashes) * GAS_PER_BLOB * args.get("maxFeePerBlobGas", 0)
    if not cost or not context.config.fork_at(env.number, env.timestamp).has(L1Rules.CANCUN):
        return
    balance = _balance(view, message.sender, overrides)
    needed = cost + message.value + message.gas * (message.max_fee_per_gas or 0)
    if balance < needed:
        who = render.checksum_address(message.sender)
        text = f"insufficient funds for gas * price + value: address {who} have {balance} want {needed}"
        raise RpcError(SERVER_ERROR, f"err: {text} (supplied gas {message.gas})")


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
    try:
        return context.executor.call(view, env, message, overrides, context.deadline(), tracer)
    except ExecutionTimeout:
        raise RpcError(SERVER_ERROR, f"execution aborted (timeout = {context.settings.evm_timeout_seconds:g}s)") from None
    except InvalidTransaction as error:
        raise RpcError(SERVER_ERROR, f"err: {error} (supplied gas {message.gas})") from None


def failure(result: CallResult) -> Exception:
    """The error that answers a failed call."""
    if result.error == "execution reverted":
        reason = revert_reason(result.output)
        return ExecutionReverted("execution reverted" if reason is None else f"execution reverted: {reason}", result.output)
    return RpcError(SERVER_ERROR, result.error or "")


# ---- eth_estimateGas ------------------------------------------------------------------------------------------------


def estimate_gas(
    context: Context, args: dict[str, Any], block: BlockReference, overrides: Overrides | None, env_overrides: dict[str, Any] | None
) -> str:
    """A gas limit with which the message succeeds, at most 1.5% above the lowest."""
    header = context.header_or_error(block)
    message = replace(to_call(context, args, 0), gas=args.get("gas", 0))
    env = environment(context, header, env_overrides)
    view = context.view(header)
    highest = _highest_gas(context, message, view, header, overrides or {})
    deadline = context.deadline()

    def attempt(gas: int) -> CallResult | None:
        """The outcome with this gas limit; None when it does not even cover the intrinsic gas."""
        try:
            return context.executor.call(view, env, replace(message, gas=gas), overrides, deadline)
        except ExecutionTimeout:
            raise RpcError(SERVER_ERROR, f"execution aborted (timeout = {context.settings.evm_timeout_seconds:g}s)") from None
        except InvalidTransaction as error:
            if str(error).startswith(("intrinsic gas too low", "insufficient gas for floor data gas cost")):
                return None
            raise RpcError(SERVER_ERROR, f"failed with {gas} gas: {error}") from None

    return hex(
        _search(attempt, highest, plain_transfer=not message.data and message.to is not None and not _has_code(view, message.to, overrides))
    )


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
        highest = min(highest, (balance - message.value) // price)
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
        with contextlib.suppress(RpcError):  # what stops it is told by the run with all gas
            if _succeeds(attempt(TX_GAS)):
                return TX_GAS
    result = attempt(highest)
    if result is None or not result.success:
        if result is not None and not (result.error or "").startswith("out of gas"):
            raise failure(result)
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
    "eth_call": method(call, transaction_args, or_latest, Optional(state_override), Optional(block_overrides), place=Place.CALL),
    "eth_estimateGas": method(
        estimate_gas, transaction_args, or_latest, Optional(state_override), Optional(block_overrides), place=Place.CALL
    ),
}
