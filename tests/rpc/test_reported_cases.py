"""Requests that once came out wrong, from public reports and from runs beside op-geth, with the right answers (shared/cases)."""

import json
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from genesis.dev import dev_genesis
from genesis.dev.accounts import DEV_ACCOUNTS
from l2engine.chain.payload import from_block
from l2engine.dev.sequencer import Sequencer
from l2engine.types.block import decode_block
from rpc.registry import ENGINE_NAMESPACES, methods_for
from rpc.show.payloads import show_payload
from tests.conformance.families import needs_native
from tests.helpers.in_process import InProcess
from tests.helpers.vectors import CASES, needs_cases

pytestmark = needs_cases

REPORTS = sorted((CASES / "reports").glob("rpc-*.json"))
BESIDE = sorted(path for path in (CASES / "beside-op-geth").glob("*.json") if path.stem != "chain")
GENESIS_TIME = 1_700_000_000
BOTH = [pytest.param("native", marks=needs_native), "py"]
NO_HASH = "0x" + "00" * 32


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


# ---- public reports -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("evm", BOTH)
@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
def test_reports(path: Path, evm: str) -> None:
    node = InProcess(dev_genesis("jovian", GENESIS_TIME), evm=evm)
    node.context.keys = {account.address: account.private_key for account in DEV_ACCOUNTS}
    document = read(path)
    for request in document.get("send", ()):
        assert "result" in node.send(request)
    block = Sequencer(node.engine, ThreadPoolExecutor(1)).make_block(GENESIS_TIME + 2)
    assert len(block.transactions) == 1 + len(document.get("send", ()))
    for case in document["cases"]:
        params = ["0x" + block.hash.hex() if str(item).startswith("<") else item for item in case["request"]["params"]]
        answer = node.send({**case["request"], "params": params})
        check(answer, case["right"])


def check(answer: Mapping[str, Any], right: Any) -> None:
    """Compare with a case's right answer: an error, a result, or some fields of a result; an ellipsis stands for anything."""
    if isinstance(right, dict) and "error" in right:
        assert answer["error"]["code"] == right["error"]["code"]
        assert re.fullmatch(re.escape(right["error"]["message"]).replace("…", ".*"), answer["error"]["message"])
    elif isinstance(right, dict):
        assert right.items() <= answer["result"].items()
    else:
        assert answer["result"] == right


# ---- beside op-geth -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("evm", BOTH)
@pytest.mark.parametrize("path", BESIDE, ids=lambda path: path.stem)
def test_answers_beside_op_geth(path: Path, evm: str) -> None:
    document = read(path)
    if document["request"]["method"] not in methods_for(ENGINE_NAMESPACES):
        pytest.skip(f"{document['request']['method']} is not there yet")
    node = chain_of(document, evm)
    answer = node.send({"jsonrpc": "2.0", "id": 1, **document["request"]})
    assert {key: answer[key] for key in ("result", "error") if key in answer} == document["right"]


def chain_of(document: Mapping[str, Any], evm: str) -> InProcess:
    """The common chain, or the case's own; its last block is the head and safe, nothing is finalized."""
    chain = read(CASES / "beside-op-geth" / "chain.json")
    genesis, blocks = chain["genesis"], document.get("blocks", chain["blocks"])
    for key, value in document.get("genesis", {}).items():
        where, _, name = key.rpartition(".")
        if key != "from":
            (genesis[where] if where else genesis)[name] = value
    node = InProcess(genesis, evm=evm)
    for raw in blocks:
        block = decode_block(bytes.fromhex(raw[2:]))
        payload = {key: value for key, value in show_payload(from_block(node.genesis.config, block)).items() if value is not None}
        beacon_root = "0x" + (block.header.parent_beacon_block_root or b"").hex()
        assert node.call("engine_newPayloadV4", payload, [], beacon_root, [])["status"] == "VALID"
        head = "0x" + block.hash.hex()
        node.call("engine_forkchoiceUpdatedV3", {"headBlockHash": head, "safeBlockHash": head, "finalizedBlockHash": NO_HASH}, None)
    assert "blocks" in document or head == chain["head"]
    return node
