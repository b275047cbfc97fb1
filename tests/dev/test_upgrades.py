"""Upgrade deposits of activation blocks, by the published facts and Lagoon's real bundle."""

from pathlib import Path

import pytest

from l2engine.dev.upgrades import read_upgrade
from l2engine.errors import ConfigError
from l2engine.types.base import keccak
from l2engine.types.transaction import DepositTransaction
from l2engine.types.transaction_codec import decode_transaction
from tests.lagoon.facts import BUNDLE, Fact, facts, unhex


@facts("upgrade_transactions.json", "upgrade_transaction")
def test_upgrade_deposit_is_that_of_the_fact(fact: Fact) -> None:
    position, expected = fact.input["position"], fact.expected
    raw = read_upgrade(BUNDLE, "lagoon", True).deposits[{"pre": 0, "post": 29}[position] if isinstance(position, str) else position + 1]
    tx = decode_transaction(raw)
    assert isinstance(tx, DepositTransaction)
    assert (tx.source_hash, tx.sender, tx.to) == tuple(unhex(expected[name]) for name in ("source_hash", "from", "to"))
    assert (tx.mint, tx.value, tx.gas) == (int(expected["mint"]), int(expected["value"]), expected["gas"])
    assert (len(tx.data), keccak(tx.data)) == (expected["data_length"], unhex(expected["data_keccak"]))
    assert tx.is_system_transaction is expected["is_system_tx"]
    assert tx.data == unhex(expected.get("data", "0x" + tx.data.hex()))
    assert raw == unhex(expected.get("transaction", "0x" + raw.hex()))
    assert (tx.hash, len(raw)) == (unhex(expected["transaction_hash"]), expected["transaction_length"])


@facts("activation.json", "activation", fact="upgrade deposits by dependency set")
def test_a_chain_alone_sends_the_bundle_alone(fact: Fact) -> None:
    alone, many = (read_upgrade(BUNDLE, "lagoon", multi) for multi in (False, True))
    assert fact.input["chains_in_dependency_set"] == 1
    assert len(alone.deposits) == fact.expected["count"]
    assert alone.deposits == many.deposits[1:-1]
    assert len(many.deposits) == 30


@facts("activation.json", "activation", fact="gas of the bundle")
@pytest.mark.parametrize("multi_chain", [False, True])
def test_gas_is_added_for_30_deposits_in_any_case(fact: Fact, multi_chain: bool) -> None:
    assert read_upgrade(BUNDLE, "lagoon", multi_chain).gas == fact.expected["added_to_gas_limit"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "cannot read upgrade bundle"),
        ('{"transactions": [{}]}', "intent"),
        ('{"transactions": [1]}', "no upgrade bundle"),
        ("{", "cannot read upgrade bundle .*bundle.json"),
    ],
)
def test_a_file_that_is_no_bundle_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bundle.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_upgrade(path, "lagoon")


def test_a_fork_without_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="jovian has no upgrade bundle"):
        read_upgrade(tmp_path, "jovian")
