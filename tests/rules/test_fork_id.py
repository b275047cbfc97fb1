"""Fork ids against go-ethereum's and op-reth's (vectors devp2p/forkid.json)."""

import json
from typing import Any

import pytest

from genesis.registry import registry
from l2engine.rules.config import chain_config
from l2engine.rules.fork_id import ForkId, ForkPoints, Verdict, fork_points
from tests.helpers.vectors import VECTORS

PATH = VECTORS / "devp2p/forkid.json"
FACTS: dict[str, Any] = json.loads(PATH.read_text()) if PATH.is_file() else {"networks": {}, "validation": []}
REGISTERED = {"base-mainnet": "mainnet/base", "op-sepolia": "sepolia/op"}
VERDICTS = {"accept": Verdict.ACCEPTED} | {f"reject: {verdict.value}": verdict for verdict in Verdict}


def points(network: str) -> ForkPoints:
    """The points as the vectors list them; of mainnet also without its forks by time."""
    name, _, without = network.partition("-without-")
    given = FACTS["networks"][name]
    times = () if without else tuple(given["time_forks"])
    return ForkPoints(bytes.fromhex(given["genesis"][2:]), tuple(given["block_forks"]), times)


def fork_id(row: dict[str, Any], prefix: str = "") -> ForkId:
    return ForkId(bytes.fromhex(row[prefix + "hash"][2:]), row[prefix + "next"])


@pytest.mark.parametrize(
    ("network", "case"),
    [pytest.param(name, case, id=f"{name}-{i}") for name, given in FACTS["networks"].items() for i, case in enumerate(given["cases"])],
)
def test_ids_along_a_chain(network: str, case: dict[str, Any]) -> None:
    assert points(network).at(case["head"], case["time"]) == fork_id(case)


@pytest.mark.parametrize("case", [pytest.param(case, id=str(i)) for i, case in enumerate(FACTS["validation"])])
def test_verdicts_on_peers(case: dict[str, Any]) -> None:
    assert points(case["config"]).judge(fork_id(case, "remote_"), case["head"], case["time"]) is VERDICTS[case["result"]]


@pytest.mark.parametrize("network", sorted(REGISTERED.keys() & FACTS["networks"].keys()))
def test_points_of_a_registered_chain(network: str) -> None:
    """Delta and forks of before the genesis are left out; later forks than the vectors know come after theirs."""
    chain = registry().chains[REGISTERED[network]]
    found, listed = fork_points(chain_config(chain.geth_config()), chain.block_0_hash, chain.genesis_time), points(network)
    assert (found.genesis, found.blocks) == (listed.genesis, listed.blocks)
    assert found.times[: len(listed.times)] == listed.times


def test_a_fork_by_block_that_has_not_come_ends_the_count() -> None:
    chain = ForkPoints(bytes(32), (100,), (2_000_000_000,))
    assert chain.at(99, 2_000_000_001) == ForkId(chain.at(0, 0).hash, 100)
