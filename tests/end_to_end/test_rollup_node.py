"""A rollup node's life: two engines, one that sequences and one that verifies, from Regolith through every fork to Karst.

Once in this process with the reference executor, once over HTTP with nodes that are started again in the middle and run the
default executor.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from genesis import loader
from l2engine.dev.l1 import ImaginedL1
from l2engine.types.header import Header
from tests.helpers.accounts import Signer
from tests.helpers.dev_chain import GENESIS_TIME, document, funded
from tests.helpers.in_process import InProcess
from tests.helpers.rollup_node import EngineError, RollupNode
from tests.helpers.running import RunningNode, send, token

LATER = ("canyon", "ecotone", "fjord", "granite", "holocene", "isthmus", "jovian", "karst", "lagoon")
BLOCKS_PER_FORK = 3
GENESIS = document("regolith", {name: 2 * BLOCKS_PER_FORK * place for place, name in enumerate(LATER, 1)})
CONFIG = loader.load(GENESIS).config
SINK = b"\x51" * 20


class Engine(Protocol):
    """An engine that can be started again."""

    def call(self, method: str, *params: Any) -> Any: ...
    def restart(self) -> None: ...
    def close(self) -> None: ...


class InThisProcess:
    def __init__(self, folder: Path) -> None:
        self.node = InProcess(GENESIS)

    def call(self, method: str, *params: Any) -> Any:
        return _result(self.node.send({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))

    def restart(self) -> None:
        self.node = InProcess(GENESIS, self.node.kv)

    def close(self) -> None:
        pass


class OverHttp:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "genesis.json").write_text(json.dumps(GENESIS))
        self.node = self._start()

    def _start(self) -> RunningNode:
        return RunningNode("run", "--genesis", self.folder / "genesis.json", datadir=self.folder / "data")

    def call(self, method: str, *params: Any) -> Any:
        return _result(send(self.node.engine, method, params, token(self.node.jwt_file)))

    def restart(self) -> None:
        assert self.node.terminate() == 0
        self.close()
        self.node = self._start()

    def close(self) -> None:
        self.node.__exit__()


def _result(answer: dict[str, Any]) -> Any:
    if "error" in answer:
        raise EngineError(answer["error"])
    return answer["result"]


@pytest.fixture(params=[InThisProcess, OverHttp], ids=["in process", "HTTP"])
def engines(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Engine, Engine]]:
    made: list[Engine] = []
    make: Callable[[Path], Engine] = request.param
    try:
        for name in ("sequencer", "verifier"):
            (tmp_path / name).mkdir()
            made.append(make(tmp_path / name))
        yield made[0], made[1]
    finally:
        for engine in made:
            engine.close()


class Life:
    """The two nodes and the users, one step after the other."""

    def __init__(self, first: Engine, second: Engine) -> None:
        self.engines = (first, second)
        self.sequencer, self.verifier = (RollupNode(engine.call, CONFIG) for engine in self.engines)
        self.users = [funded(name) for name in ("alice", "bob")]
        self.waiting: set[str] = set()
        """Transactions that no block has taken: those sent before a block without pool, or that a busy machine had no time for."""

    def pay(self) -> list[str]:
        """Both users send a transfer to the sequencer; the hashes."""
        return [self.submit(user.sign(to=SINK, value=1, data=b"hello" * 10, gas=50_000)) for user in self.users]

    def submit(self, raw: bytes) -> str:
        sent = self.sequencer.call("eth_sendRawTransaction", "0x" + raw.hex())
        assert isinstance(sent, str)
        return sent

    def sequence(self, count: int, pay: bool = True) -> list[Header]:
        made: list[Header] = []
        while len(made) < count:
            self.waiting.update(self.pay() if pay else ())
            made.append(self.sequencer.sequence())
            block = self.sequencer.call("eth_getBlockByNumber", "latest", False)
            self.waiting.difference_update(block["transactions"])
            for tx_hash in self.waiting:
                assert self.sequencer.call("eth_getTransactionByHash", tx_hash)["blockNumber"] is None
        return made

    def include(self, sent: str) -> int:
        """Sequence until a block takes the transaction; how many blocks that took."""
        for made in range(1, 11):
            self.sequence(1, pay=False)
            receipt = self.sequencer.call("eth_getTransactionReceipt", sent)
            if receipt is not None:
                assert receipt["status"] == "0x1"
                return made
        raise AssertionError(f"{sent} waits and waits")

    def derive(self, count: int) -> None:
        """The sequencer's blocks land on L1: both nodes derive them."""
        for _ in range(count):
            batch = self.sequencer.batch(self.sequencer.safe.number + 1)
            derived = [node.derive(batch) for node in (self.sequencer, self.verifier)]
            assert derived[0] == derived[1]

    def agree(self) -> None:
        """Both engines hold the same chain and say the same of it."""
        for method, params in (
            ("eth_getBlockByNumber", ["safe", True]),
            ("eth_getBlockByNumber", ["finalized", False]),
            ("eth_getBlockReceipts", ["safe"]),
            ("eth_getBalance", ["0x" + SINK.hex(), "safe"]),
            ("eth_getProof", ["0x" + SINK.hex(), [], "safe"]),
        ):
            answers = [node.call(method, *params) for node in (self.sequencer, self.verifier)]
            assert answers[0] == answers[1]
            assert answers[0] is not None

    def restart(self) -> None:
        while self.waiting:  # the pool ends with the process, and a lost nonce would hold up all later ones
            self.derive(self.include(min(self.waiting)))
        for engine, node in zip(self.engines, (self.sequencer, self.verifier), strict=True):
            before = (node.unsafe, node.safe, node.finalized)
            engine.restart()
            node.restart(engine.call)
            assert (node.unsafe, node.safe, node.finalized) == before


def test_life_of_a_rollup_node(engines: tuple[Engine, Engine]) -> None:
    life = Life(*engines)
    sequencer, verifier = life.sequencer, life.verifier

    # sequencing and verifying, through all forks but the last
    made = life.sequence(BLOCKS_PER_FORK * 8 + 1)
    assert CONFIG.fork_at(made[-1].number, made[-1].timestamp).name == "karst"
    life.derive(len(made))
    assert (sequencer.reorged, verifier.reorged) == (0, 0)
    assert verifier.unsafe == sequencer.unsafe == made[-1]
    for node in (sequencer, verifier):
        node.finalize(4)
    life.agree()

    # the same attributes give the sequencer its own block again
    batch = sequencer.batch(6)
    parent = sequencer.header("0x5")
    again = sequencer.build(parent, sequencer.attributes(parent, *batch))
    assert again["executionPayload"]["blockHash"] == "0x" + sequencer.header("0x6").hash.hex()
    assert sequencer.header("latest") == made[-1]
    life.restart()

    outage(life)
    life.restart()
    invalid_payload(life)
    deep_reorg(life)
    life.restart()
    last = life.pay()[-1]
    life.derive(life.include(last))
    life.agree()


def outage(life: Life) -> None:
    """The sequencer's last blocks never reach L1. Both nodes derive deposit-only blocks, and hers are dropped."""
    sequencer, verifier = life.sequencer, life.verifier
    lost = life.sequence(4)
    sent = [tx for header in lost for tx in sequencer.call("eth_getBlockByNumber", hex(header.number), False)["transactions"][1:]][-1]
    reorged = sequencer.reorged
    for header in lost[:3]:
        derived = [node.derive((header.timestamp, ())) for node in (sequencer, verifier)]
        assert derived[0] == derived[1] != header
    assert sequencer.reorged == reorged + 1
    assert sequencer.header("latest") == sequencer.unsafe == verifier.unsafe
    assert sequencer.call("eth_getTransactionReceipt", sent) is None
    assert sequencer.call("eth_getTransactionByHash", sent)["blockNumber"] is None  # waits in the pool again
    life.derive(life.include(sent))
    life.agree()


def invalid_payload(life: Life) -> None:
    """A block that does not hold what it says is refused; a batch that cannot be executed becomes a block of deposits alone."""
    sequencer, verifier = life.sequencer, life.verifier
    stranger: Signer = replace(life.users[0], nonce=10_000)
    timestamp = sequencer.unsafe.timestamp + 2
    envelope = sequencer.build(sequencer.unsafe, sequencer.attributes(sequencer.unsafe, timestamp))
    header, payload = sequencer.unsafe, dict(envelope["executionPayload"], stateRoot="0x" + "11" * 32)
    got = verifier.insert({**envelope, "executionPayload": payload})
    assert (got["status"], got["latestValidHash"]) == ("INVALID", None)  # the hash does not fit
    payload["blockHash"] = "0x" + got["validationError"].rsplit("got ", 1)[1]
    got = verifier.insert({**envelope, "executionPayload": payload})
    assert (got["status"], got["latestValidHash"]) == ("INVALID", "0x" + header.hash.hex())
    state = {"headBlockHash": payload["blockHash"], "safeBlockHash": "0x" + "00" * 32, "finalizedBlockHash": "0x" + "00" * 32}
    refused = verifier.call("engine_forkchoiceUpdatedV3", state, None)["payloadStatus"]
    assert (refused["status"], refused["latestValidHash"]) == ("INVALID", "0x" + header.hash.hex())

    with pytest.raises(EngineError, match=r"-38003.*failed to force-include"):
        verifier.build(header, verifier.attributes(header, timestamp, (stranger.sign(to=SINK),)))
    derived = [node.derive((timestamp, (stranger.sign(to=SINK, nonce=10_000),))) for node in (sequencer, verifier)]
    assert derived[0] == derived[1]
    assert "0x" + derived[0].hash.hex() == envelope["executionPayload"]["blockHash"]
    life.agree()


def deep_reorg(life: Life) -> None:
    """L1 itself is reorganised: everything from Holocene on is derived again from another L1, over every later fork boundary."""
    sequencer, verifier = life.sequencer, life.verifier
    back_to = BLOCKS_PER_FORK * 5 - 1
    assert CONFIG.fork_at(back_to, sequencer.header(hex(back_to)).timestamp).name == "granite"
    batches = [sequencer.batch(number) for number in range(back_to + 1, sequencer.safe.number + 1)]
    old = sequencer.safe
    balance = sequencer.call("eth_getBalance", "0x" + SINK.hex(), "latest")
    for node in (sequencer, verifier):
        node.reset(back_to)
        node.l1 = ImaginedL1(base_fee=7 * 10**9)
    for batch in batches:
        derived = [node.derive(batch) for node in (sequencer, verifier)]
        assert derived[0] == derived[1]
    assert (sequencer.safe.number, sequencer.safe.timestamp) == (old.number, old.timestamp)
    assert sequencer.safe != old
    assert CONFIG.fork_at(old.number, old.timestamp).name == "lagoon"
    assert sequencer.call("eth_getBalance", "0x" + SINK.hex(), "latest") == balance
    assert GENESIS_TIME + 2 * old.number == old.timestamp
    life.agree()
