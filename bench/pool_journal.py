"""What the pool's journal costs: eth_sendRawTransaction over HTTP, and the start that brings transactions back.

    .venv/bin/python bench/pool_journal.py [--before PATH] [--rounds 5] [--count 4000]

`--before` is another checkout with its own .venv, which is measured in alternation with this one. Prints Markdown: the node's processor
time for a transaction, and transactions a second from one and from eight clients; median (least-most) of the rounds. Each round has
an empty data directory and a chain that makes no blocks.
"""

import argparse
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

SENDERS = 10  # the dev chain's accounts
TICKS = os.sysconf("SC_CLK_TCK")


class Node:
    """`l2engine dev` of a checkout, ready."""

    def __init__(self, tree: Path, datadir: Path, *flags: str) -> None:
        command = [str(tree / ".venv/bin/python"), "-m", "l2engine", "dev", "--block-time=100000", "--log.format=json", *flags]
        ports = ["--http.port=0", "--ws.port=0", "--authrpc.port=0", f"--datadir={datadir}"]
        self.started = time.monotonic()
        self.process = subprocess.Popen([*command, *ports], cwd=tree, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        self.ready = next(line for text in self.process.stderr if (line := json.loads(text))["msg"] == "Ready")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        self.address = self.ready["http"].removeprefix("http://")

    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def send_all(address: str, bodies: Sequence[bytes]) -> None:
    """Send bodies one after another on one connection; each must get a hash."""
    connection = http.client.HTTPConnection(address)
    for body in bodies:
        connection.request("POST", "/", body, {"Content-Type": "application/json"})
        answer = connection.getresponse().read()
        assert b'"result"' in answer, answer
    connection.close()


def signed(count: int) -> list[list[bytes]]:
    """Requests by sender, in the order of nonces."""
    from genesis.dev.accounts import DEV_ACCOUNTS
    from tests.helpers.accounts import Signer

    signers = [Signer(account.private_key, account.address, 901) for account in DEV_ACCOUNTS[:SENDERS]]
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction"}
    return [
        [json.dumps({**call, "params": ["0x" + who.sign(nonce=nonce).hex()]}).encode() for nonce in range(count // SENDERS)]
        for who in signers
    ]


def measure(node: Node, requests: list[list[bytes]]) -> tuple[float, float, float]:
    """Microseconds of processor time for a transaction, and transactions a second from one client and from eight."""
    half = len(requests) // 5
    alone, together = [body for sender in requests[:half] for body in sender], requests[half:]
    before, began = node.processor_seconds(), time.monotonic()
    send_all(node.address, alone)
    alone_seconds, began = time.monotonic() - began, time.monotonic()
    threads = [threading.Thread(target=send_all, args=(node.address, sender)) for sender in together]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together_seconds = time.monotonic() - began
    count = sum(map(len, requests))
    spent = node.processor_seconds() - before
    return spent / count * 1e6, len(alone) / alone_seconds, sum(map(len, together)) / together_seconds


def shown(figures: Sequence[float]) -> str:
    return f"{statistics.median(figures):.0f} ({min(figures):.0f}–{max(figures):.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=4000)
    args = parser.parse_args()
    kinds: dict[str, tuple[Path, tuple[str, ...]]] = {"before": (args.before, ())} if args.before else {}
    kinds |= {"no journal": (ROOT, ("--txpool.journal=",)), "journal": (ROOT, ()), "`--db.sync always`": (ROOT, ("--db.sync=always",))}
    requests = signed(args.count)
    figures: dict[str, list[tuple[float, float, float]]] = {name: [] for name in kinds}
    starts: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(args.rounds):
        for name, (tree, flags) in kinds.items():
            folder = Path(tempfile.mkdtemp(prefix="l2engine-bench-"))
            node = Node(tree, folder, *flags)
            figures[name].append(measure(node, requests))
            node.kill()
            node = Node(tree, folder, *flags)
            starts[name].append(float(node.ready["elapsed"].removesuffix("s")) * 1000)
            node.kill()
            shutil.rmtree(folder)
    print(
        f"| | processor time, µs | one client, tx/s | eight clients, tx/s | next start, ms | load {os.getloadavg()[0]:.0f} |\n|---|---|---|---|---|---|"
    )
    for name in kinds:
        print(f"| {name} | " + " | ".join(map(shown, [*zip(*figures[name], strict=True), starts[name]])) + " | |")


if __name__ == "__main__":
    main()
