"""A chain with refunds through the commands, and the same chain over JSON-RPC."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from l2engine.chain.payload import from_block
from l2engine.types.base import keccak
from l2engine.types.block import Block
from l2engine.types.native_functions import ordered_root
from l2engine.types.payload import Status
from rpc.show.payloads import show_payload
from tests.helpers.datadir import verified_head
from tests.helpers.dev_chain import Forge, adopt, document, funded, submit
from tests.helpers.in_process import InProcess
from tests.helpers.running import l2engine
from tests.lagoon.chain import post_execution

SINK = b"\x51" * 20
GENESIS = document("karst", {"lagoon": 4})


@pytest.fixture(scope="module")
def chain() -> list[Block]:
    """A block of Karst, Lagoon's activation block, and two blocks with refunds."""
    forge, alice = Forge(GENESIS), funded("alice")
    blocks = [forge.block(forge.genesis, alice.sign(to=SINK))]
    blocks.append(forge.block(blocks[-1].header))
    for number in (3, 4):
        sent = (alice.sign(to=SINK, value=1), alice.sign(to=SINK, value=2))
        blocks.append(forge.block(blocks[-1].header, *sent, post_execution(number, (1, 20_000), (2, 21_000))))
    return blocks


def test_export_and_import_keep_refunds(chain: list[Block], tmp_path: Path) -> None:
    (tmp_path / "genesis.json").write_text(json.dumps(GENESIS))
    (tmp_path / "chain.rlp").write_bytes(b"".join(block.encode() for block in chain))
    first, second = ("--datadir", tmp_path / "first"), ("--datadir", tmp_path / "second")
    done = l2engine("import", "--genesis", tmp_path / "genesis.json", "--evm", "py", *first, tmp_path / "chain.rlp")
    assert done.stdout.endswith(f"head: 4 0x{chain[-1].hash.hex()}\n"), done.stderr
    assert l2engine("export", *first, tmp_path / "again.rlp.gz").returncode == 0
    done = l2engine("import", "--genesis", tmp_path / "genesis.json", *second, tmp_path / "again.rlp.gz")
    assert done.stdout.endswith(f"head: 4 0x{chain[-1].hash.hex()}\n"), done.stderr
    assert l2engine("db", "verify", *second).returncode == 0
    assert l2engine("rewind", "2", *second).returncode == 0
    assert verified_head(tmp_path / "second") == 2
    assert l2engine("import", *second, tmp_path / "again.rlp.gz").returncode == 0
    assert verified_head(tmp_path / "second") == 4


@pytest.fixture(scope="module", params=["py", "auto"])
def node(request: pytest.FixtureRequest, chain: list[Block]) -> InProcess:
    made = InProcess(GENESIS, evm=request.param)
    adopt(made.engine, *chain)
    return made


def test_gas_adds_up_over_the_rpc(node: InProcess, chain: list[Block]) -> None:
    receipts = node.call("eth_getBlockReceipts", "latest")
    assert [receipt.get("opGasRefund") for receipt in receipts] == [None, hex(20_000), hex(21_000), None]
    assert [int(receipt["gasUsed"], 16) for receipt in receipts[1:]] == [1_000, 0, 0]
    assert receipts[-1]["cumulativeGasUsed"] == hex(chain[-1].header.gas_used)
    assert node.call("eth_getTransactionByHash", receipts[-1]["transactionHash"])["type"] == "0x7d"


def test_a_sender_pays_for_the_gas_after_the_refund(node: InProcess) -> None:
    alice = "0x" + funded("alice").address.hex()
    before, after = (int(node.call("eth_getBalance", alice, hex(number)), 16) for number in (3, 4))
    receipts = node.call("eth_getBlockReceipts", "0x4")[1:3]
    paid = sum(int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16) + int(receipt["l1Fee"], 16) for receipt in receipts)
    assert before - after == paid + 3


def test_a_restarted_node_knows_it_still(node: InProcess, chain: list[Block]) -> None:
    again = InProcess(GENESIS, node.kv)
    tx_hash = "0x" + keccak(chain[-1].transactions[-1]).hex()
    for method in ("eth_getTransactionByHash", "eth_getTransactionReceipt", "debug_getRawTransaction"):
        assert again.call(method, tx_hash) == node.call(method, tx_hash) is not None
    assert again.call("eth_getBlockReceipts", "0x3") == node.call("eth_getBlockReceipts", "0x3")


BAD: Mapping[str, bytes] = {
    "nothing": b"\x7d",
    "no list": b"\x7d\x01",
    "empty list": b"\x7d\xc0",
    "version 2": bytes.fromhex("7dc6022ac3c20307"),
}


@pytest.mark.parametrize("raw", BAD.values(), ids=BAD.keys())
def test_undecodable_bytes_make_a_payload_invalid(node: InProcess, chain: list[Block], raw: bytes) -> None:
    block, raws = chain[-1], (*chain[-1].transactions[:-1], raw)
    spoiled = Block(replace(block.header, transactions_root=ordered_root(raws)), raws, (), block.withdrawals)
    payload = show_payload(from_block(node.engine.config, spoiled))
    answer = node.call("engine_newPayloadV4", payload, [], "0x" + (block.header.parent_beacon_block_root or b"").hex(), [])
    assert (answer["status"], answer["latestValidHash"]) == ("INVALID", "0x" + block.header.parent_hash.hex())
    assert submit(node.engine, block).status is Status.VALID
