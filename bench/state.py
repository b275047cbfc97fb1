"""State growth with the native core: roots, base moves, proofs far back, restarts and memory over a large state.

    .venv/bin/python bench/state.py [accounts] [--depth BLOCKS] [--database PATH]

Milliseconds of wall time, medians (least-most), and after the slash of processor time, which the machine's other work does not
stretch so much. The state is grown by blocks of 100,000 new accounts; then blocks touch random ones.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import l2engine_native
import orjson
import psutil

from bench.store import address_of, make_block
from genesis import loader
from genesis.dev import dev_genesis
from l2engine.chain.engine import Engine
from l2engine.evm.native.machine import NativeExecutor
from l2engine.store.blocks import BlockStore
from l2engine.store.genesis import write_genesis
from l2engine.store.native import NativeKeyValue, NativePrepared, NativeState
from l2engine.types.base import EMPTY_CODE_HASH, EMPTY_ROOT
from l2engine.types.header import Header
from rpc.context import Context
from rpc.jsonrpc import handle
from rpc.registry import methods_for

GROWTH = 100_000
LAYERS = 128
PROOFS = 50


@dataclass(frozen=True)
class Moment:
    """Wall and processor time in seconds, or how far two such moments are apart."""

    wall: float
    processor: float

    @classmethod
    def now(cls) -> "Moment":
        return cls(time.perf_counter(), time.process_time())

    def __sub__(self, other: "Moment") -> "Moment":
        return Moment(self.wall - other.wall, self.processor - other.processor)


class Chain:
    """Blocks of plain balance changes over accounts numbered from 0."""

    def __init__(self, path: Path, accounts: int = 0) -> None:
        """`accounts` are there already."""
        self.path, self.accounts, self.rng = path, accounts, random.Random(time.time_ns())
        self.kv = NativeKeyValue(path)
        self.blocks = BlockStore(self.kv)
        genesis = make_block(None, EMPTY_ROOT)
        write_genesis(self.kv, genesis, {}, b"{}")
        self.state = NativeState(self.kv, layers=0)
        head = self.blocks.header(self.state.base[1])
        assert head is not None
        self.head: Header = head

    def reopen(self, layers: int) -> Moment:
        """Close and open the database with so many layers kept above the base; how long until the state can be read."""
        del self.state, self.blocks  # a new process would not hold the old layers
        self.kv.close()
        started = Moment.now()
        self.kv = NativeKeyValue(self.path)
        self.blocks = BlockStore(self.kv)
        self.state = NativeState(self.kv, layers=layers)
        return Moment.now() - started

    def add(self, touched: Sequence[int]) -> tuple["Moment", ...]:
        """Seconds taken to read the accounts, as executing the block would, for the root, for writing the block and attaching its layer, and for moving the head (and with it the base)."""
        row = bytearray(bytes(64))
        for index in sorted(touched):
            row += address_of(index) + b"\1" + bytes(7) + b"\1" + self.rng.getrandbits(70).to_bytes(32, "big") + EMPTY_CODE_HASH + bytes(4)
        diff = l2engine_native.diff_from_row(bytes(row), [])
        times = [Moment.now()]
        view = self.state.native.view(self.head.hash)
        for index in touched:
            view.account(address_of(index))
        times.append(Moment.now())
        prepared = self.state.native.prepare(self.head.hash, diff)
        times.append(Moment.now())
        block = make_block(self.head, prepared.root)
        batch = self.kv.batch()
        self.blocks.put(batch, block, ())
        self.blocks.remember(block, ())
        self.blocks.set_canonical(batch, (), (block,))
        kept = NativePrepared(prepared.root, self.head.hash, prepared)
        self.state.push(batch, block, kept)
        batch.write()
        self.state.attach(block, kept)
        times.append(Moment.now())
        self.state.set_head([block.header])
        times.append(Moment.now())
        self.head = block.header
        return tuple(later - earlier for earlier, later in pairwise(times))

    def grow(self, accounts: int) -> None:
        """Let there be so many accounts."""
        while self.accounts < accounts:
            new = range(self.accounts, min(self.accounts + GROWTH, accounts))
            self.add(new)
            self.accounts = new.stop

    def touch(self, count: int) -> tuple["Moment", ...]:
        """A block that changes so many random accounts."""
        return self.add(self.rng.sample(range(self.accounts), count))


def spread(times: Sequence[Moment]) -> str:
    wall = [time.wall * 1e3 for time in times]
    processor = statistics.median(time.processor for time in times) * 1e3
    return f"{statistics.median(wall):.2f} ({min(wall):.2f}–{max(wall):.2f}) / {processor:.2f}"


def memory() -> str:
    """Resident memory now, and the share of it that is files mapped by the kernel."""
    info = psutil.Process().memory_info()
    return f"{info.rss / 1e6:.0f} MB ({info.shared / 1e6:.0f} files)"


def timed(work: Callable[[], object]) -> Moment:
    started = Moment.now()
    work()
    return Moment.now() - started


def measure_blocks(chain: Chain, layers: int) -> None:
    """Blocks of different sizes, with no layers above the base and with all."""
    chain.reopen(layers)
    for _ in range(layers):
        chain.touch(20)
    for count in (1_000, 10_000):
        columns = zip(*[chain.touch(count) for _ in range(9)], strict=True)
        print(f"| {count:,} touched, {layers} layers | " + " | ".join(map(spread, columns)) + f" | {memory()} |", flush=True)


def measure_proofs(chain: Chain, depth: int) -> None:
    """Proofs at the head and `depth` blocks back: in the store, and as eth_getProof answers, JSON to JSON."""
    below = chain.head.hash
    for _ in range(depth):
        chain.touch(20)
    config = loader.load(dev_genesis("ecotone", 0)).config
    context = Context(Engine(config, chain.kv, chain.blocks, chain.state, NativeExecutor(config)))
    methods = methods_for(("eth",))
    for name, block_hash in (("the head", chain.head.hash), (f"{depth:,} blocks back", below)):
        chain.state.view(below)  # another view than the one asked for: neither starts warm
        picks = [address_of(chain.rng.randrange(chain.accounts)) for _ in range(2 * PROOFS)]
        times = [timed(partial(chain.state.proof, block_hash, address, ())) for address in picks[:PROOFS]]
        print(f"proof at {name}: {spread(times)} ms", flush=True)
        times = []
        for address in picks[PROOFS:]:
            params = ["0x" + address.hex(), [], {"blockHash": "0x" + block_hash.hex()}]
            body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_getProof", "params": params})
            times.append(timed(partial(_answer, body, methods, context)))
        print(f"eth_getProof at {name}: {spread(times)} ms", flush=True)


def _answer(body: bytes, methods: Any, context: Context) -> None:
    assert b"accountProof" in (handle(body, methods, context) or b"")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("accounts", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--depth", type=int, default=40_000, help="how many blocks back proofs are made")
    parser.add_argument("--proofs-only", action="store_true", help="measure nothing but proofs")
    parser.add_argument("--database", type=Path, help="grown there, or used again when it is there; a temporary one by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.database or Path(folder) / "db"
        chain = Chain(path, arguments.accounts if path.exists() else 0)
        print(f"{arguments.accounts:,} accounts: grown in {timed(lambda: chain.grow(arguments.accounts)).wall:.0f} s")
        if arguments.proofs_only:
            measure_proofs(chain, arguments.depth)
            return 0
        print("| block | reading ms | root ms | write ms | head and base ms | resident |\n|---|---|---|---|---|---|")
        for layers in (0, LAYERS):
            measure_blocks(chain, layers)
        for count in (200, 2_000):
            for _ in range(LAYERS):
                chain.touch(count)
            took = chain.reopen(LAYERS)
            print(
                f"restart after {LAYERS} blocks of {count:,} accounts: {chain.state.native.layer_count()} layers, {spread([took])} ms",
                flush=True,
            )
        measure_proofs(chain, arguments.depth)
        print(f"resident memory: {memory()}")
        chain.kv.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
