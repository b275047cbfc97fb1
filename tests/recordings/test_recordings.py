"""Chains recorded from op-geth (vectors/recordings): every payload, every rebuild, every mutated payload, every receipt.

In process, through the JSON-RPC layer; `tests/end_to_end` does the same over HTTP.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.in_process import InProcess
from tests.helpers.vectors import VECTORS, json_lines, needs_vectors

CHAINS = ("bedrock", "regolith", "canyon", "ecotone", "fjord", "granite", "holocene", "isthmus", "jovian", "ladder")
BLOCKS = {chain: 125 if chain == "ladder" else 40 for chain in CHAINS}

pytestmark = needs_vectors


def folder(chain: str) -> Path:
    return VECTORS / "recordings" / chain


def verdict(answer: Any) -> Any:
    """The part that must equal op-geth's answer: an error's code, or status and latestValidHash."""
    if "error" in answer:
        return answer["error"]["code"]
    result = answer.get("result", answer)
    return result["status"], result["latestValidHash"]


def without_nulls(payload: dict[str, Any]) -> dict[str, Any]:
    """Payload fields that are not null: op-geth sends null for fields of other forks, or leaves them out."""
    inner = payload.get("executionPayload", payload)
    return {key: value for key, value in inner.items() if value is not None}


@pytest.mark.parametrize("chain", CHAINS)
def test_payloads_receipts_and_mutations_as_op_geth(chain: str) -> None:
    """As a verifier: op-geth's payloads are VALID with its hashes and receipts, then every mutated one gets its verdict."""
    node = InProcess(folder(chain) / "genesis.json")
    assert "0x" + node.genesis.hash.hex() == (folder(chain) / "genesis_hash.txt").read_text().strip()
    count = 0
    for row in json_lines(folder(chain) / "blocks.jsonl.gz"):
        call = row["newPayload"]
        status = node.call(f"engine_newPayloadV{call['version']}", *call["params"])
        assert (status["status"], status["latestValidHash"]) == ("VALID", row["hash"]), (row["number"], status)
        after = row["forkchoiceAfter"]
        assert node.call("engine_forkchoiceUpdatedV3", *after["params"]) == after["result"]
        number = hex(row["number"])
        assert node.call("debug_getRawHeader", number) == row["rawHeader"]
        assert node.call("debug_getRawReceipts", number) == row["rawReceipts"]
        assert node.call("eth_getBlockReceipts", number) == row["receipts"]
        count += 1
    assert count == BLOCKS[chain]

    wrong = Counter()
    for row in json_lines(folder(chain) / "invalid.jsonl.gz"):
        answer = node.send({"jsonrpc": "2.0", "id": 1, "method": f"engine_newPayloadV{row['version']}", "params": row["params"]})
        if verdict(answer) != verdict(row["response"]):
            wrong[f"block {row['block']} {row['mutation']}: want {verdict(row['response'])}, got {answer}"] += 1
    assert not wrong


@pytest.mark.parametrize("chain", CHAINS)
def test_attributes_rebuild_op_geths_payloads(chain: str) -> None:
    """As a sequencer: the recorded attributes give op-geth's payload id, payload and block value."""
    node = InProcess(folder(chain) / "genesis.json")
    for row in json_lines(folder(chain) / "blocks.jsonl.gz"):
        call, built = row["forkchoiceUpdated"], row["getPayload"]
        started = node.call(f"engine_forkchoiceUpdatedV{call['version']}", *call["params"])
        assert started == call["result"], row["number"]
        envelope = node.call(f"engine_getPayloadV{built['version']}", started["payloadId"])
        assert without_nulls(envelope) == without_nulls(built["result"]), row["number"]
        assert envelope.get("blockValue") == built["result"].get("blockValue")
        call = row["newPayload"]
        assert node.call(f"engine_newPayloadV{call['version']}", *call["params"])["status"] == "VALID"
        node.call("engine_forkchoiceUpdatedV3", *row["forkchoiceAfter"]["params"])
