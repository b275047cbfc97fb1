"""Files that go bad under a running node: each question about what they hold gets an error, and no verdict is made of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from l2engine.chain.payload import from_block
from l2engine.dev.l1 import ImaginedL1, dev_attributes
from l2engine.store.kv import LevelDB
from l2engine.store.native import NativeKeyValue
from l2engine.types.base import keccak
from rpc.show.payloads import show_payload
from tests.helpers.dev_chain import document
from tests.helpers.in_process import InProcess
from tests.helpers.rollup_node import attributes_json
from tests.store.damage import make_database, needs_native, settle

EARLY = "0x" + (bytes([3, 1]) * 10).hex()
ORACLE = "0x420000000000000000000000000000000000000f"
ERROR = {"code": -32000, "message": "the node's database cannot be read: Corruption: block checksum mismatch"}
each_executor = pytest.mark.parametrize("evm", ["py", pytest.param("native", marks=needs_native)])


@contextmanager
def damaged(path: Path) -> Iterator[None]:
    """Every block of every table has wrong bits, as long as this lasts."""
    whole = {file: file.read_bytes() for file in path.glob("*.ldb")}
    try:
        for file, content in whole.items():
            with open(file, "r+b") as opened:
                for at in range(0, len(content) * 92 // 100, 500):  # the index and the filter come last
                    opened.seek(at)
                    opened.write(bytes([content[at] ^ 1]))
        yield
    finally:
        for file, content in whole.items():
            with open(file, "r+b") as opened:
                opened.write(content)


@pytest.fixture
def node(evm, tmp_path) -> Iterator[Any]:
    following = make_database(tmp_path / "db")
    opening = LevelDB if evm == "py" else NativeKeyValue
    settle(tmp_path / "db")
    kv = opening(tmp_path / "db", cache_mb=0, create=False)  # without a cache every read is one of the files
    node = InProcess(document(), kv, evm=evm)
    yield node, following, tmp_path / "db"
    kv.close()


def reads(blocks: Any) -> list[tuple[Any, ...]]:
    """Questions about what is in tables only."""
    third = blocks.canonical_block(3)
    block_hash = "0x" + third.hash.hex()
    transaction = "0x" + keccak(third.transactions[1]).hex()
    return [
        ("eth_getTransactionByHash", transaction),
        ("eth_getTransactionReceipt", transaction),
        ("eth_getBalance", EARLY, "latest"),
        ("eth_getTransactionCount", EARLY, "latest"),
        ("eth_getCode", EARLY, "latest"),
        ("eth_getStorageAt", ORACLE, "0x0", "latest"),
        ("eth_getProof", EARLY, [], "latest"),
        ("eth_call", {"to": EARLY}, "latest"),
        ("eth_estimateGas", {"to": EARLY, "value": "0x0"}, "latest"),
        ("eth_getBlockByNumber", "0x3", True),
        ("eth_getBlockByHash", block_hash, False),
        ("eth_getBlockReceipts", block_hash),
        ("eth_getLogs", {"fromBlock": "0x1", "toBlock": "0x5"}),
        ("engine_getPayloadBodiesByHashV1", [block_hash]),
        ("engine_getPayloadBodiesByRangeV1", "0x2", "0x2"),
        ("debug_traceBlockByNumber", "0x3", {"tracer": "callTracer"}),
    ]


@each_executor
def test_reads_of_damaged_tables_are_errors(node) -> None:
    node, _, path = node
    questions = reads(node.engine.blocks)
    fresh = InProcess(document(), node.kv, evm="py" if isinstance(node.kv, LevelDB) else "native")  # with empty caches
    with damaged(path):
        answers = {question[0]: fresh.call(*question) for question in questions}
    assert answers == {name: {"jsonrpc": "2.0", "id": 1, "error": ERROR} for name in answers}
    assert not any("error" in (fresh.call(*question) or {}) for question in questions if question[0] != "eth_getBalance")


@each_executor
def test_payload_over_damaged_tables_gets_no_verdict(node) -> None:
    node, following, path = node
    payload = show_payload(from_block(node.context.config, following))
    params = (payload, [], "0x" + (following.header.parent_beacon_block_root or b"").hex(), [])
    forkchoice = {
        "headBlockHash": payload["blockHash"],
        "safeBlockHash": "0x" + bytes(32).hex(),
        "finalizedBlockHash": "0x" + bytes(32).hex(),
    }
    with damaged(path):
        for _ in range(2):
            assert node.call("engine_newPayloadV4", *params)["error"] == ERROR
        assert node.call("eth_blockNumber") == hex(following.number - 1)
    assert node.call("engine_newPayloadV4", *params)["status"] == "VALID"
    assert node.call("engine_forkchoiceUpdatedV3", forkchoice, None)["payloadStatus"]["status"] == "VALID"
    assert node.call("eth_getBalance", EARLY, "latest") == "0x2"


@each_executor
def test_build_over_damaged_tables_is_an_error(node) -> None:
    node, following, path = node
    head = node.engine.head
    plain = dev_attributes(node.engine.config, head, following.header.timestamp, ImaginedL1())
    attributes = attributes_json(replace(plain, transactions=following.transactions, no_tx_pool=True))
    forkchoice = {name: "0x" + head.hash.hex() for name in ("headBlockHash", "safeBlockHash", "finalizedBlockHash")}
    with damaged(path):
        assert node.call("engine_forkchoiceUpdatedV3", forkchoice, attributes)["error"] == ERROR
    assert node.call("engine_forkchoiceUpdatedV3", forkchoice, attributes)["payloadId"]
