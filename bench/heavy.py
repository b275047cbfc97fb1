"""Costly requests: the memory that their answers take, the Engine calls beside them, and how soon they end when their client leaves.

    .venv/bin/python bench/heavy.py [--tree OTHER] [--parts logs,others,steps,gigabyte,calls,left] [--seconds 20] [--clients 16]

A chain of 150 blocks with 1,000 logs each and one huge transaction. Clients and the rollup node, which makes a block of one
deposit and 100 transfers every 0.5 s, are processes of their own.
"""

import argparse
import http.client
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import drivers

FORK, GAS_LIMIT = "jovian", 30_000_000
EMIT, LOOP, ANY = (f"0x{number:040x}" for number in (0xF00D2, 0xF00D4, 0x7777))
EMIT_CODE = "0x6000355b8060006000a16001900380600357" + "00"  # as many logs as the input says
LOOP_CODE = "0x6000355b600190038060035700"  # as many rounds as the input says
CALLS_CODE = "0x5b6000600060006000600061fffe5af150600056"
CALL: list[Any] = [{"to": ANY, "gas": hex(50_000_000)}, "latest"]
processes = get_context("spawn")


def post(url: str, method: str, params: Any, timeout: float = 300) -> http.client.HTTPConnection:
    """A connection on which a request was sent."""
    at = urlparse(url)
    connection = http.client.HTTPConnection(str(at.hostname), at.port, timeout=timeout)
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    connection.request("POST", "/", body, {"Content-Type": "application/json"})
    return connection


def drain(connection: http.client.HTTPConnection) -> tuple[int, bytes]:
    """The length of the answer, and how it begins."""
    response = connection.getresponse()
    length, first = 0, b""
    while piece := response.read(1 << 20):
        length, first = length + len(piece), first or piece[:200]
    return length, first


def ask_again(url: str, method: str, params: Any, clients: int, seconds: float, out: Connection) -> None:
    """Let clients ask without a pause; sends (answers, largest, slowest, errors)."""
    rows: list[tuple[float, int, bytes]] = []
    end = time.monotonic() + seconds

    def client() -> None:
        while (started := time.monotonic()) < end:
            length, first = drain(post(url, method, params))
            rows.append((time.monotonic() - started, length, first))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    errors = [first for _, _, first in rows if b'"error"' in first]
    out.send((len(rows), max(row[1] for row in rows), max(row[0] for row in rows), errors[:1], len(errors)))


def make_blocks(engine_url: str, secret: bytes, first: int, stop: Connection) -> None:
    """Make a block every half a second until told to stop; sends the seconds of each call, by its kind."""
    engine = drivers.load("engine").Engine(engine_url, secret, fork=FORK, gas_limit=GAS_LIMIT)
    workloads = drivers.load("workloads").Workloads()
    workloads.acc = workloads.acc[first : first + 900]  # whose nonces are 0
    times: dict[str, list[float]] = {}
    stop.send("begun")
    while not stop.poll():
        transactions = [workloads.tx("transfer") for _ in range(100)]
        due = time.monotonic() + 0.5
        engine.build(transactions)
        for kind, seconds in engine.t.items():
            times.setdefault(kind, []).append(seconds)
        time.sleep(max(0.0, due - time.monotonic()))
    stop.recv()
    stop.send(times)


class Blocks:
    """The rollup node beside the readers."""

    def __init__(self, node: drivers.Node, first_account: int) -> None:
        self._pipe, other = processes.Pipe()
        self._process = processes.Process(target=make_blocks, args=(node.engine_url, node.secret, first_account, other), daemon=True)
        self._process.start()
        self._pipe.recv()

    def stop(self) -> str:
        """The median, 99th percentile and maximum of the calls, in ms."""
        self._pipe.send("stop")
        times = self._pipe.recv()
        self._process.join()
        calls = sorted(second for kind in ("fcu_attrs", "get", "new", "fcu") for second in times[kind])
        at = [calls[int(part * (len(calls) - 1))] * 1e3 for part in (0.5, 0.99, 1)]
        return f"{at[0]:.0f} / {at[1]:.0f} / {at[2]:.0f} ms ({len(times['new'])} blocks)"


class Peak:
    """The most memory that a process has while this watches, in MB."""

    def __init__(self, node: drivers.Node) -> None:
        self.before = self.most = node.resident_mb()
        self._node, self._done = node, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            self.most = max(self.most, self._node.resident_mb())

    def stop(self) -> str:
        self._done.set()
        self._thread.join()
        time.sleep(6)
        return f"{self.before:.0f} → {self.most:.0f} → {self._node.resident_mb():.0f} MB"


@contextmanager
def node(root: Path, port: int, rounds: int) -> Iterator[tuple[drivers.Node, str]]:
    """A node with the chain, and the hash of its huge transaction."""
    genesis = drivers.load("genesis").build(FORK, GAS_LIMIT)
    genesis["alloc"] |= {where: {"balance": "0x0", "nonce": "0x1", "code": code} for where, code in ((EMIT, EMIT_CODE), (LOOP, LOOP_CODE))}
    common = drivers.load("common")
    with tempfile.TemporaryDirectory() as folder:
        running = drivers.start_ours("heavy", "native", Path(folder) / "node", genesis, port, root=root)
        try:
            engine, accounts = running.driver(FORK, GAS_LIMIT), common.accounts(10)
            for _ in range(150):
                data = (200).to_bytes(32, "big")
                engine.build([common.sign_1559(account, common.unhex(EMIT), data=data, gas=400_000) for account in accounts[:5]])
            huge = common.sign_1559(accounts[9], common.unhex(LOOP), data=rounds.to_bytes(32, "big"), gas=28_000_000)
            engine.build([huge])
            yield running, "0x" + common.keccak(huge).hex()
        finally:
            running.stop()


def beside(running: drivers.Node, name: str, method: str, params: Any, clients: int, seconds: float, first: int = 0) -> None:
    """Ask something with many clients, and print a row. Blocks are made meanwhile, of the accounts from `first` on, if given."""
    blocks = Blocks(running, first) if first else None
    peak, (pipe, other) = Peak(running), processes.Pipe()
    process = processes.Process(target=ask_again, args=(running.url, method, params, clients, seconds, other))
    process.start()
    count, largest, slowest, errors, wrong = pipe.recv()
    process.join()
    calls = blocks.stop() if blocks else "–"
    print(
        f"| {name}, {clients} clients | {count} answers of {largest / 1e6:.1f} MB, {wrong} refused, slowest {slowest:.1f} s |"
        f" {calls} | {peak.stop()} |",
        *errors,
        flush=True,
    )


def left(running: drivers.Node, name: str, method: str, params: Any) -> None:
    """Let 16 clients leave after half a second, and print the processor time that the node used until then and in each half second after."""
    begun = running.processor_seconds()
    connections = [post(running.url, method, params) for _ in range(16)]
    time.sleep(0.5)
    for connection in connections:
        connection.close()
    used = running.processor_seconds()
    row = [f"{used - begun:.2f}"]
    for _ in range(6):
        time.sleep(0.5)
        now = running.processor_seconds()
        row.append(f"{now - used:.2f}")
        used = now
    print(f"| {name}, 16 clients | {' | '.join(row)} |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tree", type=Path, default=drivers.ROOT, help="another checkout to measure")
    parser.add_argument("--parts", default="logs,others,steps,gigabyte,calls,left")
    parser.add_argument("--rounds", type=int, default=1_000_000, help="of 27 gas and 7 steps each, in the huge transaction")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--port", type=int, default=18_990)
    arguments = parser.parse_args()
    if not drivers.available():
        return 0
    loop = {"stateOverrides": {ANY: {"code": "0x5b600056"}}}
    calls = {"tracer": "callTracer", "stateOverrides": {ANY: {"code": CALLS_CODE}}}
    everything = ("eth_getLogs", [{"fromBlock": "0x0", "toBlock": "latest"}])
    clients, seconds, parts = arguments.clients, arguments.seconds, arguments.parts.split(",")
    with node(arguments.tree.resolve(), arguments.port, arguments.rounds) as (running, huge):
        if "logs" in parts:
            beside(running, "nothing (eth_chainId)", "eth_chainId", [], 1, seconds / 2, 100)
            beside(running, "eth_getLogs, 150,000 logs", *everything, clients, seconds, 1000)
        if "others" in parts:
            beside(running, "eth_getBlockReceipts, 1,000 logs", "eth_getBlockReceipts", ["0x10"], clients, seconds / 2, 100)
            beside(running, "debug_traceCall, callTracer, 50 Mgas of empty calls", "debug_traceCall", [*CALL, calls], clients, 1, 1000)
        if "steps" in parts:
            name = f"debug_traceTransaction, struct logs of {arguments.rounds * 27 // 10**6} Mgas"
            beside(running, name, "debug_traceTransaction", [huge, {"timeout": "10m"}], 1, 1)
        if "gigabyte" in parts:
            endless = [*CALL, {"stateOverrides": {ANY: {"code": "0x5b5f50600056"}}, "timeout": "10m"}]
            beside(running, "debug_traceCall, struct logs of 50 Mgas", "debug_traceCall", endless, 1, 1)
        if "calls" in parts:
            beside(running, "debug_traceCall, callTracer, 50 Mgas of empty calls", "debug_traceCall", [*CALL, calls], clients, 1)
        if "left" in parts:
            left(running, "eth_call of a loop", "eth_call", [*CALL, loop["stateOverrides"]])
            left(running, "eth_estimateGas", "eth_estimateGas", [{"to": LOOP, "data": "0x" + (900_000).to_bytes(32, "big").hex()}])
            free = [{**CALL[0], "gasPrice": "0x0"}, "latest", loop["stateOverrides"]]
            left(running, "eth_createAccessList of a loop", "eth_createAccessList", free)
            left(running, "debug_traceCall of a loop, struct logs", "debug_traceCall", [*CALL, loop])
            left(running, "debug_traceTransaction of 27 Mgas", "debug_traceTransaction", [huge, {}])
            left(running, "eth_getLogs, 150,000 logs", *everything)
            left(running, "eth_getProof, 1,024 keys", "eth_getProof", [EMIT, [hex(i) for i in range(1024)], "latest"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
