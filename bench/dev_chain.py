"""The dev chain as a developer feels it: time until it is ready, from a signed transaction to its receipt, and what it costs while idle.

    .venv/bin/python bench/dev_chain.py [--runs 5] [--transactions 200]

Each row is one executor. Processor time (user and system, of the node alone) is given beside the elapsed time, since neighbours on
the machine lengthen the latter. A transaction is sent and its receipt polled over one HTTP connection; they are signed before.
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from eth_account import Account

from genesis.dev import CHAIN_ID
from genesis.dev.accounts import DEV_ACCOUNTS
from l2engine.evm.native import machine as native

IDLE_SECONDS = 10
TICKS = os.sysconf("SC_CLK_TCK")


class DevChain:
    """A running `l2engine dev`, in memory."""

    def __init__(self, evm: str) -> None:
        command = [sys.executable, "-m", "l2engine", "dev", f"--evm={evm}", "--log.format=json", "--verbosity=0"]
        started = time.perf_counter()
        self.process = subprocess.Popen(
            [*command, "--http.port=0", "--ws.port=0", "--authrpc.port=0"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        ready = next(json.loads(line) for line in self.process.stderr if '"Ready"' in line)
        self.ready_seconds = time.perf_counter() - started
        self.ready_processor_seconds = self.processor_seconds()
        self._connection = http.client.HTTPConnection(urlsplit(ready["http"]).netloc)

    def call(self, method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        self._connection.request("POST", "/", body, {"Content-Type": "application/json"})
        return json.loads(self._connection.getresponse().read())["result"]

    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_mb(self) -> float:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    def stop(self) -> None:
        self._connection.close()
        self.process.terminate()
        self.process.wait()


def signed_transfers(count: int) -> list[str]:
    fields = {"type": 2, "chainId": CHAIN_ID, "to": DEV_ACCOUNTS[1].address, "value": 1, "gas": 21_000}
    fields |= {"maxFeePerGas": 3 * 10**9, "maxPriorityFeePerGas": 10**6}
    sign = Account.sign_transaction
    return ["0x" + bytes(sign(fields | {"nonce": n}, DEV_ACCOUNTS[0].private_key).raw_transaction).hex() for n in range(count)]


def receipt_milliseconds(chain: DevChain, raws: list[str]) -> list[float]:
    """From each transaction's sending to its receipt."""
    taken = []
    for raw in raws:
        started = time.perf_counter()
        sent = chain.call("eth_sendRawTransaction", raw)
        while chain.call("eth_getTransactionReceipt", sent) is None:
            pass
        taken.append((time.perf_counter() - started) * 1000)
    return taken


def measure(evm: str, runs: int, raws: list[str]) -> str:
    """One row of the table."""
    ready, ready_processor = [], []
    for _ in range(runs):
        chain = DevChain(evm)
        ready.append(chain.ready_seconds)
        ready_processor.append(chain.ready_processor_seconds)
        fresh_mb = chain.resident_mb()
        if len(ready) < runs:
            chain.stop()
    receipts = sorted(receipt_milliseconds(chain, raws))
    used_mb = chain.resident_mb()
    before = chain.processor_seconds()
    time.sleep(IDLE_SECONDS)
    idle = (chain.processor_seconds() - before) / IDLE_SECONDS
    chain.stop()
    return (
        f"| {evm} | {statistics.median(ready):.2f} s | {statistics.median(ready_processor):.2f} s | {statistics.median(receipts):.1f} ms "
        f"| {receipts[len(receipts) * 99 // 100]:.1f} ms | {fresh_mb:.0f} MB | {used_mb:.0f} MB | {idle:.1%} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="starts of each executor")
    parser.add_argument("--transactions", type=int, default=200)
    args = parser.parse_args()
    raws = signed_transfers(args.transactions)
    print("| executor | ready | processor | receipt | p99 | memory at start | after the transactions | idle processor |")
    print("|---|---|---|---|---|---|---|---|")
    for evm in ("py", "native") if native.available() else ("py",):
        print(measure(evm, args.runs, raws), flush=True)


if __name__ == "__main__":
    main()
