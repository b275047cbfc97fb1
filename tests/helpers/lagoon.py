"""The facts and data files of the Lagoon hard fork (vectors/lagoon)."""

import gzip
import json
from functools import cache
from typing import Any

from tests.helpers.vectors import VECTORS


def facts(kind: str, file: str | None = None) -> list[dict[str, Any]]:
    """The facts of one kind; none without the vectors."""
    path = VECTORS / "lagoon" / f"{file or kind}.json"
    return [fact for fact in json.loads(path.read_text())["facts"] if fact["kind"] == kind] if path.exists() else []


@cache
def data(name: str) -> Any:
    """One of the data files, like karst_state."""
    return json.loads(gzip.decompress((VECTORS / "lagoon" / f"{name}.json.gz").read_bytes()))
