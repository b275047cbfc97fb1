"""The folder of the public test vectors, and how to stream them. They are read in place and never part of the project."""

import gzip
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

VECTORS = Path(os.environ.get("L2ENGINE_VECTORS", Path(__file__).resolve().parents[3] / "shared" / "vectors"))

CASES = VECTORS.parent / "cases"
"""Inputs that once came out wrong, with the right answers (their READMEs)."""

needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason=f"no cases at {CASES}")
needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason=f"no test vectors at {VECTORS} (set L2ENGINE_VECTORS)")

CASES = VECTORS.parent / "cases"
"""Inputs of users' reports, beside the vectors; each folder has a README with the right answers."""

needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason=f"no reported cases at {CASES}")


def archive(relative: str) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the files in a .tar.zst below the vectors folder, in archive order."""
    with open(VECTORS / relative, "rb") as f, tarfile.open(fileobj=zstandard.ZstdDecompressor().stream_reader(f), mode="r|") as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file is not None:
                yield member.name, file.read()


def json_lines(path: Path) -> Iterator[Any]:
    """The objects of a .jsonl.gz file."""
    with gzip.open(path, "rt") as f:
        for line in f:
            yield json.loads(line)
