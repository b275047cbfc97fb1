"""How long tracing a block takes with either executor, next to executing it.

    .venv/bin/python bench/traces.py [--gas 10000000]

The blocks are those of `bench/executors.py`. Milliseconds of processor time, the trace's JSON form included.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


from bench import drivers
from genesis import loader
from l2engine.conformance.world import World
from l2engine.evm import tracers
from l2engine.evm.executor import Executor
from l2engine.evm.native import machine as native
from l2engine.evm.reference.machine import ReferenceExecutor
from l2engine.types.base import ZERO_HASH
from l2engine.types.environment import BlockEnv
from l2engine.types.json_text import JsonText

TRACERS: dict[str, dict[str, Any] | None] = {
    "no tracer": None,
    "callTracer": {"tracer": "callTracer", "tracerConfig": {"withLog": True}},
    "prestateTracer": {"tracer": "prestateTracer"},
    "struct logs": {},
}


def milliseconds(executor: Executor, world: World, env: BlockEnv, raws: list[bytes], options: dict[str, Any] | None) -> float:
    """Execute a block's transactions, each with its own tracer."""
    started = time.process_time()
    execution = executor.begin(world, env)
    for raw in raws:
        text = JsonText()
        tracer = None if options is None else tracers.make(options, text)
        execution.apply(raw, tracer=tracer)
        if tracer is not None:
            tracer.finish(text)
    return (time.process_time() - started) * 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gas", type=int, default=10_000_000, help="gas in a block")
    arguments = parser.parse_args()
    if not drivers.available():
        return 0
    document = drivers.load("genesis").build("isthmus", gas_limit=2 * arguments.gas)
    genesis = loader.load(document)
    deposit = drivers.load("common").l1_info_deposit(1, fork="isthmus")
    world = World.from_json(document["alloc"], lambda number: ZERO_HASH)
    env = BlockEnv(
        number=1,
        timestamp=genesis.header.timestamp + 2,
        gas_limit=2 * arguments.gas,
        beneficiary=bytes.fromhex("4200000000000000000000000000000000000011"),
        prev_randao=ZERO_HASH,
        base_fee_per_gas=genesis.header.base_fee_per_gas,
        parent=genesis.header,
        parent_beacon_block_root=ZERO_HASH,
        excess_blob_gas=0,
    )
    executors: dict[str, Callable[[Any], Executor]] = {"reference": ReferenceExecutor}
    if native.available():
        executors["native"] = native.NativeExecutor
    print(f"| block | txs | executor | {' | '.join(TRACERS)} |")
    print(f"|{'---|' * (3 + len(TRACERS))}")
    for kind in drivers.KINDS:
        raws = [deposit, *drivers.load("workloads").Workloads().block(kind, arguments.gas)]
        for name, make in executors.items():
            columns = [f"{milliseconds(make(genesis.config), world, env, raws, options):.0f}" for options in TRACERS.values()]
            print(f"| {kind} | {len(raws) - 1} | {name} | {' | '.join(columns)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
