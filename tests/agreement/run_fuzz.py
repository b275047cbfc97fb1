"""Random blocks on both executors: `python -m tests.agreement.run_fuzz FIRST LAST` runs the seeds of a range and counts what ran,
and what both refused for the same reason."""

import sys
import time
from collections import Counter
from contextlib import suppress

from l2engine.errors import DecodeError, ExecutorsDisagree, InvalidBlock, InvalidTransaction
from l2engine.evm.agreement import AgreementExecutor
from tests.agreement.fuzz import random_block


def run(seed: int) -> tuple[int, Counter[str]]:
    """Execute one random block, and its calls, twice: how many of its transactions stood, and why the others were refused.
    `ExecutorsDisagree`, also when the reasons differ."""
    block = random_block(seed)
    executor = AgreementExecutor(block.config)
    execution = executor.begin(block.world, block.env)
    stood, refused = 0, Counter[str]()
    for raw in block.transactions:
        try:
            execution.apply(raw)
            stood += 1
        except InvalidTransaction as error:
            refused[error.reason] += 1
        except DecodeError:
            refused["undecodable"] += 1
    with suppress(InvalidBlock):
        execution.finish()
    for call, overrides in block.calls:
        with suppress(InvalidTransaction):
            executor.call(block.world, block.env, call, overrides)
    return stood, refused


def main(first: int, last: int) -> int:
    """0 when the executors agreed on all of it."""
    started, stood, refused, wrong = time.monotonic(), 0, Counter[str](), 0
    for seed in range(first, last):
        if seed % 1000 == 0:
            print(f"seed {seed} after {time.monotonic() - started:.0f} s: {stood + refused.total()} transactions", flush=True)
        try:
            counts = run(seed)
        except ExecutorsDisagree as error:
            print(f"seed {seed}: {error}", flush=True)
            wrong += 1
            continue
        stood, refused = stood + counts[0], refused + counts[1]
    seconds, tried = time.monotonic() - started, stood + refused.total()
    print(f"{last - first} blocks, {tried} transactions of which {stood} stood, {seconds:.0f} s, {wrong} disagreements")
    print("refused by both: " + ", ".join(f"{count} {reason}" for reason, count in refused.most_common()))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
