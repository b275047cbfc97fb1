"""The deposits of Lagoon's activation block, from the bundle among the vectors."""

import gzip
import json
from functools import cache
from typing import Any

from l2engine.dev.upgrades import read_upgrade
from tests.lagoon.facts import BUNDLE


@cache
def bundle() -> list[dict[str, Any]]:
    """The network upgrade bundle's rows, in order."""
    return list(json.loads(gzip.decompress(BUNDLE.read_bytes()))["transactions"])


def deposits(chains: int) -> list[bytes]:
    """All of them, encoded, for a dependency set of so many chains."""
    return list(read_upgrade(BUNDLE, "lagoon", multi_chain=chains > 1).deposits)
