"""Prints `docs/forks.md` from the fork table: `python -m tools.forks_page > docs/forks.md`. A test compares the two."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from enum import Enum
from itertools import pairwise

from l2engine.rules.forks import ETHEREUM_FORKS, OP_FORKS, BlobSchedule, Fork

_FIELDS = [field.name for field in fields(Fork) if field.compare]


def markdown() -> str:
    """The fork table as a page of documentation."""
    steps = [f"- **{later.name}**: {_changes(earlier, later) or 'nothing in execution'}" for earlier, later in pairwise(OP_FORKS)]
    parts = [
        "# Forks",
        "Printed from `l2engine/rules/forks.py` by `python -m tools.forks_page`; do not edit.",
        "## OP Stack",
        _rows(OP_FORKS),
        "What each fork changes in the row before it:",
        "\n".join(steps),
        "## Ethereum",
        "For the public Ethereum suites; seals and difficulties are not checked.",
        "Blobs are target, maximum and update fraction.",
        _rows(ETHEREUM_FORKS),
    ]
    return "\n\n".join(parts) + "\n"


def _rows(forks: Sequence[Fork]) -> str:
    """The fields in which the forks differ, a column each."""
    fields = [name for name in _FIELDS if any(getattr(fork, name) != getattr(forks[0], name) for fork in forks)]
    return _table([f"`{name}`" for name in fields], [[_text(getattr(fork, name)) for name in fields] for fork in forks])


def _changes(earlier: Fork, later: Fork) -> str:
    fields = [name for name in _FIELDS if name != "name" and getattr(earlier, name) != getattr(later, name)]
    return ", ".join(f"`{name}` = {_text(getattr(later, name))}" for name in fields)


def _text(value: object) -> str:
    match value:
        case None | False:
            return "–"
        case True:
            return "yes"
        case Enum():
            return "–" if value.value == "none" else str(value.value)
        case BlobSchedule():
            return f"{value.target}, {value.max}, {value.base_fee_update_fraction}"
        case frozenset():
            return ", ".join(str(kind) if kind < 10 else f"0x{kind:02x}" for kind in sorted(value))
        case Mapping():
            return ", ".join(f"0x{address:02x}: {limit:,}" for address, limit in value.items()) or "–"
        case int() if value >= 10**18:
            return f"{value // 10**18} ETH"
    return str(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print(markdown(), end="")
