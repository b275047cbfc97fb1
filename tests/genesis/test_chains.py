"""The registered chains: our facts equal the registry's, every genesis with a public allocation has its registered hash."""

import json
from pathlib import Path

import pytest

from genesis import chains, loader
from genesis.chains import RegisteredChain, override_forks
from genesis.registry import check_dev_rules, registry
from l2engine import assembly
from l2engine.errors import ConfigError, GenesisMismatch, UnknownFork
from l2engine.rules import forks
from l2engine.rules.config import DEV_RULES, chain_config
from l2engine.settings import Settings
from l2engine.store.kv import MemoryKeyValue
from tests.helpers.vectors import VECTORS, needs_vectors

INDEX = VECTORS / "superchain/index.json"
REGISTRY = json.loads(INDEX.read_text())["chains"] if INDEX.is_file() else {}
WITH_GENESIS = sorted(key for key, entry in REGISTRY.items() if "genesis" in entry)
TIMES = ("canyon", "delta", "ecotone", "fjord", "granite", "holocene", "isthmus", "jovian", "karst")
SINCE = VECTORS / "superchain-2026.json"
LAGOON_SEPOLIA = 1_796_918_401


@needs_vectors
def test_facts_equal_the_registrys():
    since = json.loads(SINCE.read_text())
    assert set(registry().chains) == set(REGISTRY) and len(REGISTRY) == 55
    for key, chain in registry().chains.items():
        entry = REGISTRY[key]
        config = json.loads((VECTORS / f"superchain/chains/{key}.json").read_text())["config"]
        constants = config["optimism"]
        assert (chain.name, chain.chain_id, chain.genesis_number) == (entry["name"], entry["chain_id"], entry["l2_genesis_number"])
        assert "0x" + chain.genesis_hash.hex() == entry["l2_genesis_hash"]
        assert (chain.elasticity, chain.denominator, chain.denominator_canyon) == (
            constants["eip1559_elasticity"],
            constants["eip1559_denominator"],
            constants["eip1559_denominator_canyon"],
        )
        times = {fork: entry["hardforks"][fork + "_time"] for fork in TIMES if fork + "_time" in entry["hardforks"]}
        later = {"lagoon": since["lagoon"].get(key), "azul": since["left_the_op_stack"].get(key, {}).get("azul_time")}
        assert dict(chain.forks) == times | {fork: time for fork, time in later.items() if time is not None}
        assert chain.retired == (key in since["retired"])
        assert list(chain.dependency_set) == next((ids for ids in since["dependency_sets"] if chain.chain_id in ids), [])
        assert chain.time_unknown == (("karst",) if key in since["karst_time_unknown"] else ())


def test_lagoon_is_judged_by_its_own_rules():
    config = chain_config(registry().chains["sepolia/op"].geth_config())
    assert config.fork_at(1, LAGOON_SEPOLIA - 1) is forks.KARST
    config.require_known(1, LAGOON_SEPOLIA - 1)
    assert config.fork_at(1, LAGOON_SEPOLIA) is forks.LAGOON
    config.require_known(1, LAGOON_SEPOLIA)


@pytest.mark.parametrize(("key", "azul"), [("mainnet/base", 1_779_991_200), ("sepolia/base", 1_776_708_000)])
def test_base_is_followed_up_to_azul(key: str, azul: int):
    config = chain_config(registry().chains[key].geth_config())
    config.require_known(40_000_000, azul - 1)
    with pytest.raises(UnknownFork, match=r"azul.* Base left the OP Stack"):
        config.require_known(40_000_000, azul)


def test_warnings_name_retired_chains_and_times_that_are_not_known():
    said = {key: chain.warnings(chain_config(chain.geth_config())) for key, chain in registry().chains.items()}
    retired = {key for key, lines in said.items() if "retired" in " ".join(lines)}
    assert {key for key, lines in said.items() if lines} == retired | {"mainnet/worldchain", "sepolia/worldchain"}
    assert len(retired) == 8 and "Lisk is retired" in said["mainnet/lisk"][0]
    assert "--override.karst TIME" in said["mainnet/worldchain"][0]


def test_a_time_given_by_hand_ends_the_warning():
    chain = registry().chains["mainnet/worldchain"]
    assert chain.warnings(chain_config(override_forks(chain.geth_config(), {"karst": 1_790_000_000}))) == []


def test_chains_are_found_by_their_first_block():
    for key in ("mainnet/op", "sepolia/op"):
        chain = registry().chains[key]
        assert registry().with_genesis(chain.chain_id, chain.block_0_hash) is chain
        assert registry().with_genesis(chain.chain_id + 1, chain.block_0_hash) is None


@needs_vectors
@pytest.mark.parametrize("key", WITH_GENESIS)
def test_genesis_hash(key: str):
    entry = REGISTRY[key]["genesis"]
    genesis = chains.load(registry().find(key), VECTORS / "superchain" / entry["file"])
    assert "0x" + genesis.header.state_root.hex() == entry["state_root"]
    assert "0x" + genesis.hash.hex() == entry["computed_block_hash"]
    assert len(genesis.alloc) == entry["accounts"]


@needs_vectors
def test_another_chains_allocation_is_refused_with_both_hashes():
    with pytest.raises(GenesisMismatch) as caught:
        chains.load(registry().find("zora-mainnet"), VECTORS / "superchain/genesis/mainnet/mode.json.zst")
    assert caught.value.expected == registry().chains["mainnet/zora"].genesis_hash != caught.value.got
    assert caught.value.expected.hex() in str(caught.value) and caught.value.got.hex() in str(caught.value)


@pytest.mark.parametrize("key", sorted(registry().chains))
def test_every_chain_makes_a_configuration(key: str):
    chain = registry().chains[key]
    config = chain_config(chain.geth_config())
    assert config.chain_id == chain.chain_id and config.is_optimism and config.bedrock_block == chain.genesis_number
    assert (config.eip_1559.elasticity, config.eip_1559.denominator, config.eip_1559.denominator_canyon) == (
        (chain.elasticity, chain.denominator, chain.denominator_canyon)
    )
    unknown = {fork.name for fork in config.unknown_forks}
    for fork, time in chain.forks.items():
        if fork in unknown:
            continue
        number = chain.genesis_number + 1
        at = config.fork_at(number, max(time, chain.genesis_time))
        assert forks.OP_FORKS.index(at) >= forks.OP_FORKS.index(forks.FORKS_BY_NAME[fork])
        if time > chain.genesis_time:
            before = config.fork_at(number, time - 1)
            assert forks.OP_FORKS.index(before) < forks.OP_FORKS.index(forks.FORKS_BY_NAME[fork])
            assert forks.FORKS_BY_NAME[fork] not in config.activated((number, time), (number + 1, time + 2))


def test_op_mainnet_before_and_after_bedrock():
    config = chain_config(registry().chains["mainnet/op"].geth_config())
    assert config.fork_at(0, 0) is forks.MUIR_GLACIER
    assert config.fork_at(3_950_000, 0) is forks.BERLIN
    assert config.fork_at(105_235_062, 1_686_068_901).is_optimism is False
    assert config.fork_at(105_235_063, 1_686_068_903) is forks.REGOLITH
    assert config.fork_at(110_000_000, 1_704_992_401) is forks.CANYON


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("mainnet/op", "mainnet/op"),
        ("op-mainnet", "mainnet/op"),
        ("OP-Mainnet", "mainnet/op"),
        ("optimism", "mainnet/op"),
        ("base-sepolia", "sepolia/base"),
        ("base", "mainnet/base"),
        ("soneium-minato-sepolia", "sepolia/soneium-minato"),
        ("unichain-sepolia", "sepolia/unichain"),
        ("unichain", "mainnet/unichain"),
        ("shape", "mainnet/shape"),
        ("optimism_sepolia", "sepolia/op"),
    ],
)
def test_names(name: str, key: str):
    assert registry().find(name).key == key


def test_every_chain_is_found_by_both_its_names():
    for key in registry().chains:
        network, short = key.split("/")
        assert registry().find(key).key == registry().find(f"{short}-{network}").key == key


def test_an_unknown_name_is_answered_with_what_there_is():
    with pytest.raises(ConfigError, match="base-sepolia"):
        registry().find("base-seplia")


@pytest.mark.parametrize("key", ["mainnet/ink", "sepolia/base"])
def test_without_an_allocation_the_error_says_where_to_get_it(key: str):
    with pytest.raises(ConfigError) as caught:
        chains.load(registry().find(key), None)
    for needed in (f"superchain/extra/genesis/{key}.json.zst", "dictionary", "superchain-registry", "--genesis"):
        assert needed in str(caught.value)


def test_a_chain_from_before_bedrock_says_that_its_state_is_needed():
    with pytest.raises(ConfigError, match="OP Mainnet began before Bedrock"):
        chains.load(registry().find("op-mainnet"), None)


def test_overrides_move_the_implied_ethereum_fork_too():
    config = override_forks(registry().chains["sepolia/op"].geth_config(), {"karst": 1_790_000_000, "fjord": 1_720_000_000})
    assert (config["karstTime"], config["osakaTime"], config["fjordTime"]) == (1_790_000_000, 1_790_000_000, 1_720_000_000)
    assert chain_config(config).fork_at(1, 1_789_999_999) is forks.JOVIAN
    assert "osakaTime" not in override_forks({"chainId": 1}, {"karst": 5})


@pytest.mark.parametrize("chain", registry().chains.values(), ids=lambda chain: chain.key)
def test_no_registered_chain_has_a_dev_chains_rule(chain: RegisteredChain):
    config = chain_config(chain.geth_config())
    assert not config.equal_timestamps
    assert check_dev_rules(config) is config
    with pytest.raises(ConfigError, match="is for dev chains"):
        check_dev_rules(chain_config(chain.geth_config() | DEV_RULES))


@needs_vectors
def test_a_genesis_file_gives_no_registered_chain_a_dev_chains_rule(tmp_path: Path):
    """Neither beside --network, which takes the registry's rules, nor alone, nor from a database that has the rule."""
    document = loader.read(VECTORS / "superchain/genesis/sepolia/op.json.zst")
    document["config"] = registry().chains["sepolia/op"].geth_config() | DEV_RULES
    file = tmp_path / "genesis.json"
    file.write_text(json.dumps(document))
    assert not chains.load(registry().find("op-sepolia"), file).config.equal_timestamps
    with pytest.raises(ConfigError, match="is for dev chains"):
        assembly.read_genesis(Settings(genesis=file))
    kv, genesis = MemoryKeyValue(), loader.load(file)
    assembly.write(kv, genesis)
    with pytest.raises(ConfigError, match="is for dev chains"):
        assembly.prepare_rules(kv, Settings())


@needs_vectors
def test_an_override_reaches_the_rules():
    genesis = chains.load(registry().find("sepolia/op"), VECTORS / "superchain/genesis/sepolia/op.json.zst", {"karst": 1_790_000_000})
    assert genesis.config.fork_at(9, 1_789_999_999) is forks.JOVIAN
    assert genesis.config.fork_at(9, 1_790_000_000) is forks.KARST
    assert genesis.hash == registry().chains["sepolia/op"].genesis_hash


@needs_vectors
def test_a_fork_moved_to_the_start_leaves_block_0_as_registered():
    genesis = chains.load(registry().find("sepolia/op"), VECTORS / "superchain/genesis/sepolia/op.json.zst", {"canyon": 0})
    assert genesis.config.fork_at(1, genesis.header.timestamp + 2) is forks.CANYON
    assert genesis.hash == registry().chains["sepolia/op"].genesis_hash


@pytest.mark.parametrize("key", ["mainnet/celo", "sepolia/celo-sep"])
def test_a_chain_with_rules_of_its_own_is_refused(key: str):
    with pytest.raises(ConfigError, match="transaction types and fee currencies of its own"):
        chains.load(registry().find(key), None)
