"""A configuration written as a geth genesis and read again is the same one: witness files depend on it."""

import json
from dataclasses import replace

import pytest

from genesis.registry import registry
from l2engine.errors import ConfigError
from l2engine.rules.config import DEV_RULES, Activation, chain_config, geth_config
from l2engine.rules.forks import KARST
from tests.agreement.fuzz import FORKS, rules


def test_every_registered_chain_is_described() -> None:
    chains = [chain_config(chain.geth_config()) for chain in registry().chains.values()]
    assert len(chains) > 20
    for config in chains:
        assert chain_config(json.loads(json.dumps(geth_config(config)))) == config


@pytest.mark.parametrize("since", [0, 1000])
@pytest.mark.parametrize("fork", FORKS, ids=lambda fork: fork.name)
def test_every_fork_is_described(fork, since) -> None:
    config = rules(fork, since)
    assert chain_config(json.loads(json.dumps(geth_config(config)))) == config


def test_blob_schedules_and_the_deposit_contract_are_kept() -> None:
    blobs = {"target": 4, "max": 7, "baseFeeUpdateFraction": 123_456}
    config = chain_config({"chainId": 1, "terminalTotalDifficulty": 0, "cancunTime": 5, "blobSchedule": {"cancun": blobs}})
    assert geth_config(config)["blobSchedule"]["cancun"] == blobs
    assert chain_config(geth_config(config)) == config


def test_what_no_genesis_can_say_is_refused() -> None:
    config = replace(rules(KARST), activations=(Activation(KARST, block=7),))
    with pytest.raises(ConfigError, match="no genesis describes"):
        geth_config(config)


def test_a_dev_chains_rule_is_described_and_read() -> None:
    config = replace(rules(KARST), equal_timestamps=True)
    document = json.loads(json.dumps(geth_config(config)))
    assert document["l2engine"] == {"equalTimestamps": True}
    assert chain_config(document) == config
    assert not chain_config(document | {"l2engine": {"equalTimestamps": False}}).equal_timestamps
    assert (config.earliest_child(7), rules(KARST).earliest_child(7)) == (7, 8)


@pytest.mark.parametrize(
    "section", [{}, True, "shared", [], {"equalTimestamps": "true"}, {"equalTimestamps": True, "more": 1}, {"more": 1}]
)
def test_a_rule_of_ours_that_is_not_known_is_refused(section: object) -> None:
    with pytest.raises(ConfigError, match=r"config\.l2engine"):
        chain_config(geth_config(rules(KARST)) | {"l2engine": section})


def test_an_ethereum_chain_has_no_rule_of_ours() -> None:
    with pytest.raises(ConfigError, match="an OP dev chain"):
        chain_config({"chainId": 1, "terminalTotalDifficulty": 0, "cancunTime": 5, **DEV_RULES})
