"""--chain-file: a file of the user's adds registered chains or replaces their facts, without a release."""

import json
from pathlib import Path
from typing import Any

import pytest

from genesis.registry import registry
from l2engine.errors import ConfigError
from l2engine.rules.config import chain_config
from tests.helpers.vectors import VECTORS, needs_vectors

NEW = {
    "key": "sepolia/own",
    "name": "Own Testnet",
    "chain_id": 4_242,
    "genesis_hash": "0x" + "ab" * 32,
    "genesis_time": 1_790_000_000,
    "eip1559": [6, 50, 250],
    "forks": {"canyon": 0, "delta": 0, "ecotone": 0, "fjord": 0, "granite": 0, "holocene": 0, "isthmus": 0, "jovian": 0, "karst": 0},
}


def write(tmp_path: Path, **document: Any) -> Path:
    path = tmp_path / "chains.json"
    path.write_text(json.dumps(document))
    return path


def test_a_new_chain_is_found_beside_the_built_in_ones(tmp_path: Path):
    chains = registry(write(tmp_path, chains=[NEW]))
    own = chains.find("own-sepolia")
    assert (own.chain_id, own.genesis_number, own.name) == (4_242, 0, "Own Testnet")
    assert chains.with_genesis(4_242, bytes.fromhex("ab" * 32)) is own
    assert chain_config(own.geth_config()).fork_at_time(own.genesis_time).name == "karst"
    assert set(chains.chains) == {*registry().chains, "sepolia/own"}


def test_a_fork_time_is_added_moved_or_taken_away_and_other_facts_stay(tmp_path: Path):
    rows = [
        {"key": "mainnet/worldchain", "forks": {"karst": 1_790_000_000}},
        {"key": "sepolia/op", "forks": {"lagoon": 1_800_000_000, "neverland": 1_810_000_000}},
        {"key": "mainnet/op", "forks": {"lagoon": None}},
    ]
    chains, built_in = registry(write(tmp_path, chains=rows)).chains, registry().chains
    world = chains["mainnet/worldchain"]
    assert world.forks == built_in["mainnet/worldchain"].forks | {"karst": 1_790_000_000} and world.time_unknown == ()
    assert world.genesis_hash == built_in["mainnet/worldchain"].genesis_hash
    sepolia = chain_config(chains["sepolia/op"].geth_config())
    assert sepolia.fork_at_time(1_799_999_999).name == "karst" and sepolia.fork_at_time(1_800_000_000).name == "lagoon"
    assert [fork.name for fork in sepolia.unknown_forks] == ["neverland"]  # later than this build: the node warns
    assert "lagoon" not in chains["mainnet/op"].forks


def test_dependency_sets(tmp_path: Path):
    chains = registry(write(tmp_path, chains=[NEW], dependency_sets=[[4_242, 763_373]])).chains
    assert chains["sepolia/own"].dependency_set == chains["sepolia/ink"].dependency_set == (4_242, 763_373)
    assert chains["mainnet/op"].dependency_set == (10, 130)


@needs_vectors
@pytest.mark.parametrize("key", ["sepolia/op", "mainnet/unichain", "mainnet/ink"])
def test_a_file_of_the_registry_says_what_is_built_in(tmp_path: Path, key: str):
    config = json.loads((VECTORS / f"superchain/chains/{key}.json").read_text())["config"]
    path = tmp_path / "some.toml"
    path.write_text(toml(config))
    chains = registry(path).chains
    assert chains[key] == registry().chains[key]
    assert set(chains) == set(registry().chains)


def toml(table: dict[str, Any], name: str = "") -> str:
    """The registry's TOML form of a configuration of tables, texts and numbers."""
    plain = [f"{key} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, dict)]
    below = [toml(value, f"{name}.{key}".strip(".")) for key, value in table.items() if isinstance(value, dict)]
    return "\n".join([f"[{name}]"] * bool(name) + plain + below)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({}, "key must be a text"),
        ({"key": "own"}, "key must be network/chain"),
        ({"key": "sepolia/own"}, "sepolia/own: name is missing"),
        ({**NEW, "eip1559": [6, 50]}, "eip1559 must be"),
        ({**NEW, "eip1559": [6, 0, 250]}, "eip1559 must not be 0"),
        ({**NEW, "forks": {"karst": "soon"}}, "forks.karst must be a number"),
        ({**NEW, "forks": [1]}, "forks must be an object"),
        ({**NEW, "chain_id": -1}, "chain_id must be a number"),
        ({**NEW, "genesis_hash": "0x12"}, "genesis_hash must be 32 bytes"),
        ({**NEW, "retired": 1}, "retired must be true or false"),
        ({**NEW, "colour": "red"}, "unknown field 'colour'"),
        (5, "list of objects"),
    ],
)
def test_a_mistake_is_named_with_the_file_and_the_field(tmp_path: Path, row: Any, text: str):
    path = write(tmp_path, chains=[row])
    with pytest.raises(ConfigError, match=text) as caught:
        registry(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("content", ["", "[", "[]", '{"chains": 5}', '{"dependency_sets": [5]}', '{"dependency_sets": [["a"]]}'])
@pytest.mark.parametrize("name", ["chains.json", "chains.toml"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: str, name: str):
    path = tmp_path / name
    path.write_text(content or "=")
    with pytest.raises(ConfigError):
        registry(path)
