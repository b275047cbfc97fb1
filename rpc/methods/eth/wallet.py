"""eth_accounts, eth_sendTransaction, eth_signTransaction and eth_sign: what the node signs itself, with the dev chain's keys.

A node without keys answers "unknown account", as geth does. Fields that are left out are filled in as geth fills them.
"""

import threading
from typing import Any

from l2engine.chain.pool import decode_pooled
from l2engine.errors import InvalidTransaction, PoolError
from l2engine.refusals import Reason
from l2engine.types import signature
from l2engine.types.base import Address, keccak
from l2engine.types.delegation import Authorization
from l2engine.types.transaction import (
    AccessListTransaction,
    BlobTransaction,
    FeeMarketTransaction,
    LegacyTransaction,
    SetCodeTransaction,
    SignedTransaction,
)
from l2engine.types.transaction_codec import decode_transaction, signed
from rpc.context import Context
from rpc.errors import SERVER_ERROR, RpcError
from rpc.jsonrpc import RunsOn, method
from rpc.methods.eth.accounts import nonce_of
from rpc.methods.eth.calls import lowest_gas
from rpc.methods.eth.fees import suggested_tip
from rpc.methods.eth.transactions import send
from rpc.read.calls import to_call, transaction_args
from rpc.read.values import address, data
from rpc.show.transactions import show_transaction

_one_at_a_time = threading.Lock()  # from choosing a nonce until the pool knows it


def accounts(context: Context) -> list[str]:
    """The accounts whose keys this node holds: the dev chain's, else none."""
    return ["0x" + account.hex() for account in context.keys]


def send_transaction(context: Context, args: dict[str, Any]) -> str:
    """Complete, sign and send a transaction; its hash, on a dev chain when its block is there."""
    key = _key(context, args.get("from"))
    with _one_at_a_time:
        sent = send(context, decode_pooled(_sign(_completed(context, args), key).raw))
    context.await_block(sent)
    return "0x" + sent.hex()


def sign_transaction(context: Context, args: dict[str, Any]) -> dict[str, Any]:
    """A signed transaction, which is not sent. As in geth, gas, nonce and a price must be there."""
    key = _key(context, args.get("from"))
    if "gas" not in args:
        raise RpcError(SERVER_ERROR, "not specify Gas")
    if "gasPrice" not in args and not {"maxFeePerGas", "maxPriorityFeePerGas"} <= args.keys():
        raise RpcError(SERVER_ERROR, "missing gasPrice or maxFeePerGas/maxPriorityFeePerGas")
    if "nonce" not in args:
        raise RpcError(SERVER_ERROR, "not specify Nonce")
    raw = _sign(_completed(context, args), key).raw
    return {"raw": "0x" + raw.hex(), "tx": show_transaction(decode_transaction(raw))}


def sign(context: Context, who: Address, message: bytes) -> str:
    """A signature over a message with Ethereum's prefix (EIP-191), 65 bytes that end with 27 or 28."""
    key = _key(context, who)
    y_parity, r, s = signature.sign(keccak(b"\x19Ethereum Signed Message:\n%d" % len(message) + message), key)
    return "0x" + (r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([27 + y_parity])).hex()


def _key(context: Context, who: Address | None) -> bytes:
    if who is None or who not in context.keys:
        raise RpcError(SERVER_ERROR, "unknown account")
    return context.keys[who]


def _completed(context: Context, args: dict[str, Any]) -> dict[str, Any]:
    """The arguments with nonce, fees, gas and chain id."""
    to_call(args, context.config.chain_id, 0)  # refuses contradictions
    _check_parts(args)
    full = {"value": 0, **args, "chainId": context.config.chain_id}
    if "gasPrice" not in full:
        tip = full.setdefault("maxPriorityFeePerGas", suggested_tip(context))
        most = full.setdefault("maxFeePerGas", tip + 2 * (context.engine.head.base_fee_per_gas or 0))
        if most < tip:
            raise RpcError(SERVER_ERROR, f"maxFeePerGas ({most}) < maxPriorityFeePerGas ({tip})")
    if "nonce" not in full:
        full["nonce"] = nonce_of(context, full["from"], "pending")
    if "gas" not in full:
        full["gas"] = lowest_gas(context, full, "pending", None, None)
    return full


def _check_parts(args: dict[str, Any]) -> None:
    """Refuse what would be dropped from the transaction, and what no transaction can have."""
    if "data" in args and args.get("input", args["data"]) != args["data"]:
        raise RpcError(SERVER_ERROR, 'both "data" and "input" are set and not equal. Please use "input" to pass transaction call data')
    if args.get("blobVersionedHashes"):
        raise PoolError(Reason.TYPE_NOT_ACCEPTED, type=BlobTransaction.type)
    if args.get("authorizationList"):
        if "to" not in args:
            raise InvalidTransaction(Reason.AUTHORIZATIONS_CREATE, address=args["from"])
        if "gasPrice" in args:
            raise RpcError(SERVER_ERROR, "authorizationList needs maxFeePerGas: a set-code transaction has no gasPrice")
    elif "to" not in args and not args.get("input", args.get("data")):
        raise RpcError(SERVER_ERROR, "contract creation without any data provided")


def _sign(args: dict[str, Any], key: bytes) -> SignedTransaction:
    """The signed transaction that these arguments describe, of the smallest type that holds them."""
    chain_id, nonce, gas, to, value = args["chainId"], args["nonce"], args["gas"], args.get("to"), args["value"]
    payload = args.get("input", args.get("data", b""))
    access = tuple((entry["address"], tuple(entry["storageKeys"])) for entry in args.get("accessList", ()))
    if "gasPrice" in args and "accessList" not in args:
        return signed(LegacyTransaction(nonce, args["gasPrice"], gas, to, value, payload, 35 + 2 * chain_id), key)
    if "gasPrice" in args:
        return signed(AccessListTransaction(chain_id, nonce, args["gasPrice"], gas, to, value, payload, access), key)
    prices = args["maxPriorityFeePerGas"], args["maxFeePerGas"]
    if not args.get("authorizationList"):
        return signed(FeeMarketTransaction(chain_id, nonce, *prices, gas, to, value, payload, access), key)
    delegations = tuple(
        Authorization(*(item[name] for name in ("chainId", "address", "nonce", "yParity", "r", "s"))) for item in args["authorizationList"]
    )
    return signed(SetCodeTransaction(chain_id, nonce, *prices, gas, args["to"], value, payload, access, delegations), key)


METHODS = {
    "eth_accounts": method(accounts),
    "eth_sendTransaction": method(send_transaction, transaction_args, runs_on=RunsOn.FORWARD),
    "eth_signTransaction": method(sign_transaction, transaction_args, runs_on=RunsOn.CALL),
    "eth_sign": method(sign, address, data),
}
