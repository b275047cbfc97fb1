"""The deposits of the activation block against the Lagoon facts: source hashes and encodings."""

from l2engine.rules.deposits import upgrade_source
from l2engine.types.base import keccak
from l2engine.types.transaction_codec import decode_transaction, encode_transaction
from tests.lagoon.facts import Fact, facts, unhex
from tests.lagoon.upgrade import funding, of_bundle, set_feature


@facts("upgrade_transactions.json", "upgrade_transaction")
def test_deposit_and_its_encoding(fact: Fact) -> None:
    index, expected = fact.input["bundle_index"], fact.expected
    tx = of_bundle(index) if index is not None else {"pre": set_feature, "post": funding}[fact.input["position"]]()
    assert tx.source_hash == upgrade_source(fact.input["intent"]) == unhex(expected["source_hash"])
    assert (tx.sender, tx.to) == (unhex(expected["from"]), unhex(expected["to"]))
    assert (tx.mint, tx.value, tx.gas) == (int(expected["mint"]), int(expected["value"]), expected["gas"])
    assert tx.is_system_transaction is expected["is_system_tx"]
    assert (len(tx.data), keccak(tx.data)) == (expected["data_length"], unhex(expected["data_keccak"]))
    assert tx.data == unhex(expected.get("data", "0x" + tx.data.hex()))
    raw = encode_transaction(tx)
    assert (len(raw), keccak(raw)) == (expected["transaction_length"], unhex(expected["transaction_hash"]))
    assert raw == unhex(expected.get("transaction", "0x" + raw.hex()))
    assert encode_transaction(decode_transaction(raw)) == raw
