"""A chain with real predeploys climbs from Holocene to Lagoon over HTTP, each activation block with its real upgrade deposits.

A node with a refund policy sequences; another verifies. Both are started again in the middle, derive the chain from its attributes,
and derive it again across Lagoon's activation after L1 was reorganised.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genesis import loader
from genesis.chains import L1_FORKS
from l2engine.dev.l1 import ImaginedL1
from l2engine.dev.upgrades import Upgrade, read_upgrade
from l2engine.types.header import Header
from l2engine.types.transaction_codec import decode_transaction
from tests.helpers.accounts import Signer, signer
from tests.helpers.rollup_node import EngineError, RollupNode
from tests.helpers.running import RunningNode, send, token
from tests.helpers.vectors import VECTORS, json_lines
from tests.lagoon.facts import BUNDLE, data

RECORDINGS = VECTORS / "recordings-upgrades"
STARTS = {"isthmus": 3, "jovian": 6, "karst": 9, "lagoon": 12}
"""The block that each fork begins with."""
DEPOSITS = {"isthmus": 8, "jovian": 5, "karst": 31, "lagoon": 28}
"""How many upgrade deposits it holds."""
LAST = 16
CHAIN_ID = 902_006
READS = bytes([1]) * 20
SLOT_READER = "6001545060025450"  # SLOAD(1), SLOAD(2)
PROXY_ADMIN = "0x4200000000000000000000000000000000000018"
IMPLEMENTATION = "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc"  # EIP-1967

pytestmark = pytest.mark.skipif(not BUNDLE.is_file(), reason=f"no test vectors at {VECTORS} (set L2ENGINE_VECTORS)")


def genesis() -> dict[str, Any]:
    """The recorded chain's state at Holocene, with funded users, a contract to call, and four forks to come."""
    found = json.loads((RECORDINGS / "holocene" / "genesis.json").read_text())
    for name, block in STARTS.items():
        time = int(found["timestamp"], 16) + 2 * block
        found["config"] |= {f"{name}Time": time} | ({f"{L1_FORKS[name]}Time": time} if name in L1_FORKS else {})
    found["alloc"] |= {"0x" + signer(name).address.hex(): {"balance": hex(10**20)} for name in ("alice", "bob")}
    found["alloc"]["0x" + READS.hex()] = {"balance": "0x0", "code": "0x" + SLOT_READER}
    return found


def upgrades() -> dict[str, Upgrade]:
    """The last deposits of op-geth's recorded activation blocks, and Lagoon's from its bundle."""
    found = {"lagoon": read_upgrade(BUNDLE, "lagoon")}
    for row in json_lines(RECORDINGS / "ladder" / "blocks.jsonl.gz"):
        for name in DEPOSITS.keys() & set(row["activates"]):
            attributes = row["forkchoiceUpdated"]["params"][1]
            deposits = [bytes.fromhex(raw[2:]) for raw in attributes["transactions"] if raw.startswith("0x7e")]
            gas = sum(decode_transaction(raw).gas for raw in deposits[1:]) if name == "karst" else 0
            found[name] = Upgrade(tuple(deposits[-DEPOSITS[name] :]), gas)
    return found


class Node:
    """An engine over HTTP that can be started again."""

    def __init__(self, folder: Path, genesis_file: Path, *flags: str) -> None:
        self._arguments = ("run", "--genesis", genesis_file, *flags)
        self._folder = folder
        self._running = self._start()

    def _start(self) -> RunningNode:
        return RunningNode(*self._arguments, datadir=self._folder)

    def call(self, method: str, *params: Any) -> Any:
        answer = send(self._running.engine, method, params, token(self._running.jwt_file))
        if "error" in answer:
            raise EngineError(answer["error"])
        return answer["result"]

    def restart(self) -> None:
        assert self._running.terminate() == 0
        self.close()
        self._running = self._start()

    def close(self) -> None:
        self._running.__exit__()


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    file = tmp_path / "genesis.json"
    file.write_text(json.dumps(genesis()))
    made: list[Node] = []
    try:
        made.append(Node(tmp_path / "sequencer", file, "--sdm.policy=warming", "--rollup.operator-sdm-opt-in"))
        made.append(Node(tmp_path / "verifier", file))
        yield made[0], made[1]
    finally:
        for node in made:
            node.close()


def test_chain_climbs_to_lagoon_with_real_upgrades(engines: tuple[Node, Node]) -> None:
    l1, config = ImaginedL1(upgrades=upgrades()), loader.load(genesis()).config
    sequencer, verifier = (RollupNode(engine.call, config, l1) for engine in engines)
    users = [signer(name, CHAIN_ID) for name in ("alice", "bob")]
    for number in range(1, LAST + 1):
        if number == STARTS["karst"] + 1:
            restart(engines, sequencer, verifier)
        made = sequence(sequencer, users)
        if number <= STARTS["karst"]:
            verifier.receive(envelope(sequencer, made))  # heard from the sequencer; then found to be what L1 says
        for node in (sequencer, verifier):
            assert node.derive(sequencer.batch(number)) == made
    assert (sequencer.reorged, verifier.reorged) == (0, 0)
    upgrades_went_well(verifier)
    refunded = [number for number in range(1, LAST + 1) if has_refunds(verifier, number)]
    assert refunded and min(refunded) > STARTS["lagoon"]  # a busy machine may leave a transaction to the next block

    restart(engines, sequencer, verifier)
    old, back_to = verifier.safe, STARTS["karst"] + 1
    batches = [sequencer.batch(number) for number in range(back_to + 1, LAST + 1)]
    for node in (sequencer, verifier):
        node.l1 = ImaginedL1(base_fee=7 * 10**9, upgrades=l1.upgrades)
        node.reset(back_to)
    for batch in batches:
        derived = [node.derive(batch) for node in (sequencer, verifier)]
        assert derived[0] == derived[1]
    assert (verifier.safe.number, verifier.safe != old) == (LAST, True)
    upgrades_went_well(verifier)
    assert refunded == [number for number in range(1, LAST + 1) if has_refunds(verifier, number)]


def sequence(sequencer: RollupNode, users: list[Signer]) -> Header:
    for user in users:
        user.nonce = int(sequencer.call("eth_getTransactionCount", "0x" + user.address.hex(), "pending"), 16)
        sequencer.call("eth_sendRawTransaction", "0x" + user.sign(to=READS, gas=60_000).hex())
    return sequencer.sequence()


def envelope(sequencer: RollupNode, made: Header) -> dict[str, Any]:
    """The payload of a canonical block, built again from what L1 says of it."""
    parent = sequencer.header("0x" + made.parent_hash.hex())
    found = sequencer.build(parent, sequencer.attributes(parent, *sequencer.batch(made.number)))
    assert found["executionPayload"]["blockHash"] == "0x" + made.hash.hex()
    return found


def restart(engines: tuple[Node, Node], *nodes: RollupNode) -> None:
    for engine, node in zip(engines, nodes, strict=True):
        before = node.unsafe, node.safe
        engine.restart()
        node.restart(engine.call)
        assert (node.unsafe, node.safe) == before


def upgrades_went_well(node: RollupNode) -> None:
    """The deposits all succeed, raise the gas limit of their block alone, and end in the recorded contract."""
    for name, block in STARTS.items():
        receipts = [row for row in node.call("eth_getBlockReceipts", hex(block)) if row["type"] == "0x7e"]
        assert len(receipts) == 1 + DEPOSITS[name]
        assert {receipt["status"] for receipt in receipts} == {"0x1"}
        limits = [node.header(hex(number)).gas_limit - 30_000_000 for number in (block - 1, block, block + 1)]
        assert limits == [0, node.l1.upgrades[name].gas, 0]
    implementation = node.call("eth_getStorageAt", PROXY_ADMIN, IMPLEMENTATION, "latest")
    assert implementation == data("lagoon_state")[PROXY_ADMIN]["storage"][IMPLEMENTATION]


def has_refunds(node: RollupNode, number: int) -> bool:
    """Whether a block gives gas back, told by its receipts and its last transaction alike."""
    receipts = node.call("eth_getBlockReceipts", hex(number))
    refunded = [receipt for receipt in receipts if "opGasRefund" in receipt]
    assert (receipts[-1]["type"] == "0x7d") == bool(refunded)
    return bool(refunded)
