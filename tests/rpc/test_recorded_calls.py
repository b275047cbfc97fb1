"""Recorded requests that need state (accounts, proofs, calls, estimates, access lists), on chains executed here."""

import json
import re
from pathlib import Path

import pytest

from rpc.jsonrpc import handle
from rpc.registry import methods_for
from tests.helpers.vectors import VECTORS, json_lines, needs_vectors
from tests.rpc.chain import executed

STATEFUL = re.compile(
    r"eth_(getBalance|getCode|getStorageAt|getTransactionCount|getProof|call|estimateGas|createAccessList|sendRawTransaction)"
)
ONLY_GETH_KNOWS = re.compile(r"stack underflow|reentrancy sentry")  # what failed inside an opcode, in words py-evm does not have


@needs_vectors
@pytest.mark.parametrize("name", ["recordings/regolith", "recordings/isthmus", "recordings-upgrades/bedrock", "recordings-upgrades/jovian"])
def test_answers_equal_op_geths(name: str) -> None:
    folder: Path = VECTORS / name
    context, methods = executed(folder), methods_for(("eth",))
    asked = 0
    for row in json_lines(folder / "rpc.jsonl.gz"):
        request = row["request"]
        if not isinstance(request, dict) or not STATEFUL.match(request.get("method", "")):
            continue
        if "error" in row["response"] and ONLY_GETH_KNOWS.search(row["response"]["error"]["message"]):
            continue
        assert json.loads(handle(json.dumps(request).encode(), methods, context)) == row["response"], request
        asked += 1
    assert asked > 100
