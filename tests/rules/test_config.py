"""A configuration written as a geth genesis and read again is the same one: witness files depend on it."""

import json
from dataclasses import replace

import pytest

from genesis.registry import registry
from l2engine.errors import ConfigError
from l2engine.rules.config import Activation, chain_config, geth_config
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
