"""`context`: a recorded chain whose head a test may move."""

from collections.abc import Iterator

import pytest

from rpc.context import Context
from tests.helpers.vectors import VECTORS
from tests.rpc.chain import recorded
from tests.rpc.heads import move


@pytest.fixture(scope="module")
def chain() -> Context:
    return recorded(VECTORS / "recordings" / "fjord")


@pytest.fixture
def context(chain: Context) -> Iterator[Context]:
    head = chain.engine.head
    yield chain
    move(chain, head)
