"""Python's own share of a newPayload with the native core: the wall time that is not spent inside it.

    .venv/bin/python bench/share.py [--gas 30,100] [--blocks 5]

The request's body goes in, the response's comes out, without HTTP; every call into the native core is timed. The processor's
time is that of all threads; where the machine has better things to do, it is less than the wall time.
"""

import argparse
import dataclasses
import gc
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import orjson

from bench import drivers
from l2engine import assembly
from l2engine.evm.native import machine as native
from l2engine.settings import Settings
from l2engine.store import native as native_store
from l2engine.types import native_functions, transactions
from rpc.context import Context
from rpc.jsonrpc import handle
from rpc.registry import ENGINE_NAMESPACES, methods_for

FORK = "jovian"
WARM = 1
METHODS = methods_for(ENGINE_NAMESPACES)


class Stopwatch:
    """Seconds spent in native calls, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def wrap(self, target: Any) -> Any:
        """`target` with all its calls timed, and what they give back as well where it lives in the core."""
        if type(target).__module__ != "l2engine_native" and getattr(target, "__name__", "") != "l2engine_native":
            return target
        return _Timed(target, self)


class _Timed:
    def __init__(self, target: Any, watch: Stopwatch) -> None:
        self._target, self._watch = target, watch

    def __getattr__(self, name: str) -> Any:
        started = time.perf_counter()
        found = getattr(self._target, name)
        self._watch.seconds[name] += time.perf_counter() - started
        return self._call(name, found) if callable(found) else found

    def __iter__(self) -> Any:
        return iter(self._target)

    def _call(self, name: str, function: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            plain = [item._target if isinstance(item, _Timed) else item for item in arguments]
            started = time.perf_counter()
            result = function(*plain, **named)
            self._watch.seconds[name] += time.perf_counter() - started
            return self._watch.wrap(result)

        return call


def open_context(folder: Path, genesis: dict[str, Any]) -> Context:
    """A chain with the native core on a new directory, as its RPC sees it."""
    folder.mkdir()
    (folder / "genesis.json").write_bytes(orjson.dumps(genesis))
    settings = dataclasses.replace(Settings(), datadir=folder / "data", genesis=folder / "genesis.json", evm="native")
    return Context(assembly.open_chain(settings).engine)


class InProcess:
    """Stands in for an HTTP connection of the drivers."""

    def __init__(self, context: Context) -> None:
        self.context, self.last_s = context, 0.0

    def call(self, method: str, *params: Any) -> Any:
        body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        started = time.perf_counter()
        answer = handle(body, METHODS, self.context)
        self.last_s = time.perf_counter() - started
        return orjson.loads(answer)["result"]


def driver(context: Context, gas: int) -> Any:
    """The drivers' rollup node, without HTTP."""
    module: Any = drivers.load("engine")
    module.Rpc = lambda url, secret: InProcess(context)
    return module.Engine("", b"", fork=FORK, gas_limit=gas)


def build(genesis: dict[str, Any], gas: int, limit: int, kinds: list[str], blocks: int) -> list[tuple[str, Any]]:
    """Payloads of each kind."""
    with tempfile.TemporaryDirectory() as folder:
        engine, workloads = driver(open_context(Path(folder) / "builder", genesis), limit), drivers.load("workloads").Workloads()
        return [(kind, engine.build(workloads.block(kind, gas))) for kind in kinds for _ in range(blocks)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gas", default="30,100", help="Mgas in a block, several with commas")
    parser.add_argument("--blocks", type=int, default=5, help="measured blocks of each kind")
    parser.add_argument("--kinds", default=",".join(drivers.KINDS))
    parser.add_argument("--calls", action="store_true", help="list the native calls' milliseconds as well")
    arguments = parser.parse_args()
    if not drivers.available() or not native.available():
        return 0
    watch, kinds = Stopwatch(), arguments.kinds.split(",")
    modules: tuple[Any, ...] = (native, native_store, native_functions, transactions)
    for module in modules:
        module._native = watch.wrap(module._native)
    print("| block | Mgas | newPayload ms | processor ms | Python ms | share |\n|---|---|---|---|---|---|")
    for mgas in map(float, arguments.gas.split(",")):
        gas = round(mgas * 1_000_000)
        limit = max(gas, drivers.LEAST_LIMIT)
        genesis = drivers.load("genesis").build(FORK, limit)
        with ProcessPoolExecutor(1, get_context("spawn")) as other:  # what it finds out is not remembered here
            payloads = other.submit(build, genesis, gas, limit, kinds, WARM + arguments.blocks).result()
        with tempfile.TemporaryDirectory() as folder:
            verifier = driver(open_context(Path(folder) / "verifier", genesis), limit)
            rows: dict[str, list[tuple[float, float, float]]] = {kind: [] for kind in kinds}
            calls: dict[str, dict[str, float]] = {}
            gc.collect()
            for kind, params in payloads:
                watch.seconds.clear()
                processor = time.process_time()
                assert verifier.rpc.call(verifier.np, *params)["status"] == "VALID"
                whole = verifier.rpc.last_s
                rows[kind].append((whole, time.process_time() - processor, whole - sum(watch.seconds.values())))
                calls[kind] = dict(watch.seconds)
                verifier.insert(params)  # again, and makes it the head
        for kind in kinds:
            whole, processor, own = (statistics.median(column) for column in zip(*rows[kind][WARM:], strict=True))
            print(f"| {kind} | {mgas:g} | {whole * 1e3:.1f} | {processor * 1e3:.1f} | {own * 1e3:.1f} | {own / whole:.0%} |")
            if arguments.calls:
                print({name: round(seconds * 1e3, 2) for name, seconds in sorted(calls[kind].items(), key=lambda item: -item[1])})
    return 0


if __name__ == "__main__":
    sys.exit(main())
