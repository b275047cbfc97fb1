"""The receipt of a 0x7D against the Lagoon facts: its forms, and its place in the receipts trie."""

import pytest

from l2engine.errors import DecodeError
from l2engine.types.native_functions import ordered_root
from l2engine.types.receipt import decode_receipt, merge_blooms, post_execution_receipt
from tests.lagoon.facts import Fact, facts, unhex


@facts("receipts.json", "post_exec_receipt")
def test_forms_of_the_receipt(fact: Fact) -> None:
    if "receipt" in fact.input:
        assert_no_block_has_it(fact)
        return
    receipt = post_execution_receipt(fact.input["previous_cumulative_gas_used"])
    consensus = unhex(fact.expected["consensus"])
    assert receipt.encode() == receipt.encode_for_root() == consensus
    assert receipt.encode_eth68() == unhex(fact.expected["network_rlp_eth68"])
    assert receipt.encode_eth69() == unhex(fact.expected["eth69_fields"])
    assert decode_receipt(consensus) == receipt


def assert_no_block_has_it(fact: Fact) -> None:
    """Either it does not decode, or it decodes to another receipt than execution gives."""
    raw = unhex(fact.input["receipt"])
    if fact.expected["reason"] == "status must be 1":
        found = decode_receipt(raw)
        assert found.status == 0
        assert post_execution_receipt(found.cumulative_gas_used).encode_for_root() != raw
    else:
        with pytest.raises(DecodeError):
            decode_receipt(raw)


@facts("receipts.json", "receipts_root")
def test_root_and_bloom_with_the_receipt(fact: Fact) -> None:
    receipts = [decode_receipt(unhex(raw)) for raw in fact.input["receipts"]]
    assert ordered_root([receipt.encode_for_root() for receipt in receipts]) == unhex(fact.expected["receipts_root"])
    assert merge_blooms(receipt.bloom for receipt in receipts) == unhex(fact.expected["logs_bloom"])
