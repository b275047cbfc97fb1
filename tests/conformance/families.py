"""The archives of the public suites cut into shards, so that they run side by side.

Where the native core is installed every case runs on both executors at once: it passes when both give what the suite
says, and the same receipts and changes. Cases from before the merge, which the native one leaves to the reference, too.
"""

import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest

from l2engine.conformance.statetest import Outcome
from l2engine.evm.agreement import AgreementExecutor
from l2engine.evm.executor import Executor
from l2engine.evm.native import machine as native
from l2engine.evm.reference.machine import ReferenceExecutor
from l2engine.rules.config import ChainConfig
from tests.helpers.vectors import archive

MakeExecutor: TypeAlias = Callable[[ChainConfig], Executor]

needs_native = pytest.mark.skipif(not native.available(), reason="the native core is not installed: `make native` builds it (needs cargo)")

WIDEST: MakeExecutor = AgreementExecutor if native.available() else ReferenceExecutor


def shards(count: int) -> list[Any]:
    """Parameters (shard, count)."""
    name = "both" if native.available() else "reference"
    return [pytest.param(shard, count, id=f"{name}-{shard}of{count}") for shard in range(count)]


TAKES_MINUTES = ("CALLBlake2f_MaxRounds.json",)
"""Files of the suites that have a slow test of their own."""


def check(
    path: str,
    shard: int,
    count: int,
    outcomes: Callable[[dict[str, Any], MakeExecutor], Iterator[Outcome]],
    minutes: bool = False,
) -> None:
    """Run one shard of an archive, or (`minutes`) the files in it that take minutes; every case passes."""
    wrong, ran = [], 0
    for name, raw in archive(path):
        if not name.endswith(".json") or zlib.crc32(name.encode()) % count != shard or name.endswith(TAKES_MINUTES) != minutes:
            continue
        for outcome in outcomes(json.loads(raw), WIDEST):
            ran += 1
            if not outcome.passed:
                wrong.append(f"{name} {outcome.name} {outcome.fork}: {outcome.error}")
    assert ran, f"no cases in shard {shard} of {path}"
    assert not wrong, f"{len(wrong)} of {ran}:\n" + "\n".join(wrong[:50])
