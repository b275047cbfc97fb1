"""eth_accounts, eth_sendTransaction, eth_signTransaction and eth_sign: what the node signs itself, with the dev chain's keys.

A node without keys answers "unknown account", as geth does. Fields that are left out are filled in as geth fills them.
"""

import threading
from typing import Any

import coincurve

from l2engine.types import rlp
from l2engine.types.base import Address, Hash32, encode_int, keccak
from l2engine.types.transaction import decode_transaction
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
    """Complete, sign and send a transaction; its hash."""
    key = _key(context, args.get("from"))
    with _one_at_a_time:
        return "0x" + send(context, _sign(_completed(context, args), key)).hex()


def sign_transaction(context: Context, args: dict[str, Any]) -> dict[str, Any]:
    """A signed transaction, which is not sent. As in geth, gas, nonce and a price must be there."""
    key = _key(context, args.get("from"))
    if "gas" not in args:
        raise RpcError(SERVER_ERROR, "not specify Gas")
    if "gasPrice" not in args and not {"maxFeePerGas", "maxPriorityFeePerGas"} <= args.keys():
        raise RpcError(SERVER_ERROR, "missing gasPrice or maxFeePerGas/maxPriorityFeePerGas")
    if "nonce" not in args:
        raise RpcError(SERVER_ERROR, "not specify Nonce")
    raw = _sign(_completed(context, args), key)
    return {"raw": "0x" + raw.hex(), "tx": show_transaction(decode_transaction(raw))}


def sign(context: Context, who: Address, message: bytes) -> str:
    """A signature over a message with Ethereum's prefix (EIP-191), 65 bytes that end with 27 or 28."""
    key = _key(context, who)
    r, s, y_parity = _signature(key, keccak(b"\x19Ethereum Signed Message:\n%d" % len(message) + message))
    return "0x" + (r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([27 + y_parity])).hex()


def _key(context: Context, who: Address | None) -> coincurve.PrivateKey:
    if who is None or who not in context.keys:
        raise RpcError(SERVER_ERROR, "unknown account")
    return coincurve.PrivateKey(context.keys[who])


def _completed(context: Context, args: dict[str, Any]) -> dict[str, Any]:
    """The arguments with nonce, fees, gas and chain id."""
    to_call(args, context.config.chain_id, 0)  # refuses contradictions
    if args.get("to") is None and not args.get("input", args.get("data")):
        raise RpcError(SERVER_ERROR, "contract creation without any data provided")
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


def _sign(args: dict[str, Any], key: coincurve.PrivateKey) -> bytes:
    """The EIP-2718 bytes of the transaction that these arguments describe, in the smallest type that holds them."""
    chain_id, access = args["chainId"], [[entry["address"], entry["storageKeys"]] for entry in args.get("accessList", ())]
    payload = args.get("input", args.get("data", b""))
    tail = [encode_int(args["gas"]), args.get("to") or b"", encode_int(args["value"]), payload]
    head = [encode_int(args["nonce"])]
    if "gasPrice" in args and "accessList" not in args:
        fields: list[Any] = [*head, encode_int(args["gasPrice"]), *tail]
        r, s, y_parity = _signature(key, keccak(rlp.encode([*fields, encode_int(chain_id), b"", b""])))
        return rlp.encode([*fields, *map(encode_int, (35 + 2 * chain_id + y_parity, r, s))])
    if "gasPrice" in args:
        kind, prices = 1, [args["gasPrice"]]
    else:
        kind, prices = 4 if "authorizationList" in args else 2, [args["maxPriorityFeePerGas"], args["maxFeePerGas"]]
    fields = [encode_int(chain_id), *head, *map(encode_int, prices), *tail, access]
    if kind == 4:
        fields.append([_authorization(item) for item in args["authorizationList"]])
    prefix = bytes([kind])
    r, s, y_parity = _signature(key, keccak(prefix + rlp.encode(fields)))
    return prefix + rlp.encode([*fields, *map(encode_int, (y_parity, r, s))])


def _authorization(item: dict[str, Any]) -> list[bytes]:
    numbers = [encode_int(item[name]) for name in ("nonce", "yParity", "r", "s")]
    return [encode_int(item["chainId"]), item["address"], *numbers]


def _signature(key: coincurve.PrivateKey, digest: Hash32) -> tuple[int, int, int]:
    signature = key.sign_recoverable(digest, hasher=None)
    return int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]


METHODS = {
    "eth_accounts": method(accounts),
    "eth_sendTransaction": method(send_transaction, transaction_args, runs_on=RunsOn.FORWARD),
    "eth_signTransaction": method(sign_transaction, transaction_args, runs_on=RunsOn.CALL),
    "eth_sign": method(sign, address, data),
}
