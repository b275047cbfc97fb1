"""The Lagoon facts (vectors `lagoon/`): a test is parametrised by them and covers every fact of its kind."""

import gzip
import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.helpers.vectors import VECTORS

FOLDER = VECTORS / "lagoon"
BUNDLE = FOLDER / "lagoon_nut_bundle.json.gz"


@dataclass(frozen=True)
class Fact:
    """One fact: what is given, and what is so."""

    id: str
    input: dict[str, Any]
    expected: Any


def facts(file: str, kind: str, **given: Any) -> pytest.MarkDecorator:
    """Parametrises a test's argument `fact` by all facts of a kind in a file, or by those whose input has the `given` values; without
    the vectors the test is skipped."""
    path = FOLDER / file
    if not path.is_file():
        return pytest.mark.skip(reason=f"no Lagoon vectors at {path} (set L2ENGINE_VECTORS)")
    rows = [Fact(row["id"], row["input"], row["expected"]) for row in json.loads(path.read_text())["facts"] if row["kind"] == kind]
    rows = [row for row in rows if given.items() <= row.input.items()]
    return pytest.mark.parametrize("fact", [pytest.param(row, id=row.id) for row in rows])


def unhex(text: str) -> bytes:
    """The bytes of 0x-prefixed hex."""
    return bytes.fromhex(text.removeprefix("0x"))


def data(name: str) -> Any:
    """One of the data files, like karst_state; skips the test without the vectors."""
    path = FOLDER / f"{name}.json.gz"
    if not path.is_file():
        pytest.skip(f"no Lagoon vectors at {path} (set L2ENGINE_VECTORS)")
    return json.loads(gzip.decompress(path.read_bytes()))
