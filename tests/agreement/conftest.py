"""Everything here compares the native core with the Python reference, so it needs both."""

from importlib.util import find_spec
from pathlib import Path

import pytest

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if find_spec("l2engine_native") is None:
        skip = pytest.mark.skip(reason="the native core is not installed: `make native` builds it (needs cargo)")
        for item in items:
            if _HERE in item.path.parents:
                item.add_marker(skip)
