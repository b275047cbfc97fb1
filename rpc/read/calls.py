"""Arguments of eth_call and similar methods: the message, state overrides and block overrides.

Sources: geth internal/ethapi (defaults and caps) and internal/ethapi/override.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from l2engine.errors import PoolError
from l2engine.refusals import Reason
from l2engine.types.base import ZERO_ADDRESS, Address, checksum_address
from l2engine.types.delegation import Authorization
from l2engine.types.execution import AccountOverride, Call
from l2engine.types.transaction import POST_EXECUTION_TYPE, BlobTransaction
from rpc.errors import SERVER_ERROR, RpcError
from rpc.read.values import Struct, address, data, hash32, list_of, map_of, refused, uint64, uint256

Overrides: TypeAlias = Mapping[Address, AccountOverride]

access_list = list_of(
    Struct("types.AccessTuple", {"address": address, "storageKeys": list_of(hash32, "common.Hash")}, ("address", "storageKeys")),
    "types.AccessTuple",
)
authorization = Struct(
    "types.SetCodeAuthorization",
    {"chainId": uint256, "address": address, "nonce": uint64, "yParity": uint64, "r": uint256, "s": uint256},
    ("chainId", "address", "nonce", "yParity", "r", "s"),
)


def transaction_type(value: Any) -> Any:
    """The caller's transaction type, which is ignored, as in geth: the other fields decide. `PoolError` for type 0x7D."""
    if value == POST_EXECUTION_TYPE or (isinstance(value, str) and value.lower() == hex(POST_EXECUTION_TYPE)):
        raise PoolError(Reason.TYPE_NOT_ACCEPTED, type=POST_EXECUTION_TYPE)
    return value


def _blob_sidecar(value: Any) -> None:
    """Blobs themselves, which an OP chain does not take: `PoolError`. A call sees `blobVersionedHashes` alone."""
    raise PoolError(Reason.TYPE_NOT_ACCEPTED, type=BlobTransaction.type)


transaction_args = Struct(
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
        "type": transaction_type,
        "blobs": _blob_sidecar,
        "commitments": _blob_sidecar,
        "proofs": _blob_sidecar,
    },
)


_slots = map_of(hash32, hash32, "map[common.Hash]common.Hash")
_account_override = Struct(
    "override.OverrideAccount",
    {"nonce": uint64, "code": data, "balance": uint256, "state": _slots, "stateDiff": _slots, "movePrecompileToAddress": address},
)
_state_override = map_of(address, _account_override, "override.StateOverride")


def state_override(value: Any) -> Overrides:
    """geth's state override object."""
    accounts = _state_override(value)
    targets = [fields["movePrecompileToAddress"] for fields in accounts.values() if "movePrecompileToAddress" in fields]
    for index, target in enumerate(targets):
        if target in accounts or target in targets[:index]:
            raise RpcError(SERVER_ERROR, f"account {checksum_address(target)} is already overridden")
    return {who: _override(who, fields) for who, fields in accounts.items()}


def _override(who: Address, fields: dict[str, Any]) -> AccountOverride:
    state, difference = fields.get("state"), fields.get("stateDiff")
    if state is not None and difference is not None:
        raise RpcError(SERVER_ERROR, f"account {checksum_address(who)} has both 'state' and 'stateDiff'")
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


_block_overrides = Struct(
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
        "beaconRoot": refused('block override "beaconRoot" is not supported for this RPC method'),
        "withdrawals": refused('block override "withdrawals" is not supported for this RPC method'),
    },
)


def block_overrides(value: Any) -> dict[str, Any]:
    """geth's block override object, as fields of `BlockEnv`."""
    return {_ENV_FIELDS[name]: item for name, item in _block_overrides(value).items()}


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


def to_call(args: dict[str, Any], chain_id: int, gas_cap: int) -> Call:
    """The message that call arguments describe, with geth's defaults. `chain_id` is the node's; a `gas_cap` of 0 means no cap."""
    if "gasPrice" in args and ("maxFeePerGas" in args or "maxPriorityFeePerGas" in args):
        raise RpcError(SERVER_ERROR, "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
    if args.get("chainId", chain_id) != chain_id:
        raise RpcError(SERVER_ERROR, f"chainId does not match node's (have={args['chainId']}, want={chain_id})")
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
        max_fee_per_blob_gas=args.get("maxFeePerBlobGas", 0),
    )
