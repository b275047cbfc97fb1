"""Reads beside the native core: what an eth_call costs in the engine, and how long reads wait while a large block is executed.

    .venv/bin/python bench/rpc.py [--gas 100] [--blocks 10]

The first table is without HTTP, in one thread: executor alone, then the JSON-RPC request's bytes to the response's. For the second
a node is given blocks of that many Mgas through its Engine port while other connections read over HTTP, one request after the other.
"""

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import orjson

from bench import drivers
from bench.share import open_context
from l2engine.evm import native
from l2engine.types.environment import BlockEnv
from l2engine.types.execution import Call
from rpc.context import Context
from rpc.jsonrpc import handle
from rpc.registry import methods_for

FORK = "jovian"
CALLS = 20_000
PORT = 28_700


def microseconds(work: Callable[[], object]) -> tuple[float, float]:
    """Median and least, over groups of a hundred."""
    groups = []
    for _ in range(CALLS // 100):
        started = time.perf_counter()
        for _ in range(100):
            work()
        groups.append((time.perf_counter() - started) * 1e4)
    return statistics.median(groups), min(groups)


def requests(account: bytes) -> dict[str, dict[str, Any]]:
    """The reads that are measured, by name."""
    common = drivers.load("common")
    data = common.hx(common.call_data("Token", "balanceOf(address)", account))
    return {
        "eth_getBalance": {"method": "eth_getBalance", "params": [common.hx(account), "latest"]},
        "eth_call balanceOf": {"method": "eth_call", "params": [{"to": common.TOKEN, "data": data}, "latest"]},
    }


def measure_calls(context: Context) -> None:
    """Calls in this process."""
    common = drivers.load("common")
    account = common.accounts(1)[0].address
    head, config = context.engine.head, context.config
    call = Call(bytes(20), common.unhex(common.TOKEN), 1_000_000, data=common.call_data("Token", "balanceOf(address)", account))
    env = BlockEnv(
        head.number, head.timestamp, head.gas_limit, head.beneficiary, head.prev_randao, head.base_fee_per_gas, head, bytes(32), 0
    )
    assert int.from_bytes(context.executor.call(context.state.view(head.hash), env, call).output, "big") == 10**24
    print("| in the engine | median µs | least µs |\n|---|---|---|")
    works: dict[str, Callable[[], object]] = {
        "executor, balanceOf": lambda: context.executor.call(context.state.view(head.hash), env, call),
    }
    methods = methods_for(("eth",))
    for name, request in requests(account).items():
        body = orjson.dumps({"jsonrpc": "2.0", "id": 1, **request})
        assert b"error" not in handle(body, methods, context)
        works[f"{name}, JSON to JSON"] = partial(handle, body, methods, context)
    for name, work in works.items():
        median, least = microseconds(work)
        print(f"| {name}, {config.chain_id} | {median:.1f} | {least:.1f} |".replace(f", {config.chain_id}", ""))


class Reader(threading.Thread):
    """Sends one request after the other; remembers when each was sent and how long it took."""

    def __init__(self, url: str, request: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self._rpc, self._request = drivers.load("common").Rpc(url), request
        self.seen: list[tuple[float, float]] = []
        self.stopped = False

    def run(self) -> None:
        while not self.stopped:
            started = time.perf_counter()
            self._rpc.call(self._request["method"], *self._request["params"])
            self.seen.append((started, time.perf_counter() - started))
            time.sleep(0.001)


def measure_latency(folder: Path, gas: int, blocks: int, kinds: list[str]) -> None:
    """Reads over HTTP, while newPayload runs and while the node has nothing else to do."""
    genesis = drivers.load("genesis").build(FORK, gas)
    workloads = drivers.load("workloads").Workloads()
    builder = drivers.start_ours("builder", "native", folder / "builder", genesis, PORT)
    driver = builder.driver(FORK, gas)
    payloads = [(kind, driver.build(workloads.block(kind, gas))) for kind in kinds for _ in range(blocks)]
    builder.stop()
    node = drivers.start_ours("node", "native", folder / "node", genesis, PORT)
    driver = node.driver(FORK, gas)
    readers = {name: Reader(node.url, request) for name, request in requests(workloads.acc[0].address).items()}
    for reader in readers.values():
        reader.start()
    time.sleep(1.0)
    spans: dict[str, list[tuple[float, float]]] = {"idle": [(0.0, time.perf_counter())]}
    for kind, params in payloads:
        started = time.perf_counter()
        assert driver.rpc.call(driver.np, *params)["status"] == "VALID"
        spans.setdefault(f"{kind}", []).append((started, time.perf_counter()))
        driver.insert(params)
    print(f"\n| while | request | requests | median ms | p99 ms | most ms |\n{'|---' * 6}|")
    for while_, during in spans.items():
        for name, reader in readers.items():
            reader.stopped = True
            took = sorted(seconds * 1e3 for sent, seconds in reader.seen if any(start <= sent <= end for start, end in during))
            print(
                f"| {while_} | {name} | {len(took)} | {statistics.median(took):.2f} | {took[int(len(took) * 0.99)]:.2f} | {took[-1]:.2f} |"
            )
    print(f"\nresident memory after {len(payloads)} blocks of {gas // 10**6} Mgas: {node.resident_mb():.0f} MB")
    node.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gas", type=int, default=100, help="Mgas in a block")
    parser.add_argument("--blocks", type=int, default=10, help="blocks of each kind")
    parser.add_argument("--kinds", default="transfer,erc20,arith")
    arguments = parser.parse_args()
    if not drivers.available() or not native.available():
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measure_calls(open_context(folder / "in-process", drivers.load("genesis").build(FORK)))
        measure_latency(folder, arguments.gas * 10**6, arguments.blocks, arguments.kinds.split(","))
    return 0


if __name__ == "__main__":
    sys.exit(main())
