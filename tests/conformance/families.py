"""The archives of the public suites cut into shards, so that they run side by side, on each executor."""

import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import pytest

from l2engine.conformance.statetest import Outcome
from l2engine.evm import native
from l2engine.evm.native import NativeExecutor
from l2engine.evm.reference import ReferenceExecutor
from l2engine.rules.config import ChainConfig
from l2engine.types.state import Executor
from tests.helpers.vectors import archive

MakeExecutor: TypeAlias = Callable[[ChainConfig], Executor]

needs_native = pytest.mark.skipif(not native.available(), reason="the native core is not installed: `make native` builds it (needs cargo)")


class Shard(NamedTuple):
    """Part of an archive, and who runs it."""

    executor: MakeExecutor
    index: int
    count: int


def shards(reference: int, native: int = 1) -> list[Any]:
    """Parameters: so many shards for the reference executor, and so many for the native one, which hands cases from before
    the merge to the reference."""
    of_reference = [Shard(ReferenceExecutor, i, reference) for i in range(reference)]
    of_native = [Shard(NativeExecutor, i, native) for i in range(native)]
    return [
        *(pytest.param(shard, id=f"reference-{shard.index}of{reference}") for shard in of_reference),
        *(pytest.param(shard, id=f"native-{shard.index}of{native}", marks=needs_native) for shard in of_native),
    ]


def check(path: str, shard: Shard, outcomes: Callable[[dict[str, Any], MakeExecutor], Iterator[Outcome]]) -> None:
    """Run one shard of an archive; every case passes."""
    wrong, ran = [], 0
    for name, raw in archive(path):
        if not name.endswith(".json") or zlib.crc32(name.encode()) % shard.count != shard.index:
            continue
        for outcome in outcomes(json.loads(raw), shard.executor):
            ran += 1
            if not outcome.passed:
                wrong.append(f"{name} {outcome.name} {outcome.fork}: {outcome.error}")
    assert ran, f"no cases in shard {shard.index} of {path}"
    assert not wrong, f"{len(wrong)} of {ran}:\n" + "\n".join(wrong[:50])
