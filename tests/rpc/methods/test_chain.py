"""debug_setHead, with op-geth's texts (v1.101702.3, run), and debug_proofsSyncStatus."""

from typing import Any

import pytest

from tests.conformance.families import needs_native
from tests.helpers.dev_chain import Forge, document, forkchoice, submit
from tests.helpers.in_process import InProcess

GENESIS = document()
LENGTH = 6


@pytest.fixture(params=["py", pytest.param("native", marks=needs_native)])
def node(request: pytest.FixtureRequest) -> InProcess:
    """A chain of six blocks, 4 safe and 2 finalized."""
    node = InProcess(GENESIS, evm=request.param)
    blocks = forge_blocks()
    for block in blocks:
        submit(node.engine, block)
    node.engine.forkchoice_updated(forkchoice(blocks[-1].header, blocks[3].header, blocks[1].header))
    return node


def forge_blocks() -> Any:
    forge = Forge(GENESIS)
    return forge.chain(forge.genesis, LENGTH)


def labels(node: InProcess) -> tuple[int, ...]:
    return tuple(int(node.call("eth_getBlockByNumber", label, False)["number"], 16) for label in ("latest", "safe", "finalized"))


def test_the_head_and_the_labels_above_it_go_back(node: InProcess):
    assert node.call("debug_setHead", "0x5") is None and labels(node) == (5, 4, 2)
    assert node.call("debug_setHead", "0x3") is None and labels(node) == (3, 3, 2)
    assert node.call("eth_getBlockByNumber", "0x4", False) is None
    again = InProcess(GENESIS, kv=node.kv, evm="native" if "Native" in type(node.kv).__name__ else "py")
    assert labels(again) == (3, 3, 2)


def test_a_forkchoice_returns_to_the_blocks_above(node: InProcess):
    head = node.engine.head
    node.call("debug_setHead", "0x2")
    assert node.engine.forkchoice_updated(forkchoice(head)).payload_status.latest_valid_hash == head.hash
    assert node.call("eth_blockNumber") == "0x6"


@pytest.mark.parametrize("number", ["0x6", "0x7", "0xffffffffffffffff"])
def test_only_backwards(node: InProcess, number: str):
    answer = node.call("debug_setHead", number)
    assert answer["error"] == {"code": -32000, "message": "not allowed to rewind to a future block"}
    assert labels(node) == (6, 4, 2)


def test_below_the_finalized_block_only_by_force(node: InProcess):
    for arguments in (["0x1"], ["0x1", False]):
        answer = node.call("debug_setHead", *arguments)
        assert answer["error"]["code"] == -32000 and "below the finalized block 2" in answer["error"]["message"]
    assert labels(node) == (6, 4, 2)
    assert node.call("debug_setHead", "0x1", True) is None and labels(node) == (1, 1, 1)
    assert node.call("debug_setHead", "0x0", True) is None and node.call("eth_blockNumber") == "0x0"


@pytest.mark.parametrize("arguments", [[], ["5"], [5], ["0x1", "yes"], ["0x1", True, 1]])
def test_wrong_arguments(node: InProcess, arguments: list[Any]):
    assert node.call("debug_setHead", *arguments)["error"]["code"] == -32602
    assert labels(node) == (6, 4, 2)


def test_proofs_of_the_blocks_in_the_status_can_be_made(node: InProcess):
    status = node.call("debug_proofsSyncStatus")
    assert status == {"earliest": 0, "latest": LENGTH}
    for number in range(status["earliest"], status["latest"] + 1):
        assert "accountProof" in node.call("eth_getProof", "0x" + "00" * 20, [], hex(number))
