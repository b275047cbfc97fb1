"""What dropped blocks cost: forkchoiceUpdated and the start of a clean chain, after thousands of dropped blocks, and 130 blocks later.

    .venv/bin/python bench/branches.py [--tree PATH] [--dropped 5000] [--store native|python]

With `--tree`, another checkout with its own native core as the folder `l2engine_native` in it is measured first. Branches of 100 blocks become the head, one after the other, and
are dropped for a block on their parent, as after outages of a batcher. Prints Markdown: processor time in milliseconds, median. Nothing
goes over HTTP. Each block is built here, so that executing it costs nothing.
"""

import argparse
import gc
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BRANCH = 100
MEASURED = 60


def open_all(folder: Path, store: str) -> tuple[Any, Any]:
    """The key-value store and an engine over it, on a dev genesis."""
    from genesis import loader
    from genesis.dev import dev_genesis
    from l2engine.chain.engine import Engine
    from l2engine.evm.native.machine import NativeExecutor
    from l2engine.store.blocks import BlockStore
    from l2engine.store.genesis import write_genesis
    from l2engine.store.kv import LevelDB
    from l2engine.store.native import NativeKeyValue, NativeState
    from l2engine.store.state import LayeredState

    genesis = loader.load(dev_genesis("isthmus", 1_700_000_000))
    kv: Any = NativeKeyValue(folder) if store == "native" else LevelDB(folder)
    write_genesis(kv, genesis.block, genesis.alloc, b"{}")
    state: Any = NativeState(kv) if store == "native" else LayeredState(kv)
    return kv, Engine(genesis.config, kv, BlockStore(kv), state, NativeExecutor(genesis.config))


def add(engine: Any, parent: Any, seconds: int = 2) -> tuple[Any, float]:
    """A child of `parent`, which is now the head, and the processor time of that forkchoiceUpdated in milliseconds."""
    from l2engine.chain.payload import from_block
    from l2engine.dev.l1 import ImaginedL1, dev_attributes
    from l2engine.types.payload import ForkchoiceState

    attributes = replace(dev_attributes(engine.config, parent, parent.timestamp + seconds, ImaginedL1()), no_tx_pool=True)
    identity = engine.builder.start(parent, attributes, 3)
    block = engine.get_payload(identity).block
    engine.new_payload(from_block(engine.config, block), (), block.header.parent_beacon_block_root, ())
    started = time.process_time()
    engine.forkchoice_updated(ForkchoiceState(block.hash, bytes(32), bytes(32)))
    return block.header, (time.process_time() - started) * 1e3


def drop_branches(engine: Any, count: int) -> None:
    for _ in range(count // BRANCH):
        parent = header = engine.head
        for _ in range(BRANCH):
            header, _ = add(engine, header)
        add(engine, parent, seconds=3)


def measure(folder: Path, dropped: int, store: str) -> list[tuple[str, float, float]]:
    """Milliseconds of a forkchoiceUpdated and of a start, at three moments."""
    found = []
    kv, engine = open_all(folder, store)
    for name, side, blocks in (("clean chain", 0, 140), (f"{dropped:,} blocks dropped", dropped, 0), ("130 blocks later", 0, 130)):
        drop_branches(engine, side)
        for _ in range(blocks):
            add(engine, engine.head)
        gc.collect()
        moves = [add(engine, engine.head)[1] for _ in range(MEASURED)]
        kv.close()
        open_all(folder, store)[0].close()  # moves the log into tables, and cleans
        started = time.process_time()
        kv, engine = open_all(folder, store)
        found.append((name, statistics.median(moves), (time.process_time() - started) * 1e3))
    kv.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tree", type=Path, help="another checkout to measure first")
    parser.add_argument("--dropped", type=int, default=5_000)
    parser.add_argument("--store", choices=("native", "python"), default="native")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        sys.path[0] = str(arguments.one)  # in place of this folder, whose rpc.py hides the package
        with tempfile.TemporaryDirectory() as folder:
            for name, move, start in measure(Path(folder) / "db", arguments.dropped, arguments.store):
                print(f"| {'this' if arguments.one == ROOT else 'other'} | {name} | {move:.2f} | {start:.0f} |", flush=True)
        return 0
    print("| tree | moment | forkchoiceUpdated ms | start ms |\n|---|---|---|---|", flush=True)
    for tree in [tree.resolve() for tree in (arguments.tree, ROOT) if tree is not None]:
        command = [sys.executable, __file__, "--one", str(tree), "--dropped", str(arguments.dropped), "--store", arguments.store]
        subprocess.run(command, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
