"""Lagoon in configurations, in fork ids and on the registered chains, against the Lagoon facts."""

import pytest

from genesis.chains import override_forks
from genesis.registry import registry
from l2engine.errors import ConfigError
from l2engine.rules import forks
from l2engine.rules.config import chain_config, geth_config
from l2engine.rules.fork_id import ForkId, fork_points
from l2engine.rules.forks import KARST, LAGOON
from l2engine.rules.unknown_forks import genesis_key, genesis_times
from l2engine.settings import OVERRIDES
from tests.lagoon.facts import Fact, facts, unhex

TIMES = {fork.name + "Time": 0 for fork in forks.OP_FORKS[1:]}
OP = {"chainId": 901, "bedrockBlock": 0, "optimism": {}, **TIMES}
CHAINS = {"op-sepolia": "sepolia/op", "op-mainnet": "mainnet/op"}


@facts("network.json", "fork_id")
def test_fork_id_after_the_forks_that_passed(fact: Fact) -> None:
    chain = registry().chains[CHAINS[fact.input["network"]]]
    points = fork_points(chain_config(chain.geth_config()), chain.block_0_hash, chain.genesis_time)
    passed = fact.input["passed"]
    assert points.genesis == unhex(fact.input["genesis"])
    assert [*points.blocks, *points.times][: len(passed)] == passed
    number = max((block for block in points.blocks if block in passed), default=0)
    assert points.at(number, passed[-1]) == ForkId(unhex(fact.expected["hash"]), fact.expected["next"])


@facts("network.json", "configuration")
def test_name_of_the_fork(fact: Fact) -> None:
    """Dependency sets and deploy configurations are read by the rollup node and the deployer, not here."""
    where, expected = fact.input["where"], fact.expected
    if where == "config of a geth-form genesis":
        keys = list(geth_config(chain_config(OP)))
        assert keys.index(expected["key"]) == keys.index(expected["after"]) + 1
        with pytest.raises(ConfigError, match="unsupported fork ordering"):
            chain_config(OP | {expected["after"]: 8, expected["key"]: 7})
        assert chain_config(OP | {expected["key"]: 7}).fork_at(1, 7) is LAGOON
    elif where in ("superchain registry, [hardforks]", "rollup.json"):
        assert genesis_times({expected["key"]: 7}) == {"lagoonTime": 7}
    elif where == "deploy configuration":
        assert expected["key"] == "l2GenesisLagoonTimeOffset"
        assert genesis_key(expected["key"]) == expected["key"] and chain_config(OP | {expected["key"]: 7}).unknown_forks == ()
    elif where == "superchain registry, dependency set":
        assert chain_config(OP | {"interop": {"dependencies": {"901": {}}}}) == chain_config(OP)
    else:
        assert where == "fork order"
        assert forks.OP_FORKS.index(LAGOON) == forks.OP_FORKS.index(forks.FORKS_BY_NAME[expected["after"]]) + 1
        row = (LAGOON.l1.value, LAGOON.p256_verify_gas, LAGOON.l1_fee.value, LAGOON.operator_fee.value, LAGOON.extra_data.value)
        names = ("ethereum_rules", "p256_verify_gas", "l1_fee", "operator_fee")
        assert row == (*(expected[name] for name in names), expected["extra_data"].partition(",")[0])
        assert LAGOON.precompile_input_limits == KARST.precompile_input_limits


def test_interop_time_is_any_unknown_fork() -> None:
    """It was Lagoon's name until June 2026; nothing reads it any more, and nothing may be judged after it unread."""
    (unknown,) = chain_config(OP | {"interopTime": 9}).unknown_forks
    assert (unknown.key, unknown.time) == ("interopTime", 9)


def test_a_flag_moves_it() -> None:
    assert "override.lagoon" in OVERRIDES
    config = override_forks(registry().chains["sepolia/op"].geth_config(), {"lagoon": 1_800_000_000})
    assert chain_config(config).fork_at(1, 1_799_999_999) is KARST
    assert chain_config(config).fork_at(1, 1_800_000_000) is LAGOON


@pytest.mark.parametrize("key", ["sepolia/op", "mainnet/op"])
def test_op_chains_are_followed_through_it(key: str) -> None:
    chain = registry().chains[key]
    config = chain_config(chain.geth_config())
    assert config.unknown_forks == ()
    config.require_known(chain.genesis_number + 10**8, 2**63)
    assert config.fork_at(chain.genesis_number + 1, chain.forks["lagoon"]) is LAGOON
