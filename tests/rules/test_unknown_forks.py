"""A key in the form of a fork that no table knows is a fork: whatever its name, it is noticed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis.registry import registry
from l2engine.errors import ConfigError, UnknownFork
from l2engine.rules.config import ChainConfig, chain_config, geth_config
from l2engine.rules.forks import FORKS_BY_NAME
from l2engine.rules.unknown_forks import SUFFIXES, genesis_times

OP: dict[str, Any] = {"chainId": 901, "bedrockBlock": 0, "regolithTime": 0, "optimism": {}}
ETHEREUM: dict[str, Any] = {"chainId": 1, "terminalTotalDifficulty": 0, "londonBlock": 0}
names = st.text(min_size=0, max_size=12)
made_up = st.tuples(names, st.sampled_from(SUFFIXES)).map("".join)
numbers = st.integers(0, 2**64 - 1)


def is_settled(key: str) -> bool:
    """Whether the engine knows this key, or that it means nothing."""
    known = {"eip150Block", "eip155Block", "eip158Block", "mergeNetsplitBlock", "daoForkBlock", "pectraBlobScheduleTime", "blockTime"}
    known |= {"pectra_blob_schedule_time", "block_time"}
    parts = {name.split("_")[0] for name in FORKS_BY_NAME}
    return key in known or any(key.startswith(part) for part in parts)


@given(made_up, numbers, st.sampled_from([OP, ETHEREUM]))
def test_any_made_up_key_is_caught(key: str, number: int, base: dict[str, Any]) -> None:
    if is_settled(key):
        return
    config = chain_config(base | {key: number})
    (fork,) = config.unknown_forks
    assert (fork.key, fork.block if key.endswith("Block") else fork.time) == (key, number)
    at = (number, 0) if key.endswith("Block") else (0, number)
    with pytest.raises(UnknownFork) as caught:
        config.require_known(*at)
    assert fork.name == caught.value.name and fork.name in str(caught.value)
    if number:
        config.require_known(max(0, at[0] - 1), max(0, at[1] - 1))


@given(names.map(lambda name: name + "_time"), numbers)
def test_any_made_up_key_of_a_registry_is_caught(key: str, number: int) -> None:
    if is_settled(key):
        return
    hardforks = {"canyon_time": 0, "delta_time": 0, "pectra_blob_schedule_time": 5, "keep_karst_upgrade_gas": True, key: number}
    (fork,) = chain_config(OP | genesis_times(hardforks)).unknown_forks
    assert fork.time == number


@pytest.mark.parametrize("key", ["interopTime", "amsterdamTime", "bpo3Time", "azulTime", "karst_time", "verkleBlock", "shanghaiBlock"])
def test_forks_of_other_builds_are_caught(key: str) -> None:
    assert [fork.key for fork in chain_config(OP | {key: 7}).unknown_forks] == [key]


def test_registered_chains_have_no_other_unknown_forks() -> None:
    found = {fork.name for chain in registry().chains.values() for fork in chain_config(chain.geth_config()).unknown_forks}
    assert found == {"azul"}


def test_null_schedules_nothing() -> None:
    assert chain_config(OP | {"neverlandTime": None}).unknown_forks == ()


@pytest.mark.parametrize("config", [{"daoForkBlock": 5}, {"daoForkBlock": 0, "daoForkSupport": True}, {"eip155Block": 3}])
def test_keys_without_a_rule_are_tolerated(config: dict[str, Any]) -> None:
    assert chain_config(ETHEREUM | config).unknown_forks == ()


def test_the_dao_fork_is_not_known() -> None:
    (fork,) = chain_config(ETHEREUM | {"daoForkBlock": 5, "daoForkSupport": True}).unknown_forks
    assert fork.block == 5


@pytest.mark.parametrize(("value", "number"), [("12", 12), ("0xc", 12), (12.0, 12), (2**70, 2**70)])
def test_numbers_in_every_form_are_read(value: object, number: int) -> None:
    assert chain_config(OP | {"neverlandTime": value}).unknown_forks[0].time == number


@pytest.mark.parametrize("value", ["soon", "", -1, True, 1.5, float("inf"), float("nan"), [], {}])
def test_no_number_is_refused_with_the_key(value: object) -> None:
    with pytest.raises(ConfigError, match="neverlandTime"):
        chain_config(OP | {"neverlandTime": value})


def test_the_first_fork_to_begin_is_named() -> None:
    config = chain_config(OP | {"secondTime": 20, "firstTime": 10})
    with pytest.raises(UnknownFork) as caught:
        config.require_known(1, 30)
    assert (caught.value.name, caught.value.time, caught.value.block) == ("first", 10, None)


def test_unknown_forks_survive_a_witness_file() -> None:
    config: ChainConfig = chain_config(OP | {"neverlandTime": 20, "some_fork_time": 5, "strangeBlock": 7})
    assert chain_config(json.loads(json.dumps(geth_config(config)))) == config
    assert len(config.unknown_forks) == 3


def test_text_has_the_date() -> None:
    assert str(chain_config(OP | {"neverlandTime": 1_796_918_401}).unknown_forks[0]) == (
        "neverland (neverlandTime 1796918401, 2026-12-10 16:00:01 UTC)"
    )
    assert str(chain_config(OP | {"neverlandTime": 2**64 - 1}).unknown_forks[0]) == f"neverland (neverlandTime {2**64 - 1})"
    assert str(chain_config(OP | {"strangeBlock": 7}).unknown_forks[0]) == "strange (strangeBlock 7)"
