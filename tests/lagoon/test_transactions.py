"""Transaction 0x7D against the Lagoon facts: its bytes, its hash, and what does not decode."""

import pytest

from l2engine.errors import DecodeError
from l2engine.types import rlp
from l2engine.types.native_functions import first_undecodable, ordered_root
from l2engine.types.transaction import GasRefund, PostExecutionTransaction
from l2engine.types.transaction_codec import decode_transaction, encode_transaction, recover_sender
from tests.lagoon.facts import Fact, facts, unhex


@facts("transactions.json", "post_exec_tx")
def test_fields_and_bytes_both_ways(fact: Fact) -> None:
    given, expected = fact.input, fact.expected
    entries = tuple(GasRefund(entry["index"], entry["gas_refund"]) for entry in given["entries"])
    raw = unhex(expected["transaction"])
    tx = PostExecutionTransaction(given["version"], given["block_number"], entries, raw)
    assert decode_transaction(raw) == tx
    assert encode_transaction(tx) == raw
    assert (tx.data, tx.hash) == (unhex(expected["payload"]), unhex(expected["hash"]))
    assert rlp.encode(raw) == unhex(expected["network_rlp"])
    assert recover_sender(tx) == unhex(expected["sender"])
    assert first_undecodable([raw]) is None


@facts("transactions.json", "post_exec_decode")
def test_bytes_that_are_no_transaction(fact: Fact) -> None:
    raw = unhex(fact.input["transaction"])
    with pytest.raises(DecodeError):
        decode_transaction(raw)
    assert fact.expected["valid"] is False and first_undecodable([raw]) is not None


@facts("transactions.json", "transactions_root")
def test_root_over_its_bytes(fact: Fact) -> None:
    raws = [unhex(raw) for raw in fact.input["transactions"]]
    assert first_undecodable(raws) is None
    assert ordered_root(raws) == unhex(fact.expected["transactions_root"])
