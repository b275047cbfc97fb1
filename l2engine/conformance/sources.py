"""The sources of test documents: JSON files, folders of them, and the vectors' .tar.zst archives."""

import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import zstandard

from l2engine.errors import ConfigError
from l2engine.types.json_file import parse_json

Read = Callable[[], dict[str, Any]]
"""Reads one file; `ConfigError` when it holds no tests."""


def documents(paths: list[Path]) -> Iterator[tuple[str, Read]]:
    """Name and content of every test file below the paths. A path that holds none is an item whose content cannot be read."""
    for path in paths:
        found = False
        try:
            for name, raw in _files(path):
                found = True
                yield name, partial(_parse, name, raw)
        except (OSError, tarfile.TarError, zstandard.ZstdError) as error:
            yield path.name, partial(_refuse, f"cannot read {path}: {error}")
            continue
        if not found:
            yield path.name, partial(_refuse, f"no test files at {path}")


def _parse(name: str, raw: bytes) -> dict[str, Any]:
    try:
        content = parse_json(raw)
    except ValueError as error:
        raise ConfigError(f"{name} is not a JSON file: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{name} is not a file of tests: no JSON object")
    return content


def _refuse(words: str) -> dict[str, Any]:
    raise ConfigError(words)


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.name.endswith(".tar.zst"):
        with open(path, "rb") as file, tarfile.open(fileobj=zstandard.ZstdDecompressor().stream_reader(file), mode="r|") as tar:
            for member in tar:
                content = tar.extractfile(member)
                if content is not None and member.name.endswith(".json"):
                    yield member.name, content.read()
    elif path.is_dir():
        for file_path in sorted(path.rglob("*.json")):
            if any(part.startswith(".") for part in file_path.relative_to(path).parts):
                continue  # indexes of execution-spec-tests
            yield str(file_path.relative_to(path)), file_path.read_bytes()
    elif path.is_file():
        yield path.name, path.read_bytes()
