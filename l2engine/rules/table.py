"""Prints `docs/forks.md` from the fork table: `python -m l2engine.rules.table > docs/forks.md`. A test compares the two."""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from itertools import pairwise
from typing import Any

from l2engine.rules.forks import ETHEREUM_FORKS, OP_FORKS, BlobSchedule, Fork

_COLUMNS: tuple[tuple[str, Callable[[Fork], Any]], ...] = (
    ("Ethereum rules", lambda fork: fork.l1),
    ("transaction types", lambda fork: fork.transaction_types),
    ("L1 fee", lambda fork: fork.l1_fee),
    ("operator fee", lambda fork: fork.operator_fee),
    ("extraData", lambda fork: fork.extra_data),
    ("nonce in deposit receipts", lambda fork: fork.deposit_nonce_in_receipt),
    ("receipt version", lambda fork: fork.deposit_receipt_version),
    ("deposits report gas", lambda fork: fork.deposits_report_gas),
    ("withdrawalsRoot of the message passer", lambda fork: fork.withdrawals_root_is_message_passer),
    ("minimum base fee", lambda fork: fork.min_base_fee),
    ("DA footprint", lambda fork: fork.da_footprint),
    ("P256VERIFY gas", lambda fork: fork.p256_verify_gas),
    ("precompile input limits (bytes)", lambda fork: fork.precompile_input_limits),
)


def markdown() -> str:
    """The fork table as a page of documentation."""
    op_rows = [[fork.name, *(_text(read(fork)) for _, read in _COLUMNS)] for fork in OP_FORKS]
    ethereum_rows = [
        [
            fork.name,
            _text(fork.l1),
            _text(fork.transaction_types),
            _text(fork.block_reward // 10**18 or None),
            _text(fork.blobs),
            _text(fork.p256_verify_gas),
        ]
        for fork in ETHEREUM_FORKS
    ]
    steps = [f"- **{later.name}**: {_changes(earlier, later) or 'nothing in execution'}" for earlier, later in pairwise(OP_FORKS)]
    parts = [
        "# Forks",
        "Printed from `l2engine/rules/forks.py` by `python -m l2engine.rules.table`; do not edit.",
        "## OP Stack",
        _table(["fork", *(title for title, _ in _COLUMNS)], op_rows),
        "What each fork changes in the row before it:",
        "\n".join(steps),
        "## Ethereum",
        "For the public Ethereum suites; seals and difficulties are not checked.",
        _table(
            ["fork", "rules", "transaction types", "block reward (ETH)", "blobs: target, maximum, update fraction", "P256VERIFY gas"],
            ethereum_rows,
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _changes(earlier: Fork, later: Fork) -> str:
    fields = [name for name in Fork.__dataclass_fields__ if name != "name" and getattr(earlier, name) != getattr(later, name)]
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
    return str(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print(markdown(), end="")
