"""admin_sdmStatus, admin_setOperatorSdmOptIn and debug_replaySDMBlock."""

from typing import Any

import pytest

from l2engine.chain.builder import BuilderSettings
from l2engine.chain.engine import EngineSettings
from tests.chain.test_metering import READS, call, genesis
from tests.helpers.dev_chain import GENESIS_TIME, funded
from tests.helpers.in_process import InProcess

LAGOON_TIME = GENESIS_TIME + 2
BEFORE = hex(GENESIS_TIME)


def node(policy: str = "warming", opted_in: bool = True) -> InProcess:
    settings = EngineSettings(builder=BuilderSettings(sdm_policy=policy, sdm_opt_in=opted_in))
    return InProcess(genesis("karst", {"lagoon": 2}), settings=settings)


@pytest.mark.parametrize(
    ("policy", "opted_in", "timestamp", "expected"),
    [
        ("warming", True, LAGOON_TIME, (True, True, True)),
        ("warming", True, hex(LAGOON_TIME), (True, True, True)),
        ("warming", True, LAGOON_TIME - 1, (True, False, False)),
        ("warming", False, LAGOON_TIME, (False, True, False)),
        ("none", True, LAGOON_TIME, (True, True, False)),
        ("warming", True, None, (True, True, True)),
    ],
)
def test_status_names_what_refunds_depend_on(policy: str, opted_in: bool, timestamp: Any, expected: tuple[bool, ...]) -> None:
    status = node(policy, opted_in).call("admin_sdmStatus", timestamp)
    assert list(status) == ["operatorSdmOptIn", "protocolActive", "effective", "activationTime"]
    assert tuple(status.values()) == (*expected, LAGOON_TIME)


def test_status_of_a_chain_without_lagoon() -> None:
    status = InProcess(genesis("karst")).call("admin_sdmStatus")
    assert status == {"operatorSdmOptIn": False, "protocolActive": False, "effective": False, "activationTime": None}


@pytest.mark.parametrize("wrong", ["soon", -1, "0x10000000000000000", True, 1.5])
def test_wrong_timestamp_is_refused(wrong: Any) -> None:
    assert node().call("admin_sdmStatus", wrong)["error"]["code"] == -32602


def test_opt_in_changes_while_the_node_runs() -> None:
    running = node(opted_in=False)
    assert running.call("admin_setOperatorSdmOptIn", True) is None
    assert running.call("admin_sdmStatus", LAGOON_TIME)["effective"] is True
    running.call("admin_setOperatorSdmOptIn", False)
    assert running.call("admin_sdmStatus", LAGOON_TIME)["effective"] is False
    assert running.call("admin_setOperatorSdmOptIn")["error"]["code"] == -32602
    assert running.call("admin_setOperatorSdmOptIn", "yes")["error"]["code"] == -32602


@pytest.fixture(scope="module")
def refunded() -> InProcess:
    """A node whose block 2 refunds 4000 gas of its third transaction; block 1 is empty."""
    from concurrent.futures import ThreadPoolExecutor

    from l2engine.dev.sequencer import Sequencer

    running = node()
    sequencer = Sequencer(running.engine, ThreadPoolExecutor(1))
    sequencer.make_block(LAGOON_TIME)
    running.engine.pool.add(call(funded("alice"), READS, tip=10**7))
    running.engine.pool.add(call(funded("bob"), READS))
    sequencer.make_block(LAGOON_TIME + 2)
    return running


@pytest.mark.parametrize("options", [(), ({},), ({"compare_payload": True},), (None,)])
def test_replay_tells_gas_before_and_after(refunded: InProcess, options: tuple[Any, ...]) -> None:
    found = refunded.call("debug_replaySDMBlock", "latest", *options)
    block = refunded.call("eth_getBlockByNumber", "latest", False)
    assert (found["block_num"], found["block_hash"], found["parent_hash"]) == (2, block["hash"], block["parentHash"])
    assert found["config"] == {"compare_payload": True}
    assert (found["post_exec_tx_present"], found["post_exec_tx_index"]) == (True, 3)
    assert found["embedded_payload"] == {"version": 1, "block_number": 2, "gas_refund_entries": [{"index": 2, "gas_refund": 4000}]}
    assert [(row["tx_type"], row["is_deposit_tx"], row["op_gas_refund_payload"]) for row in found["txs"]] == [
        (0x7E, True, None),
        (2, False, None),
        (2, False, 4000),
    ]
    receipts = refunded.call("eth_getBlockReceipts", "latest")
    assert [row["canonical_gas_used"] for row in found["txs"]] == [int(receipt["gasUsed"], 16) for receipt in receipts[:3]]
    assert found["txs"][2]["raw_gas_used"] == found["txs"][1]["raw_gas_used"] == found["txs"][2]["canonical_gas_used"] + 4000
    assert found["mismatches"] == []
    summary = found["summary"]
    assert (summary["tx_count_total"], summary["tx_count_user"], summary["mismatch_count"]) == (4, 2, 0)
    assert summary["block_raw_gas_used"] - summary["block_gas_used"] == summary["payload_refund_total"] == 4000


def test_replay_of_a_block_without_refunds(refunded: InProcess) -> None:
    found = refunded.call("debug_replaySDMBlock", "0x1", {"compare_payload": False})
    assert found["config"] == {"compare_payload": False}
    assert (found["post_exec_tx_present"], found["post_exec_tx_index"], found["embedded_payload"]) == (False, None, None)
    assert found["summary"]["block_raw_gas_used"] == found["summary"]["block_gas_used"]


@pytest.mark.parametrize("reference", ["0x0", "0x99", "0x" + "11" * 32])
def test_replay_of_what_is_not_there_is_an_error(refunded: InProcess, reference: str) -> None:
    assert refunded.call("debug_replaySDMBlock", reference)["error"]["code"] == -32000


@pytest.mark.parametrize("options", [1, "x", [], {"compare_payload": 1}])
def test_replay_refuses_wrong_options(refunded: InProcess, options: Any) -> None:
    assert refunded.call("debug_replaySDMBlock", "latest", options)["error"]["code"] == -32602
