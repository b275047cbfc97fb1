"""The sources of test documents: JSON files, folders of them, and the vectors' .tar.zst archives."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard

from l2engine.errors import ConfigError


def documents(paths: list[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and content of every test document below the paths; `ConfigError` for a path that holds none or something else."""
    for path in paths:
        found = False
        for name, raw in _files(path):
            try:
                content = json.loads(raw)
            except ValueError as error:
                raise ConfigError(f"{name} is not a JSON file: {error}") from error
            if isinstance(content, dict):
                found = True
                yield name, content
        if not found:
            raise ConfigError(f"no test files at {path}")


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.name.endswith(".tar.zst"):
        with open(path, "rb") as file, tarfile.open(fileobj=zstandard.ZstdDecompressor().stream_reader(file), mode="r|") as tar:
            for member in tar:
                content = tar.extractfile(member)
                if content is not None and member.name.endswith(".json"):
                    yield member.name, content.read()
    elif path.is_dir():
        for file_path in sorted(path.rglob("*.json")):
            yield str(file_path.relative_to(path)), file_path.read_bytes()
    elif path.is_file():
        yield path.name, path.read_bytes()
