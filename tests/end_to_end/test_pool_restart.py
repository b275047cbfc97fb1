"""SIGTERM and kill -9 while transactions come in: what a hash was answered for waits again, what was mined or replaced does not."""

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from genesis import loader
from genesis.dev import dev_genesis
from genesis.dev.accounts import DEV_ACCOUNTS
from tests.helpers.accounts import Signer, signer
from tests.helpers.failing import file_size_limit
from tests.helpers.rollup_node import EngineError, RollupNode
from tests.helpers.running import ROOT, START_SECONDS, RunningNode, l2engine, send, token
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


def stop_again_and_again(rounds: int, folder: Path, mined: int = MINED, waiting: int = WAITING) -> None:
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
            if number % 2:
                node.kill()
            else:
                assert node.terminate() == 0
            more.join()


def test_accepted_transactions_survive_stops(tmp_path: Path) -> None:
    stop_again_and_again(4, tmp_path, mined=20, waiting=100)


@pytest.mark.slow
def test_a_thousand_transactions_survive_fifty_stops(tmp_path: Path) -> None:
    stop_again_and_again(50, tmp_path)
