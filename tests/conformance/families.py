"""The archives of the public suites cut into shards, so that they run side by side."""

import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from l2engine.conformance.statetest import Outcome
from tests.conformance.exceptions import EXCEPTIONS
from tests.helpers.vectors import archive


def shards(count: int) -> list[Any]:
    """Parameters (shard, count)."""
    return [pytest.param(i, count, id=f"{i}of{count}") for i in range(count)]


def check(path: str, shard: int, count: int, outcomes: Callable[[dict[str, Any]], Iterator[Outcome]]) -> None:
    """Run one shard of an archive; every case passes or is a named exception."""
    wrong, ran = [], 0
    for name, raw in archive(path):
        if not name.endswith(".json") or zlib.crc32(name.encode()) % count != shard:
            continue
        for outcome in outcomes(json.loads(raw)):
            ran += 1
            if outcome.passed == (outcome.name in EXCEPTIONS):
                wrong.append(f"{name} {outcome.name} {outcome.fork}: {outcome.error if not outcome.passed else 'is no exception any more'}")
    assert ran, f"no cases in shard {shard} of {path}"
    assert not wrong, f"{len(wrong)} of {ran}:\n" + "\n".join(wrong[:50])
