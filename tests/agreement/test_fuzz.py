"""Random blocks on both executors: same receipts, gas, outputs, refusals, diffs; the slow run has more than 20,000 transactions."""

from contextlib import suppress

import pytest

from l2engine.errors import DecodeError, InvalidBlock, InvalidTransaction
from l2engine.evm.agreement import AgreementExecutor
from tests.agreement.fuzz import random_block

QUICK, LONG = 160, 2_400


def run(seed: int) -> int:
    """Execute one random block twice; how many transactions stood in it."""
    block = random_block(seed)
    execution = AgreementExecutor(block.config).begin(block.world, block.env)
    stood = 0
    for raw in block.transactions:
        try:
            execution.apply(raw)
            stood += 1
        except (InvalidTransaction, DecodeError):
            continue
    with suppress(InvalidBlock):
        execution.finish()
    return stood


@pytest.mark.parametrize("seed", range(QUICK))
def test_random_blocks(seed: int) -> None:
    assert run(seed) > 0


@pytest.mark.slow
@pytest.mark.parametrize("part", range(16))
def test_many_random_blocks(part: int) -> None:
    assert sum(run(seed) for seed in range(QUICK + part, QUICK + LONG, 16)) > 0
