"""OP Sepolia's registered rules, after Lagoon began there: its activation block and a payload with refunds, made and taken."""

from typing import Any

from genesis import loader
from genesis.registry import registry
from l2engine import assembly
from l2engine.chain.engine import EngineSettings
from l2engine.dev.l1 import ImaginedL1
from l2engine.dev.sequencer import Sequencer
from l2engine.dev.upgrades import read_upgrade
from l2engine.types.payload import Status
from tests.chain.test_metering import READS, WARMING, genesis, refunds
from tests.helpers.accounts import signer
from tests.helpers.dev_chain import adopt, open_engine, submit
from tests.lagoon.facts import BUNDLE, facts

LAGOON, CHAIN_ID = 1_796_918_401, 11_155_420  # 10 December 2026


def op_sepolia() -> dict[str, Any]:
    """The registered chain's configuration over a small state, one block before Lagoon."""
    found = genesis("karst")
    return found | {"config": dict(registry().find("op-sepolia").geth_config()), "timestamp": hex(LAGOON - 2)}


def test_a_clock_after_december_10_stops_nobody() -> None:
    loaded = loader.load(op_sepolia())
    assert assembly.check_forks(loaded.config, loaded.header, registry().find("op-sepolia"), now=LAGOON + 7 * 86_400) == []


@facts("activation.json", "activation", fact="gas of the bundle")
def test_payloads_of_lagoon_are_valid(fact: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from l2engine.dev.sequencer import SequencerSettings

    l1 = ImaginedL1(upgrades={"lagoon": read_upgrade(BUNDLE, "lagoon", multi_chain=True)})
    producer = open_engine(op_sepolia(), settings=EngineSettings(builder=WARMING))
    sequencer = Sequencer(producer, ThreadPoolExecutor(1), SequencerSettings(l1=l1))
    activation = sequencer.make_block(LAGOON)
    assert producer.config.fork_at(1, activation.header.timestamp).name == "lagoon"
    assert activation.header.gas_limit == l1.gas_limit + fact.expected["added_to_gas_limit"]
    for name in ("alice", "bob"):
        producer.pool.add(signer(name, CHAIN_ID).sign(to=READS, gas=60_000))
    block = sequencer.make_block(LAGOON + 2)
    assert refunds(block)
    verifier = open_engine(op_sepolia())
    adopt(verifier, activation)
    assert submit(verifier, block).status is Status.VALID
