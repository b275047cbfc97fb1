"""Chains recorded from op-geth with real predeploys and network-upgrade deposits (vectors/recordings-upgrades): payloads,
the bad calls between them, rebuilds, and the forkchoice scenario at the end. `tests/rpc` compares the recorded eth_* calls.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.in_process import InProcess
from tests.helpers.vectors import VECTORS, json_lines, needs_vectors
from tests.recordings.departures import DEPARTURES, FIRST_KARST_PRECOMPILE
from tests.recordings.test_recordings import without_nulls

CHAINS = ("bedrock", "regolith", "canyon", "ecotone", "fjord", "granite", "holocene", "isthmus", "jovian", "ladder")

pytestmark = needs_vectors


def folder(chain: str) -> Path:
    return VECTORS / "recordings-upgrades" / chain


def outcome(answer: Any) -> Any:
    """The part that must equal op-geth's answer: the error's code, or status and latestValidHash."""
    if "error" in answer:
        return answer["error"]["code"]
    result = answer["result"]
    result = result.get("payloadStatus", result) if isinstance(result, dict) else result
    return (result["status"], result["latestValidHash"]) if isinstance(result, dict) and "status" in result else result


def departure(name: str, answer: Any) -> bool:
    """Whether this is a named departure from op-geth, answered as we say that we answer it."""
    for prefix, (wanted, _) in DEPARTURES.items():
        if name.startswith(prefix):
            got = outcome(answer)
            return bool(wanted == (got[0] if isinstance(got, tuple) else got))
    return False


def ask(node: InProcess, request: dict[str, Any]) -> Any:
    return node.send({"jsonrpc": "2.0", "id": 1, "method": request["method"], "params": request["params"]})


@pytest.mark.parametrize("chain", CHAINS)
def test_payloads_bad_calls_and_scenario_as_op_geth(chain: str) -> None:
    node = InProcess(folder(chain) / "genesis.json")
    bad = defaultdict(list)
    for row in json_lines(folder(chain) / "invalid.jsonl.gz"):
        bad[row["afterBlock"]].append(row)
    differences = []

    def bad_calls(number: int) -> None:
        for row in bad.pop(number, ()):
            answer = ask(node, row["request"])
            if outcome(answer) != outcome(row["response"]) and not departure(row["name"], answer):
                differences.append((number, row["name"], outcome(row["response"]), answer))

    bad_calls(0)
    for row in json_lines(folder(chain) / "blocks.jsonl.gz"):
        number, call = row["number"], row["newPayload"]
        status = node.call(f"engine_newPayloadV{call['version']}", *call["params"])
        if chain == "ladder" and number == FIRST_KARST_PRECOMPILE:
            assert status["validationError"].startswith("invalid gas used")
            return
        assert (status["status"], status["latestValidHash"]) == ("VALID", row["hash"]), (number, status)
        head = row["setHead"]
        assert outcome({"result": node.call(f"engine_forkchoiceUpdatedV{head['version']}", *head["params"])}) == ("VALID", row["hash"])
        assert node.call("debug_getRawHeader", hex(number)) == row["rawHeader"]
        assert node.call("debug_getRawReceipts", hex(number)) == row["rawReceipts"]
        assert node.call("eth_getBlockReceipts", hex(number)) == row["receipts"]
        bad_calls(number)
        assert not differences
    assert not bad
    for index, row in enumerate(json_lines(folder(chain) / "scenario.jsonl.gz")):
        answer = ask(node, row["request"])
        if row["api"] == "engine":
            assert outcome(answer) == outcome(row["response"]), (index, row["request"], answer)
        else:
            wanted = {key: row["response"][key] for key in ("result", "error") if key in row["response"]}
            assert {key: answer[key] for key in ("result", "error") if key in answer} == wanted, (index, row["request"])


@pytest.mark.parametrize("chain", CHAINS)
def test_attributes_rebuild_op_geths_payloads(chain: str) -> None:
    """Network-upgrade deposits included: the recorded attributes give op-geth's payload id and payload."""
    node = InProcess(folder(chain) / "genesis.json")
    for row in json_lines(folder(chain) / "blocks.jsonl.gz"):
        if chain == "ladder" and row["number"] == FIRST_KARST_PRECOMPILE:
            return
        call, built = row["forkchoiceUpdated"], row["getPayload"]
        started = node.call(f"engine_forkchoiceUpdatedV{call['version']}", *call["params"])
        assert started == call["result"], row["number"]
        envelope = node.call(f"engine_getPayloadV{built['version']}", *built["params"])
        assert without_nulls(envelope) == without_nulls(built["result"]), row["number"]
        call = row["newPayload"]
        assert node.call(f"engine_newPayloadV{call['version']}", *call["params"])["status"] == "VALID"
        head = row["setHead"]
        node.call(f"engine_forkchoiceUpdatedV{head['version']}", *head["params"])
