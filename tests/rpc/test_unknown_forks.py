"""Engine methods past a fork that this build does not know: -32000 with its name, whatever else is wrong; reads go on."""

from typing import Any

import pytest

from genesis.dev import dev_genesis
from tests.helpers.in_process import InProcess

GENESIS_TIME = 1_700_000_000
BEGINS = GENESIS_TIME + 10
ZERO, HASH = "0x" + "00" * 32, "0x" + "ab" * 32
PAYLOAD: dict[str, Any] = {
    "parentHash": HASH,
    "feeRecipient": "0x" + "00" * 20,
    "stateRoot": ZERO,
    "receiptsRoot": ZERO,
    "logsBloom": "0x" + "00" * 256,
    "prevRandao": ZERO,
    "blockNumber": "0x1",
    "gasLimit": "0x1c9c380",
    "gasUsed": "0x0",
    "timestamp": hex(BEGINS),
    "extraData": "0x",
    "baseFeePerGas": "0x1",
    "blockHash": HASH,
    "transactions": ["0x7d01"],
}
ATTRIBUTES = {"timestamp": hex(BEGINS), "prevRandao": ZERO, "suggestedFeeRecipient": "0x" + "00" * 20}
UNKNOWN_HEAD = {"headBlockHash": HASH, "safeBlockHash": ZERO, "finalizedBlockHash": ZERO}


@pytest.fixture(scope="module", params=["regolith", "canyon", "ecotone", "isthmus", "jovian", "karst", "lagoon"])
def node(request: pytest.FixtureRequest) -> InProcess:
    genesis = dev_genesis(request.param, GENESIS_TIME)
    genesis["config"]["neverlandTime"] = BEGINS
    return InProcess(genesis)


def assert_refused(answer: Any) -> None:
    assert answer["error"]["code"] == -32000
    assert f"fork neverland, which begins at timestamp {BEGINS}" in answer["error"]["message"]


@pytest.mark.parametrize("version", [1, 2, 3, 4])
@pytest.mark.parametrize("later", [0, 1, 10**9])
def test_new_payload_names_the_fork(node: InProcess, version: int, later: int) -> None:
    extra = [[], [], [[], ZERO], [[], ZERO, ["0x0101"]]][version - 1]
    payload = PAYLOAD | {"timestamp": hex(BEGINS + later)}
    assert_refused(node.call(f"engine_newPayloadV{version}", payload, *extra))
    assert_refused(node.call(f"engine_newPayloadV{version}", payload | {"withdrawals": [], "blobGasUsed": "0x0"}, *extra))


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_attributes_name_the_fork(node: InProcess, version: int) -> None:
    known = {**UNKNOWN_HEAD, "headBlockHash": "0x" + node.engine.head.hash.hex()}
    for state in (UNKNOWN_HEAD, known):
        assert_refused(node.call(f"engine_forkchoiceUpdatedV{version}", state, ATTRIBUTES))
        assert_refused(node.call(f"engine_forkchoiceUpdatedV{version}", state, {**ATTRIBUTES, "withdrawals": [], "gasLimit": "0x1"}))


def test_reads_go_on(node: InProcess) -> None:
    assert node.call("eth_blockNumber") == "0x0"
    assert node.call("eth_getBlockByNumber", "latest", False)["hash"] == "0x" + node.engine.head.hash.hex()
    assert node.call("eth_call", {"to": "0x" + "01" * 20}, "pending") == "0x"
    assert "error" not in node.call("eth_feeHistory", "0x1", "latest", [])


def test_an_earlier_payload_gets_its_verdict(node: InProcess) -> None:
    answer = node.call("engine_newPayloadV1", PAYLOAD | {"timestamp": hex(BEGINS - 1), "transactions": []})
    assert answer["status"] == "INVALID"  # its hash is made up
