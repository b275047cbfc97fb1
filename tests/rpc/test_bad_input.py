"""Nonsense to every method: always a JSON-RPC error with a code of its own or an Engine status, never a crash, never a moved head."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from l2engine.types.limits import RpcSettings
from rpc.context import Context
from rpc.jsonrpc import handle
from rpc.registry import ENGINE_NAMESPACES, methods_for
from tests.rpc.chain import at_genesis

METHODS = methods_for((*ENGINE_NAMESPACES, "admin"))
CODES = {-32601, -32602, -32000, -38001, -38002, -38003, -38004, -38005, 3}

NUMBERS = st.integers(-1, 2**70) | st.sampled_from([0, 1, 2**63, 2**64 - 1, 2**64, 2**256])
HEX = st.one_of(
    NUMBERS.map(hex),
    st.binary(max_size=40).map(lambda b: "0x" + b.hex()),
    st.sampled_from([20, 32, 256]).flatmap(lambda n: st.binary(min_size=n, max_size=n)).map(lambda b: "0x" + b.hex()),
    st.sampled_from(["0x", "0x0", "0x00", "", "latest", "safe", "finalized", "pending", "earliest", "0xzz", "0x123"]),
)
NAMES = st.sampled_from(
    [
        "from",
        "to",
        "gas",
        "gasPrice",
        "maxFeePerGas",
        "maxPriorityFeePerGas",
        "value",
        "nonce",
        "data",
        "input",
        "accessList",
        "chainId",
        "authorizationList",
        "blockHash",
        "blockNumber",
        "requireCanonical",
        "address",
        "topics",
        "fromBlock",
        "toBlock",
        "tracer",
        "tracerConfig",
        "timeout",
        "stateOverrides",
        "balance",
        "code",
        "state",
        "stateDiff",
        "number",
        "time",
        "parentHash",
        "feeRecipient",
        "stateRoot",
        "receiptsRoot",
        "logsBloom",
        "prevRandao",
        "gasLimit",
        "gasUsed",
        "timestamp",
        "extraData",
        "baseFeePerGas",
        "transactions",
        "withdrawals",
        "blobGasUsed",
        "excessBlobGas",
        "withdrawalsRoot",
        "headBlockHash",
        "safeBlockHash",
        "finalizedBlockHash",
        "suggestedFeeRecipient",
        "parentBeaconBlockRoot",
        "noTxPool",
        "eip1559Params",
        "minBaseFee",
        "required",
        "recommended",
        "terminalTotalDifficulty",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | NUMBERS.filter(lambda n: n < 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | HEX
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=8),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def context() -> Context:
    return at_genesis(RpcSettings(evm_timeout_seconds=0.5, gas_cap=100_000))


def ask(context: Context, name: str, params: Any) -> Any:
    return json.loads(handle(json.dumps({"jsonrpc": "2.0", "id": 1, "method": name, "params": params}).encode(), METHODS, context))


def check(context: Context, name: str, params: Any) -> Any:
    head = context.engine.head.hash
    answer = ask(context, name, params)
    if "error" in answer:
        assert answer["error"]["code"] in CODES, (name, params, answer)
        assert "Traceback" not in answer["error"]["message"]
    assert context.engine.head.hash == head
    return answer


@pytest.mark.parametrize("name", sorted(METHODS))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(params=st.lists(VALUES, max_size=5) | VALUES)
def test_any_parameters(context: Context, name: str, params: Any) -> None:
    check(context, name, params)


def payload(context: Context) -> dict[str, Any]:
    """A payload of the right form whose block does not hold."""
    header = context.engine.head
    return {
        "parentHash": "0x" + header.hash.hex(), "feeRecipient": "0x" + "00" * 20, "stateRoot": "0x" + header.state_root.hex(),
        "receiptsRoot": "0x" + "00" * 32, "logsBloom": "0x" + "00" * 256, "prevRandao": "0x" + "00" * 32, "blockNumber": "0x1",
        "gasLimit": "0x1c9c380", "gasUsed": "0x0", "timestamp": hex(header.timestamp + 2), "extraData": "0x", "baseFeePerGas": "0x1",
        "blockHash": "0x" + "00" * 32, "transactions": [], "withdrawals": [], "blobGasUsed": "0x0", "excessBlobGas": "0x0",
        "withdrawalsRoot": "0x" + "00" * 32,
    }  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_payloads_with_one_field_changed(context: Context, data: Any) -> None:
    fields = payload(context)
    name = data.draw(st.sampled_from(sorted(fields)))
    fields[name] = data.draw(VALUES)
    version = data.draw(st.integers(1, 4))
    params = [fields, [], "0x" + "00" * 32, []][: {1: 1, 2: 1, 3: 3, 4: 4}[version]]
    answer = check(context, f"engine_newPayloadV{version}", params)
    assert "error" in answer or answer["result"]["status"] in ("INVALID", "SYNCING")


SIGNED = bytes.fromhex(  # an ordinary EIP-1559 transfer of some other chain
    "02f86a830dc378800185e8d4a510008252089401010101010101010101010101010101010101018080c001a09130dd3e06375ab39ef7b3ff55498fec31b67956abf7e6"
    "2b82fdafd8ed680dd6a03ec60113b1c0a458f4224abb1a0d2b1c6e2b1f5ba2ad7c44b4ca3c1ed9d4b9a1"
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_truncated_and_mutated_transactions(context: Context, data: Any) -> None:
    raw = bytearray(SIGNED[: data.draw(st.integers(0, len(SIGNED)))])
    for position in data.draw(st.lists(st.integers(0, max(len(raw) - 1, 0)), max_size=4)) if raw else ():
        raw[position] = data.draw(st.integers(0, 255))
    assert "error" in check(context, "eth_sendRawTransaction", ["0x" + raw.hex()])
    fields = {**payload(context), "transactions": ["0x" + raw.hex()]}
    answer = check(context, "engine_newPayloadV4", [fields, [], "0x" + "00" * 32, []])
    assert answer["result"]["status"] == "INVALID"
