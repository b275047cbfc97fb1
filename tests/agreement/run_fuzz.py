"""Random blocks on both executors: `python -m tests.agreement.run_fuzz FIRST LAST` runs the seeds of a range and counts."""

import sys
import time
from contextlib import suppress

from l2engine.errors import DecodeError, ExecutorsDisagree, InvalidBlock, InvalidTransaction
from l2engine.evm.agreement import AgreementExecutor
from tests.agreement.fuzz import random_block


def run(seed: int) -> tuple[int, int]:
    """Execute one random block, and its calls, twice: how many of its transactions stood, and how many there were. `ExecutorsDisagree`."""
    block = random_block(seed)
    executor = AgreementExecutor(block.config)
    execution = executor.begin(block.world, block.env)
    stood = 0
    for raw in block.transactions:
        with suppress(InvalidTransaction, DecodeError):
            execution.apply(raw)
            stood += 1
    with suppress(InvalidBlock):
        execution.finish()
    for call, overrides in block.calls:
        with suppress(InvalidTransaction):
            executor.call(block.world, block.env, call, overrides)
    return stood, len(block.transactions)


def main(first: int, last: int) -> int:
    """0 when the executors agreed on all of it."""
    started, stood, tried, wrong = time.monotonic(), 0, 0, 0
    for seed in range(first, last):
        if seed % 1000 == 0:
            print(f"seed {seed} after {time.monotonic() - started:.0f} s: {tried} transactions", flush=True)
        try:
            counts = run(seed)
        except ExecutorsDisagree as error:
            print(f"seed {seed}: {error}", flush=True)
            wrong += 1
            continue
        stood, tried = stood + counts[0], tried + counts[1]
    seconds = time.monotonic() - started
    print(f"{last - first} blocks, {tried} transactions of which {stood} stood, {seconds:.0f} s, {wrong} disagreements")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
