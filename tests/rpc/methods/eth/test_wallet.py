"""A dev chain's own signatures, compared with eth-account, which signs the same with the same keys."""

from typing import Any

import orjson
import pytest
from eth_account import Account
from eth_account.messages import encode_defunct

from genesis.dev.accounts import DEV_ACCOUNTS
from l2engine.types.base import checksum_address
from rpc.context import Context
from rpc.jsonrpc import handle
from rpc.registry import methods_for
from tests.rpc.chain import at_genesis

SENDER, OTHER = DEV_ACCOUNTS[:2]
FROM, TO = "0x" + SENDER.address.hex(), checksum_address(OTHER.address)
FEES = {"maxFeePerGas": "0x77359400", "maxPriorityFeePerGas": "0x1"}


@pytest.fixture
def context() -> Context:
    context = at_genesis()
    context.keys = {account.address: account.private_key for account in DEV_ACCOUNTS}
    return context


def ask(context: Context, method: str, *params: Any) -> Any:
    answer = orjson.loads(
        handle(orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}), methods_for(("eth",)), context)
    )
    return answer["result"] if "result" in answer else answer["error"]["message"]


@pytest.mark.parametrize(
    "fields",
    [
        {**FEES, "to": TO, "value": "0x5"},
        {"gasPrice": "0x77359400", "to": TO, "data": "0x1234"},
        {"gasPrice": "0x77359400", "to": TO, "accessList": [{"address": TO, "storageKeys": ["0x" + "01" * 32]}]},
        {**FEES, "input": "0x6001"},
        {
            **FEES,
            "to": TO,
            "authorizationList": [{"chainId": "0x385", "address": TO, "nonce": "0x1", "yParity": "0x0", "r": "0x5", "s": "0x6"}],
        },
    ],
    ids=["type 2", "legacy", "type 1", "creation", "type 4"],
)
def test_transactions_are_signed_as_eth_account_does(context: Context, fields: dict[str, Any]) -> None:
    args = {"from": FROM, "gas": "0x186a0", "nonce": "0x7", **fields}
    signed = ask(context, "eth_signTransaction", args)
    theirs = {"chainId": 901, "value": 0, "to": b"", **fields} | {"gas": "0x186a0", "nonce": "0x7"}
    if "input" in theirs:
        theirs["data"] = theirs.pop("input")
    if "authorizationList" in theirs:
        theirs["authorizationList"] = [
            {key: int(v, 16) if key != "address" else v for key, v in item.items()} for item in theirs["authorizationList"]
        ]
    assert signed["raw"] == "0x" + bytes(Account.sign_transaction(theirs, SENDER.private_key).raw_transaction).hex()
    assert (signed["tx"]["from"], signed["tx"]["nonce"]) == (FROM, "0x7")


def test_what_is_left_out_is_filled_in_and_the_transaction_waits_in_the_pool(context: Context) -> None:
    sent = [ask(context, "eth_sendTransaction", {"from": FROM, "to": TO, "value": hex(value)}) for value in (1, 2)]
    waiting = [ask(context, "eth_getTransactionByHash", tx_hash) for tx_hash in sent]
    assert [(tx["nonce"], tx["value"], tx["gas"], tx["type"]) for tx in waiting] == [
        ("0x0", "0x1", "0x5208", "0x2"),
        ("0x1", "0x2", "0x5208", "0x2"),
    ]
    assert int(waiting[0]["maxFeePerGas"], 16) == 2 * context.engine.head.base_fee_per_gas + int(waiting[0]["maxPriorityFeePerGas"], 16)


def test_messages_are_signed_with_ethereums_prefix(context: Context) -> None:
    theirs = Account.sign_message(encode_defunct(b"hello"), SENDER.private_key).signature
    assert ask(context, "eth_sign", FROM, "0x" + b"hello".hex()) == "0x" + bytes(theirs).hex()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"from": "0x" + "11" * 20, "to": TO}, "unknown account"),
        ({"to": TO}, "unknown account"),
        ({"from": FROM}, "contract creation without any data provided"),
        ({"from": FROM, "to": TO, "maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x2"}, "maxFeePerGas (1) < maxPriorityFeePerGas (2)"),
        ({"from": FROM, "to": TO, "gasPrice": "0x1", **FEES}, "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified"),
        ({"from": FROM, "to": TO, "chainId": "0x1"}, "chainId does not match node's (have=1, want=901)"),
        ({"from": FROM, "to": TO, "value": hex(10**23)}, "insufficient funds for transfer"),
    ],
)
def test_what_cannot_be_sent_says_why(context: Context, args: dict[str, Any], said: str) -> None:
    assert ask(context, "eth_sendTransaction", args) == said


def test_signing_wants_gas_price_and_nonce(context: Context) -> None:
    args: dict[str, Any] = {"from": FROM, "to": TO}
    for said, more in (
        ("not specify Gas", {"gas": "0x5208"}),
        ("missing gasPrice or maxFeePerGas/maxPriorityFeePerGas", {"gasPrice": "0x1"}),
        ("not specify Nonce", {}),
    ):
        assert ask(context, "eth_signTransaction", args) == said
        args |= more


def test_a_node_without_keys_signs_nothing() -> None:
    context = at_genesis()
    assert ask(context, "eth_accounts") == []
    for method, params in (
        ("eth_sendTransaction", [{"from": FROM}]),
        ("eth_signTransaction", [{"from": FROM}]),
        ("eth_sign", [FROM, "0x"]),
    ):
        assert ask(context, method, *params) == "unknown account"
