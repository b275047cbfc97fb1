"""Every field that a request may have has an effect or is refused: `argument_cases` against the argument tables themselves.

A new field, or a new table, fails here until it has a case.
"""

import gc
import logging
from typing import Any

import pytest

import rpc.ports.subscriptions
import rpc.registry  # noqa: F401
from rpc.read.values import Struct
from tests.helpers.in_process import InProcess
from tests.rpc.argument_cases import SILENT, Case, all_cases
from tests.rpc.argument_chain import node


def tables() -> dict[str, set[str]]:
    """The fields of every argument table in the program."""
    found: dict[str, set[str]] = {}
    for table in gc.get_objects():
        if isinstance(table, Struct):
            found.setdefault(table.name.rpartition(".")[2], set()).update(table.fields)
    return found


def test_every_accepted_field_has_a_case() -> None:
    accepted = {f"{table}.{field}" for table, fields in tables().items() for field in fields}
    assert accepted - {key for key, _ in all_cases()} == set()


def test_every_case_is_of_an_accepted_field() -> None:
    known = tables()
    for key, _ in all_cases():
        table, _, field = key.partition(".")
        assert field in known[table], key


@pytest.mark.parametrize(("key", "case"), all_cases(), ids=lambda item: item if isinstance(item, str) else item.method)
def test_a_field_has_an_effect_or_is_refused(key: str, case: Case, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    first, second = (observed(case.method, params, caplog) for params in (case.first, case.second))
    assert case.first != case.second
    if (case.method, key) in SILENT:
        assert first == second, "it has an effect: no longer silent"
    else:
        assert first != second, f"{case.method} drops {key}: {case.second}"


def observed(method: str, params: list[Any], caplog: pytest.LogCaptureFixture) -> Any:
    """All that a request does: its answer, what it logs, where the chain then stands. For a filter, what it finds."""
    asked = node()
    caplog.clear()
    answer = asked.call(method, *params)
    if method == "eth_newFilter":
        answer = asked.call("eth_getFilterLogs", answer) if isinstance(answer, str) else answer
    return answer, list(caplog.messages), labels(asked)


def labels(asked: InProcess) -> tuple[Any, ...]:
    return asked.engine.head, asked.engine.safe, asked.engine.finalized
