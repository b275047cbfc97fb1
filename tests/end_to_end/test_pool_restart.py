"""SIGTERM and kill -9 while transactions come in: what a hash was answered for waits again, what was mined or replaced does not."""

import json
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genesis import loader
from genesis.dev import dev_genesis
from genesis.dev.accounts import DEV_ACCOUNTS
from tests.helpers.accounts import Signer, signer
from tests.helpers.failing import file_size_limit
from tests.helpers.rollup_node import EngineError, RollupNode
from tests.helpers.running import START_SECONDS, RunningNode, l2engine, send, token
from tests.helpers.transactions import transfer

SENDERS = [signer(f"sender {n}") for n in range(20)]
GENESIS = dev_genesis("jovian", 1_700_000_000, accounts=[who.address for who in SENDERS])
MINED, WAITING = 200, 1000  # transactions of a round
FEE = 10**10


class Wallets:
    """Twenty accounts and four threads that send, and what they may expect to find after a restart."""

    def __init__(self) -> None:
        self.next = [0] * len(SENDERS)
        """The next nonce of each."""
        self.accepted: dict[tuple[int, int], bytes] = {}
        """The last transaction by sender and nonce that the node gave a hash for."""
        self.unanswered: dict[tuple[int, int], set[bytes]] = {}
        """Those that were sent after it, and whose answer the kill cut off: they may be there."""

    def send(self, url: str, count: int) -> None:
        """Send so many transactions in all; every twentieth is replaced at once by a better one."""
        threads = [threading.Thread(target=self._send_from, args=(url, SENDERS[part::4], count // 4)) for part in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _send_from(self, url: str, senders: list[Signer], count: int) -> None:
        try:
            for n in range(count):
                who = SENDERS.index(senders[n % len(senders)])
                place = who, self.next[who]
                self.next[who] += 1
                for price in (FEE, 2 * FEE) if n % 20 == 19 else (FEE,):
                    self._send(url, place, SENDERS[who].sign(nonce=place[1], max_fee=price, tip=price // 10))
        except OSError:  # the node is gone
            return

    def _send(self, url: str, place: tuple[int, int], raw: bytes) -> None:
        self.unanswered.setdefault(place, set()).add(raw)
        answer = send(url, "eth_sendRawTransaction", ["0x" + raw.hex()])
        if "error" in answer:
            assert answer["error"]["message"] == "the node is stopping"
            raise ConnectionError
        self.accepted[place] = raw
        del self.unanswered[place]

    def compare(self, node: RunningNode) -> int:
        """Whether the pool holds what was accepted and not mined, and nothing else but what had no answer; how many accepted there are."""
        expected = 0
        content = node.call("txpool_content")
        for who, sender in enumerate(SENDERS):
            address = "0x" + sender.address.hex()
            mined = int(node.call("eth_getTransactionCount", address, "latest"), 16)
            found = self._found(node, content, address)
            assert all(nonce >= mined for nonce in found)
            for nonce, raw in found.items():
                assert raw == self.accepted.get((who, nonce)) or raw in self.unanswered.get((who, nonce), ())
            waiting = {nonce for owner, nonce in self.accepted if owner == who and nonce >= mined}
            assert waiting <= found.keys()
            expected += len(waiting)
            self.next[who] = mined + len(found)
        self.unanswered.clear()
        return expected

    @staticmethod
    def _found(node: RunningNode, content: dict[str, Any], address: str) -> dict[int, bytes]:
        """The pool's transactions of a sender by nonce."""
        parts = [transactions for kind in content.values() for owner, transactions in kind.items() if owner.lower() == address]
        return {
            int(nonce): bytes.fromhex(node.call("eth_getRawTransactionByHash", shown["hash"])[2:])
            for part in parts
            for nonce, shown in part.items()
        }


def mine(node: RunningNode) -> None:
    """Blocks until the pool is empty."""

    def call(method: str, *params: Any) -> Any:
        answer = send(node.engine, method, params, token(node.jwt_file))
        if "error" in answer:
            raise EngineError(answer["error"])
        return answer["result"]

    rollup = RollupNode(call, loader.load(GENESIS).config)
    deadline = time.monotonic() + START_SECONDS
    while int(node.call("txpool_status")["pending"], 16):
        assert time.monotonic() < deadline
        rollup.sequence()


def stop_again_and_again(
    rounds: int, stop: Callable[[RunningNode], object], folder: Path, mined: int = MINED, waiting: int = WAITING
) -> None:
    """In each round some transactions are mined, others wait, and more are coming in when the node is stopped."""
    (folder / "genesis.json").write_text(json.dumps(GENESIS))
    chance, wallets = random.Random(rounds), Wallets()
    for number in range(rounds + 1):
        with RunningNode("run", "--genesis", folder / "genesis.json", "--http.api=eth,txpool", datadir=folder / "data") as node:
            found = wallets.compare(node)
            assert found >= (waiting if number else 0)
            mine(node)
            wallets.send(node.http, mined)
            mine(node)
            wallets.accepted.clear()
            wallets.send(node.http, waiting)
            more = threading.Thread(target=wallets.send, args=(node.http, 10**6))
            more.start()
            time.sleep(chance.random() * 0.1)
            assert not stop(node)  # no exit status but 0
            more.join()


@pytest.mark.parametrize("stop", [RunningNode.terminate, RunningNode.kill])
def test_accepted_transactions_survive_stops(stop: Callable[[RunningNode], object], tmp_path: Path) -> None:
    stop_again_and_again(2, stop, tmp_path, mined=20, waiting=100)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [RunningNode.terminate, RunningNode.kill])
def test_a_thousand_transactions_survive_fifty_stops(stop: Callable[[RunningNode], object], tmp_path: Path) -> None:
    stop_again_and_again(50, stop, tmp_path)


# ---- a dev chain's life ---------------------------------------------------------------------------------------------

SLOWLY = ("dev", "--block-time=3600")  # nothing is mined meanwhile


def send_transfers(node: RunningNode, *nonces: int) -> list[str]:
    raws = [transfer(DEV_ACCOUNTS[0], nonce, DEV_ACCOUNTS[1].address, 1) for nonce in nonces]
    return [node.call("eth_sendRawTransaction", "0x" + raw.hex()) for raw in raws]


def waiting(node: RunningNode) -> dict[str, int]:
    return {kind: int(count, 16) for kind, count in node.call("txpool_status").items()}


def test_a_dev_chain_mines_what_waited_without_being_asked(tmp_path: Path) -> None:
    with RunningNode(*SLOWLY, datadir=tmp_path) as node:
        hashes = send_transfers(node, 0, 1, 2)
        node.kill()
    with RunningNode("dev", datadir=tmp_path) as node:
        assert next(line for line in node.lines if line["msg"] == "Transactions are back in the pool")["transactions"] == 3
        wait_until(lambda: all(node.call("eth_getTransactionReceipt", tx) for tx in hashes))
        assert waiting(node) == {"pending": 0, "queued": 0}


def test_a_torn_last_entry_is_told_and_the_others_are_there(tmp_path: Path) -> None:
    with RunningNode(*SLOWLY, datadir=tmp_path) as node:
        send_transfers(node, 0, 1, 2)
        node.kill()
    journal = tmp_path / "transactions.journal"
    journal.write_bytes(journal.read_bytes()[:-10])
    with RunningNode(*SLOWLY, datadir=tmp_path) as node:
        assert waiting(node) == {"pending": 2, "queued": 0}
        warnings = [line["msg"] for line in node.lines if line["lvl"] == "warn"]
        assert "The transaction journal's last entry was cut short and is dropped" in warnings


def test_without_room_the_answer_is_an_error_and_later_a_hash(tmp_path: Path) -> None:
    with RunningNode(*SLOWLY, datadir=tmp_path) as node:
        send_transfers(node, 0)
        with file_size_limit((tmp_path / "transactions.journal").stat().st_size + 10, node.process.pid):
            with pytest.raises(RuntimeError, match=r"-32000.*the transaction journal cannot be written: File too large"):
                send_transfers(node, 1)
            assert waiting(node) == {"pending": 1, "queued": 0}
        send_transfers(node, 1)
        node.kill()
    with RunningNode(*SLOWLY, datadir=tmp_path) as node:
        assert waiting(node) == {"pending": 2, "queued": 0}


@pytest.mark.parametrize("flag", ["--txpool.nolocals", "--txpool.journal="])
def test_nothing_is_kept_where_the_operator_says_so(flag: str, tmp_path: Path) -> None:
    with RunningNode(*SLOWLY, flag, datadir=tmp_path) as node:
        send_transfers(node, 0)
        node.terminate()
    with RunningNode(*SLOWLY, flag, datadir=tmp_path) as node:
        assert waiting(node) == {"pending": 0, "queued": 0}
    assert sorted(item.name for item in tmp_path.iterdir()) == ["chaindata", "jwtsecret"]


def test_the_journal_is_written_anew_now_and_then(tmp_path: Path) -> None:
    journal = tmp_path / "elsewhere" / "waiting"
    journal.parent.mkdir()
    with RunningNode("dev", "--txpool.rejournal=1s", f"--txpool.journal={journal}", datadir=tmp_path / "data") as node:
        empty = journal.stat().st_size
        send_transfers(node, 0, 1, 2)
        wait_until(lambda: journal.stat().st_size == empty)
        assert waiting(node) == {"pending": 0, "queued": 0}


def test_two_nodes_do_not_share_a_journal(tmp_path: Path) -> None:
    journal = f"--txpool.journal={tmp_path / 'journal'}"
    with RunningNode(*SLOWLY, journal, datadir=tmp_path / "one"):
        second = l2engine("dev", journal, "--http.port=0", "--ws.port=0", "--authrpc.port=0", "--datadir", tmp_path / "two")
    assert second.returncode == 1
    assert second.stderr.splitlines()[-1] == f"l2engine: the transaction journal {tmp_path / 'journal'} is in use by another process"


@pytest.mark.parametrize(
    "flags, why",
    [
        (
            ["--txpool.journal=/nowhere/journal", "--datadir"],
            "cannot open the transaction journal /nowhere/journal: No such file or directory",
        ),
        (["--txpool.journal=/proc/version", "--datadir"], "cannot open the transaction journal /proc/version: "),
        (["--txpool.journal=somewhere"], "--txpool.journal needs --datadir: a chain in memory ends with the process"),
    ],
)
def test_a_journal_that_cannot_be_is_one_line(flags: list[str], why: str, tmp_path: Path) -> None:
    where = [tmp_path] if flags[-1] == "--datadir" else []
    refused = l2engine("dev", "--http.port=0", "--ws.port=0", "--authrpc.port=0", *flags, *where)
    assert refused.returncode == 1 and "Traceback" not in refused.stderr
    assert refused.stderr.splitlines()[-1].startswith(f"l2engine: {why}")


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
