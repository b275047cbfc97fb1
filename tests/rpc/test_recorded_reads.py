"""Recorded requests that need no state, asked of the recorded blocks: equal to op-geth's answers, byte for byte as JSON."""

import json
import re
from pathlib import Path

import pytest

from rpc.jsonrpc import handle
from rpc.registry import methods_for
from tests.helpers.vectors import VECTORS, json_lines, needs_vectors
from tests.rpc.chain import recorded

FOLDERS = sorted(path.parent for path in VECTORS.glob("recordings*/*/rpc.jsonl.gz"))
STATELESS = re.compile(
    r"eth_(block|chainId|get(Block|Header|Transaction(By|Receipt)|RawTransaction|Logs|Uncle)|gasPrice|maxPriority|feeHistory|blobBaseFee|accounts|sign|nope)"
    r"|debug_getRaw|net_version|web3_sha3|nope|raw"
)
NODE_IDENTITY = re.compile(r"web3_clientVersion|net_peerCount|net_listening|eth_syncing|txpool_")


@needs_vectors
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_answers_equal_op_geths(folder: Path) -> None:
    context, methods = recorded(folder), methods_for(("eth", "net", "web3", "debug", "txpool"))
    asked = 0
    for row in json_lines(folder / "rpc.jsonl.gz"):
        request = row["request"]
        raw = request if isinstance(request, str) else request.get("raw")
        name = "raw" if raw is not None else request["method"]
        if row.get("unstable") or not STATELESS.match(name) or NODE_IDENTITY.match(name):
            continue
        answer = handle((raw if raw is not None else json.dumps(request)).encode(), methods, context)
        expected = row["response"]
        if isinstance(expected, dict) and expected.keys() == {"http", "body"}:
            expected = expected["body"]
        assert (json.loads(answer) if answer else "") == expected, request
        asked += 1
    assert asked > 100
