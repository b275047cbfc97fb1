"""For all tests: property tests have no clock of their own, and a run can be told that it must use the public vectors.

`REQUIRE_VECTORS=FOLDER` (`.ci/run` sets it where the vectors are) fails a run in which some folder of them was never opened: then
tests were skipped, or look for them in the wrong place.
"""

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.helpers.vectors import VECTORS

NO_TESTS_YET = {"devp2p", "op-node"}
"""Folders whose feature is not built yet."""

hypothesis.settings.register_profile("shared machine", deadline=None)
hypothesis.settings.load_profile("shared machine")

_required = os.environ.get("REQUIRE_VECTORS", "")
_opened: set[str] = set()


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | Path) and str(arguments[0]).startswith(f"{VECTORS}/"):
        _opened.add(str(arguments[0])[len(str(VECTORS)) + 1 :].partition("/")[0])


if _required:
    sys.addaudithook(_note)


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Commands that a test runs in this process set up logging for good; the next test shall not see that."""
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]


class _Collector:
    """Only with pytest-xdist: gathers what each worker opened."""

    def pytest_testnodedown(self, node: Any, error: Any) -> None:
        _opened.update(getattr(node, "workeroutput", {}).get("vectors", ()))


def pytest_configure(config: pytest.Config) -> None:
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(_Collector())


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["vectors"] = sorted(_opened)
    elif _required and not session.config.option.collectonly and unused():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _required and unused():
        terminalreporter.write_line(f"ERROR no test opened these vectors below {_required}: {', '.join(unused())}", red=True)


def unused() -> list[str]:
    """The folders of the required vectors that no test opened."""
    folders = {path.name for path in Path(_required).iterdir() if path.is_dir()}
    opened = _opened if Path(_required).resolve() == VECTORS.resolve() else set()
    return sorted(folders - opened - NO_TESTS_YET)
