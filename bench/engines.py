"""Engines side by side over real HTTP: how long newPayload takes, and the whole sequencing cycle.

    .venv/bin/python bench/engines.py [--peer PATH] [--earlier PATH] [--gas 30,100] [--reference-gas 6] [--blocks 10]

Every engine gets the same genesis and the same blocks, in turns, so that a slow moment of the machine hits all of them. First
each sequences (forkchoiceUpdated with attributes, getPayload, newPayload, forkchoiceUpdated: the cycle); then a second, fresh
instance of each is given those payloads (newPayload of blocks that it has not built). All must agree on every block's hash.
`--peer` names an op-geth binary, `--earlier` another built checkout of l2engine. Prints Markdown; ratios are the peer's time over
ours, without a peer the earlier checkout's. Processor time, summed over threads,
tells engines apart even while neighbours keep the machine busy.
The blocks come from the drivers in ../shared/tools/bench, without which nothing is measured.
"""

import argparse
import gc
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import drivers
from bench.drivers import KINDS, Node
from l2engine.evm.native import machine as native

FORK = "jovian"
WARM = 2  # blocks of each kind that do not count
FIRST_PORT = 28_600

Payload = tuple[str, bool, list[Any]]
"""Kind, whether it is measured, and the parameters of newPayload."""


@dataclass
class Times:
    """Seconds that one engine takes for the blocks of one kind."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    """Of all the engine's threads, the work that it puts off until after the answer not counted; in steps of 10 ms."""

    def cells(self, mgas: float, peer: "Times | None") -> list[str]:
        """Median (least-most), p99, Mgas/s and the ratio to the peer's; then the mean processor time and its ratio."""
        ordered, median = sorted(self.wall), self.median
        late = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        spread = f"{median * 1e3:.1f} ({ordered[0] * 1e3:.1f}–{ordered[-1] * 1e3:.1f})"
        processor = statistics.mean(self.processor)
        ratios = (
            ["", ""] if peer is None else [f"{peer.median / median:.2f}", f"{statistics.mean(peer.processor) / (processor or 1e-3):.2f}"]
        )
        return [spread, f"{late * 1e3:.1f}", f"{mgas / median:.0f}", ratios[0], f"{processor * 1e3:.0f}", ratios[1]]

    @property
    def median(self) -> float:
        return statistics.median(self.wall)


def start_all(names: list[str], folder: Path, genesis: dict[str, Any], peer: Path | None, earlier: Path | None) -> list[Node]:
    """The engines of these names, each on its own fresh directory."""
    nodes = []
    for index, name in enumerate(names):
        port = FIRST_PORT + 10 * index
        if name == "op-geth":
            assert peer is not None
            nodes.append(drivers.start_peer(name, peer, folder / name, genesis, port))
        elif name == "earlier":
            assert earlier is not None
            nodes.append(drivers.start_ours(name, "native", folder / name, genesis, port, root=earlier))
        else:
            nodes.append(drivers.start_ours(name, {"reference": "py"}.get(name, name), folder / name, genesis, port))
    return nodes


@contextmanager
def running(names: list[str], genesis: dict[str, Any], arguments: argparse.Namespace, gas: int) -> Iterator[list[tuple[Node, Any]]]:
    """The engines with a driver each, all at the genesis."""
    with tempfile.TemporaryDirectory() as folder:
        nodes = start_all(names, Path(folder), genesis, arguments.peer, arguments.earlier)
        try:
            yield [(node, node.driver(FORK, gas)) for node in nodes]
        finally:
            for node in nodes:
                node.stop()


def in_turns(items: list[Any], turn: int) -> list[tuple[int, Any]]:
    """The items with their places, beginning with another one each turn."""
    numbered = list(enumerate(items))
    return numbered[turn % len(items) :] + numbered[: turn % len(items)]


def sequence(engines: list[tuple[Node, Any]], kinds: list[str], gas: int, blocks: int) -> tuple[list[Payload], list[dict[str, Times]]]:
    """Let all engines build the same blocks: the payloads, and what the cycle costs each engine by kind."""
    workloads = drivers.load("workloads").Workloads()
    payloads: list[Payload] = []
    times = [{kind: Times() for kind in kinds} for _ in engines]
    for kind in kinds:
        for block in range(WARM + blocks):
            transactions = workloads.block(kind, gas)
            built = {}
            for place, (node, engine) in in_turns(engines, block):
                before = node.processor_seconds()
                built[place] = engine.build(transactions)
                if block >= WARM:
                    times[place][kind].processor.append(node.processor_seconds() - before)
                    times[place][kind].wall.append(engine.t["total"])
            hashes = {params[0]["blockHash"] for params in built.values()}
            assert len(hashes) == 1, f"the engines built different blocks: {hashes}"
            assert len(built[0][0]["transactions"]) == len(transactions) + 1
            payloads.append((kind, block >= WARM, built[0]))
    return payloads, times


def validate(engines: list[tuple[Node, Any]], kinds: list[str], payloads: list[Payload]) -> list[dict[str, Times]]:
    """Give all engines the payloads and make them their heads: what newPayload costs each engine by kind."""
    times = [{kind: Times() for kind in kinds} for _ in engines]
    for turn, (kind, measured, params) in enumerate(payloads):
        for place, (node, engine) in in_turns(engines, turn):
            before = node.processor_seconds()
            status = engine.rpc.call(engine.np, *params)
            if measured:
                times[place][kind].processor.append(node.processor_seconds() - before)
                times[place][kind].wall.append(engine.rpc.last_s)
            assert status["status"] == "VALID", status
            engine.insert(params)  # known by now: makes it the head
    return times


def report(names: list[str], payloads: list[Payload], new: list[dict[str, Times]], cycle: list[dict[str, Times]]) -> None:
    """One row a kind and engine."""
    peer = next((names.index(name) for name in ("op-geth", "earlier") if name in names), None)
    for kind in dict.fromkeys(kind for kind, _, _ in payloads):
        params = [params[0] for other, measured, params in payloads if measured and other == kind]
        mgas = statistics.median(int(payload["gasUsed"], 16) for payload in params) / 1e6
        for place, name in enumerate(names):
            cells = [kind, f"{mgas:.3g}", str(len(params[0]["transactions"]) - 1), name]
            for times in (new, cycle):
                cells += times[place][kind].cells(mgas, None if peer is None else times[peer][kind])
            print("| " + " | ".join(cells) + " |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", type=Path, help="an op-geth binary to measure as well")
    parser.add_argument("--earlier", type=Path, help="another built checkout of l2engine to measure as well")
    parser.add_argument("--gas", default="30,100", help="Mgas in a block of the fast engines, several with commas")
    parser.add_argument("--reference-gas", type=int, default=6, help="Mgas in a block of the round with the reference executor; 0 for none")
    parser.add_argument("--blocks", type=int, default=10, help="measured blocks of each kind")
    parser.add_argument("--kinds", default=",".join(KINDS))
    arguments = parser.parse_args()
    if not drivers.available():
        return 0
    fast = (["native"] if native.available() else []) + (["op-geth"] if arguments.peer else [])
    fast += ["earlier"] if arguments.earlier else []
    rounds = [(["reference", *fast], arguments.reference_gas)] if arguments.reference_gas else []
    rounds += [(fast, float(gas)) for gas in arguments.gas.split(",") if gas and fast]
    kinds = arguments.kinds.split(",")
    columns = "p99 | Mgas/s | ratio | processor ms | ratio |"
    print(f"| block | Mgas | txs | engine | newPayload ms | {columns} cycle ms | {columns}")
    print(f"|{'---|' * 16}")
    gc.disable()
    for names, mgas in rounds:
        gas = round(mgas * 1_000_000)
        limit = max(gas, drivers.LEAST_LIMIT)
        genesis = drivers.load("genesis").build(FORK, limit)
        with running(names, genesis, arguments, limit) as engines:
            payloads, cycle = sequence(engines, kinds, gas, arguments.blocks)
        with running(names, genesis, arguments, limit) as engines:
            report(names, payloads, validate(engines, kinds, payloads), cycle)
    return 0


if __name__ == "__main__":
    sys.exit(main())
