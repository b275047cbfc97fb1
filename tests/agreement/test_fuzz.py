"""Random blocks on both executors: same receipts, gas, outputs, refusals, diffs; the slow run has more than 20,000 transactions."""

import pytest

from tests.agreement.run_fuzz import run

QUICK, LONG = 160, 3_200


@pytest.mark.parametrize("seed", range(QUICK))
def test_random_blocks(seed: int) -> None:
    stood, _ = run(seed)
    assert stood > 0


@pytest.mark.slow
@pytest.mark.parametrize("part", range(16))
def test_many_random_blocks(part: int) -> None:
    stood = sum(run(seed)[0] for seed in range(QUICK + part, QUICK + LONG, 16))
    assert stood > 20_000 / 16
