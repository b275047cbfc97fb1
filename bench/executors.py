"""How fast the executors run the benchmark's blocks, next to bare py-evm on the same transactions.

    .venv/bin/python bench/executors.py [--gas 10000000] [--runs 3]

Each run executes one block of a kind and computes its state root; senders are recovered from signatures every time. The
three take turns, so that a slow moment of the machine hits all of them. Prints a Markdown table of medians in Mgas/s.
The blocks come from the drivers in ../shared/tools/bench, without which nothing is measured.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import drivers
from bench.bare_pyevm import bare_pyevm_seconds
from genesis import loader
from genesis.loader import Genesis
from l2engine.chain.engine import Engine
from l2engine.evm.executor import Executor
from l2engine.evm.native import machine as native
from l2engine.evm.reference.machine import ReferenceExecutor
from l2engine.store.blocks import BlockStore
from l2engine.store.genesis import write_genesis
from l2engine.store.kv import MemoryKeyValue
from l2engine.store.state import LayeredState
from l2engine.types.payload import PayloadAttributes
from l2engine.types.signature import recover_address
from l2engine.types.transactions import Transactions


def our_seconds(
    make: Callable[[Any], Executor], genesis: Genesis, raws: Sequence[bytes], deposit: bytes, gas_limit: int
) -> tuple[float, int]:
    """Seconds to build a block of these transactions on the genesis, roots included, and the gas that they used."""
    kv = MemoryKeyValue()
    write_genesis(kv, genesis.block, genesis.alloc, b"{}")
    builder = Engine(genesis.config, kv, BlockStore(kv), LayeredState(kv), make(genesis.config)).builder
    attributes = PayloadAttributes(
        timestamp=genesis.header.timestamp + 2,
        prev_randao=bytes(32),
        suggested_fee_recipient=bytes.fromhex("4200000000000000000000000000000000000011"),
        withdrawals=(),
        parent_beacon_block_root=bytes(32),
        transactions=Transactions((deposit, *raws)),
        no_tx_pool=True,
        gas_limit=gas_limit,
        eip_1559_params=bytes(8),
    )
    recover_address.cache_clear()
    started = time.perf_counter()
    identity = builder.start(genesis.header, attributes, 3)
    seconds = time.perf_counter() - started
    built = builder.get(identity)
    assert built is not None
    return seconds, built.block.header.gas_used


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gas", type=int, default=10_000_000, help="gas in a block")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    if not drivers.available():
        return 0
    document = drivers.load("genesis").build("isthmus", gas_limit=2 * arguments.gas)
    genesis = loader.load(document)
    alloc = {a: {"balance": v.balance, "nonce": v.nonce, "code": v.code, "storage": dict(v.storage)} for a, v in genesis.alloc.items()}
    deposit = drivers.load("common").l1_info_deposit(1, fork="isthmus")
    executors: dict[str, Callable[[Any], Executor]] = {"reference": ReferenceExecutor}
    if native.available():
        executors["native"] = native.NativeExecutor

    print(f"| block | txs | Mgas | bare py-evm | {' | '.join(f'{name} | ratio' for name in executors)} |")
    print(f"|{'---|' * (4 + 2 * len(executors))}")
    for kind in drivers.KINDS:
        raws = drivers.load("workloads").Workloads().block(kind, arguments.gas)
        speeds: dict[str, list[float]] = {"bare": [], **{name: [] for name in executors}}
        for _ in range(arguments.runs):
            seconds, used = bare_pyevm_seconds(alloc, raws, 2 * arguments.gas, genesis.config.chain_id)
            speeds["bare"].append(used / 1e6 / seconds)
            for name, make in executors.items():
                seconds, used = our_seconds(make, genesis, raws, deposit, 2 * arguments.gas)
                speeds[name].append(used / 1e6 / seconds)
        medians = {name: statistics.median(values) for name, values in speeds.items()}
        columns = " | ".join(f"{medians[name]:.1f} | {medians[name] / medians['bare']:.2f}" for name in executors)
        print(f"| {kind} | {len(raws)} | {used / 1e6:.1f} | {medians['bare']:.1f} | {columns} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
