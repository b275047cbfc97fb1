"""A 0x7D and refunds over JSON-RPC, against the Lagoon facts and on a stored block."""

from dataclasses import replace
from typing import Any

import pytest

from l2engine.rules.l1_attributes import L1Attributes
from l2engine.store.verify_rows import verify_rows
from l2engine.types.base import keccak
from l2engine.types.transaction_codec import decode_transaction
from rpc.show.transactions import show_transaction
from tests.lagoon.chain import ATTRIBUTES, GAS, LOG, Stored, block, post_execution, stored, transaction
from tests.lagoon.facts import Fact, facts, unhex


@pytest.fixture(scope="module")
def chain() -> Stored:
    """L1 attributes, three signed transactions of which two are refunded, and the 0x7D."""
    return stored([0x7E, 2, 0, 2, 0x7D], {1: 1000, 2: GAS})


# ---- transactions ---------------------------------------------------------------------------------------------------


@facts("rpc.json", "rpc_transaction")
def test_transaction_object(fact: Fact) -> None:
    given, expected = fact.input, fact.expected
    raw = unhex(given["transaction"])
    header = replace(block([raw], {}, given["block_number"])[0].header, timestamp=given.get("timestamp", 0))
    shown = show_transaction(decode_transaction(raw), header, given["index"])
    object_there = {**expected["object"], "blockHash": "0x" + header.hash.hex()}
    assert {key: shown[key] for key in object_there} == object_there
    assert not shown.keys() & {*expected["absent"], "gasPrice"}  # we leave out the tolerated gasPrice too


def readable(shown: dict[str, Any]) -> bool:
    """Whether the rollup node reads a JSON object as a 0x7D."""
    zero = ("gas", "value", "nonce", "from", "v", "r", "s", "yParity")
    return (
        shown.get("type") == "0x7d"
        and not any(key in shown for key in ("to", "mint", "sourceHash"))
        and all(int(shown.get(key, "0x0"), 16) == 0 for key in zero)
        and shown.get("input") not in (None, "0x")
    )


@facts("rpc.json", "rpc_transaction_reader")
def test_shown_objects_are_read_by_the_rollup_node(fact: Fact, chain: Stored) -> None:
    assert fact.expected["valid"] is False and not readable(fact.input["object"])
    assert readable(chain.call("eth_getTransactionByBlockNumberAndIndex", "0x1", "0x4"))


def test_every_way_to_the_transaction_shows_the_same(chain: Stored) -> None:
    raw = chain.block.transactions[4]
    tx_hash, block_hash = "0x" + keccak(raw).hex(), "0x" + chain.block.hash.hex()
    shown = chain.call("eth_getTransactionByHash", tx_hash)
    assert shown["hash"] == tx_hash and shown["transactionIndex"] == "0x4"
    assert shown == chain.call("eth_getTransactionByBlockHashAndIndex", block_hash, "0x4")
    for params in (("eth_getBlockByNumber", "0x1"), ("eth_getBlockByHash", block_hash)):
        assert chain.call(*params, True)["transactions"][4] == shown
        assert chain.call(*params, False)["transactions"][4] == tx_hash


def test_raw_forms_are_the_real_bytes(chain: Stored) -> None:
    raw = chain.block.transactions[4]
    tx_hash = "0x" + keccak(raw).hex()
    for method in ("eth_getRawTransactionByHash", "debug_getRawTransaction"):
        assert chain.call(method, tx_hash) == "0x" + raw.hex()
    assert chain.call("eth_getRawTransactionByBlockNumberAndIndex", "0x1", "0x4") == "0x" + raw.hex()
    assert raw in unhex(chain.call("debug_getRawBlock", "0x1"))
    assert chain.call("debug_getRawReceipts", "0x1")[4] == "0x" + chain.receipts[4].encode().hex()


# ---- receipts -------------------------------------------------------------------------------------------------------


@facts("rpc.json", "rpc_receipt")
def test_receipt_object(fact: Fact) -> None:
    given, expected = fact.input, fact.expected
    others = {key: int(value, 16) for key, value in given["fields_of_another_receipt_in_the_block"].items()}
    attributes = L1Attributes(
        base_fee=others["l1GasPrice"],
        base_fee_scalar=others["l1BaseFeeScalar"],
        blob_base_fee=others["l1BlobBaseFee"],
        blob_base_fee_scalar=others["l1BlobBaseFeeScalar"],
        operator_fee_scalar=others.get("operatorFeeScalar", 0),
        operator_fee_constant=others.get("operatorFeeConstant", 0),
        da_footprint_gas_scalar=others["daFootprintGasScalar"],
    )
    number, before = given["block_number"], given["previous_cumulative_gas_used"]
    raws = [transaction(0x7E, 0, attributes), transaction(2, 0), post_execution(number, (1, GAS))]
    made = block(raws, {1: GAS}, number, first_gas=before)
    chain = Stored(*made)
    receipt = chain.call("eth_getTransactionReceipt", "0x" + keccak(raws[-1]).hex())
    assert receipt == chain.call("eth_getBlockReceipts", hex(number))[-1]
    assert {key: receipt[key] for key in expected["object"]} == expected["object"]
    assert not any(receipt.get(key) for key in expected["absent_or_null"])
    assert "to" in expected["unsettled"] and receipt["to"] is None  # our choice, docs/lagoon.md


@facts("rpc.json", "rpc_op_gas_refund")
def test_refunds_in_receipts(fact: Fact) -> None:
    kinds = [int(kind, 16) for kind in fact.input["transaction_types"]]
    chain = stored(kinds, {entry["index"]: entry["gas_refund"] for entry in fact.input["entries"]})
    receipts = chain.call("eth_getBlockReceipts", "latest")
    assert [receipt.get("opGasRefund") for receipt in receipts] == fact.expected["opGasRefund"]
    assert [receipt["type"] for receipt in receipts] == [hex(kind) for kind in kinds]
    for receipt in receipts:
        assert receipt == chain.call("eth_getTransactionReceipt", receipt["transactionHash"])


def test_gas_used_and_refund_make_the_gas_of_the_evm(chain: Stored) -> None:
    receipts = chain.call("eth_getBlockReceipts", "0x1")
    assert [int(receipt["gasUsed"], 16) + int(receipt.get("opGasRefund", "0x0"), 16) for receipt in receipts] == [GAS] * 4 + [0]
    assert receipts[4]["cumulativeGasUsed"] == receipts[3]["cumulativeGasUsed"]


def test_a_receipt_without_fee_scalars_has_no_l1_gas() -> None:
    """When all scalars are 0, l1GasUsed of other receipts follows the size; a 0x7D has none."""
    chain = stored([0x7E, 2, 0x7D], {1: 5}, attributes=replace(ATTRIBUTES, base_fee_scalar=0, blob_base_fee_scalar=0))
    _, other, last = chain.call("eth_getBlockReceipts", "0x1")
    assert int(other["l1GasUsed"], 16) > 0
    assert (last["l1GasUsed"], last["l1Fee"], last["blobGasUsed"]) == ("0x0", "0x0", "0x0")


# ---- everything else that reads blocks ------------------------------------------------------------------------------


def test_logs_and_their_index_pass_over_it(chain: Stored) -> None:
    logs = chain.call("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", "address": "0x" + LOG.address.hex()})
    assert [(log["transactionIndex"], log["logIndex"]) for log in logs] == [("0x1", "0x0"), ("0x2", "0x1"), ("0x3", "0x2")]


def test_rows_with_it_are_whole(chain: Stored) -> None:
    assert list(verify_rows(chain.kv)) == []


def test_it_is_no_sample_for_tips() -> None:
    """A full block of one transaction with a tip: the deposit counts as free, the 0x7D not at all."""
    chain = stored([0x7E, 2, 2, 0x7D], {1: 5}, gas_limit=3 * GAS)
    assert chain.call("eth_maxPriorityFeePerGas") == hex(1_100_000)
    (rewards,) = chain.call("eth_feeHistory", "0x1", "0x1", [0, 50, 100])["reward"]
    assert rewards == ["0x0", hex(10**6), hex(10**6)]


@pytest.mark.parametrize("asked", ["0x7d", "0x7D", 125])
@pytest.mark.parametrize("method", ["eth_call", "eth_estimateGas", "eth_createAccessList", "debug_traceCall"])
def test_calls_of_its_type_are_refused(chain: Stored, method: str, asked: Any) -> None:
    answer = chain.call(method, {"to": "0x" + "10" * 20, "type": asked}, "latest")
    assert answer["error"] == {"code": -32000, "message": "transaction type not supported: received type 125"}


def test_nobody_can_send_it(chain: Stored) -> None:
    answer = chain.call("eth_sendRawTransaction", "0x" + chain.block.transactions[4].hex())
    assert answer["error"] == {"code": -32000, "message": "transaction type not supported: received type 125"}
