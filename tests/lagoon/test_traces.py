"""Traces and witnesses of blocks with refunds: settled like the chain, and one empty result for the 0x7D."""

from typing import Any

import pytest

from l2engine.conformance import witness
from l2engine.evm.choose import executor_factory
from l2engine.rules.config import geth_config
from l2engine.types.block import Block
from l2engine.types.payload import Status
from tests.helpers.dev_chain import Forge, document, forkchoice, funded, submit
from tests.helpers.in_process import InProcess
from tests.lagoon.chain import post_execution

SINK = b"\1" * 20
TRACERS: dict[str, Any] = {
    "": {"gas": 0, "failed": False, "returnValue": "0x", "structLogs": []},
    "callTracer": {"from": "0x" + "00" * 20, "gas": "0x0", "gasUsed": "0x0", "input": "0x", "type": "STOP"},
    "prestateTracer": {},
    "4byteTracer": {},
    "noopTracer": {},
}
"""Each tracer's answer for a transaction that does nothing."""


@pytest.fixture(scope="module", params=["py", "auto"])
def chain(request: pytest.FixtureRequest) -> tuple[InProcess, Block]:
    """A block in which alice is refunded all gas of a transfer and a part of another, on one executor."""
    forge, alice = Forge(document("lagoon")), funded("alice")
    raws = [alice.sign(to=SINK, value=1), alice.sign(to=SINK, value=2, data=b"\1\2\3\4", gas=30_000)]
    block = forge.block(forge.genesis, *raws, post_execution(1, (1, 21_000), (2, 1_000)))
    node = InProcess(document("lagoon"), evm=request.param)
    assert submit(node.engine, block).status is Status.VALID
    node.engine.forkchoice_updated(forkchoice(block.header))
    return node, block


@pytest.mark.parametrize("tracer", TRACERS)
def test_post_execution_yields_one_empty_success(chain: tuple[InProcess, Block], tracer: str) -> None:
    node, block = chain
    options = {"tracer": tracer} if tracer else {}
    traced = node.call("debug_traceBlockByNumber", "0x1", options)
    assert len(traced) == len(block.transactions)
    assert traced[-1]["result"] == TRACERS[tracer]
    assert node.call("debug_traceTransaction", traced[-1]["txHash"], options) == TRACERS[tracer]
    raw = node.call("debug_getRawBlock", "0x1")
    assert node.call("debug_traceBlock", raw, options) == traced


def test_flat_and_mux_tracers_have_a_result_too(chain: tuple[InProcess, Block]) -> None:
    node, _ = chain
    last = node.call("debug_traceBlockByNumber", "0x1", {"tracer": "flatCallTracer"})[-1]["result"]
    assert [(row["subtraces"], row["traceAddress"], row["action"]["gas"]) for row in last] == [(0, [], "0x0")]
    mux = {"tracer": "muxTracer", "tracerConfig": {"callTracer": {}, "prestateTracer": {"diffMode": True}}}
    last = node.call("debug_traceBlockByNumber", "0x1", mux)[-1]["result"]
    assert last == {"callTracer": TRACERS["callTracer"], "prestateTracer": {"pre": {}, "post": {}}}


def test_traces_tell_the_gas_of_the_receipts(chain: tuple[InProcess, Block]) -> None:
    node, _ = chain
    receipts = node.call("eth_getBlockReceipts", "0x1")
    used = [receipt["gasUsed"] for receipt in receipts]
    assert used[1:] == ["0x0", hex(21_160 - 1_000), "0x0"]
    assert [row["result"]["gasUsed"] for row in node.call("debug_traceBlockByNumber", "0x1", {"tracer": "callTracer"})] == used
    assert [hex(row["result"]["gas"]) for row in node.call("debug_traceBlockByNumber", "0x1")] == used


def test_what_is_traced_after_a_refund_is_the_chain(chain: tuple[InProcess, Block]) -> None:
    node, _ = chain
    who = "0x" + funded("alice").address.hex()
    diff = {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}
    traced = [row["result"] for row in node.call("debug_traceBlockByNumber", "0x1", diff)]
    assert traced[1]["post"][who]["balance"] == traced[2]["pre"][who]["balance"]
    assert traced[2]["post"][who]["balance"] == node.call("eth_getBalance", who, "0x1")
    paid = int(traced[1]["pre"][who]["balance"], 16) - int(traced[1]["post"][who]["balance"], 16)
    assert paid == 1 + int(node.call("eth_getBlockReceipts", "0x1")[1]["l1Fee"], 16)


def test_a_bad_block_cannot_be_traced(chain: tuple[InProcess, Block]) -> None:
    node, block = chain
    bad = Block(block.header, (*block.transactions[:-1], post_execution(2, (1, 1))), block.ommers, block.withdrawals)
    answer = node.call("debug_traceBlock", "0x" + bad.encode().hex())
    assert answer["error"]["message"] == "tracing failed: post-execution transaction is for block 2, not for block 1"


def test_a_settled_block_replays_from_its_witness(chain: tuple[InProcess, Block]) -> None:
    node, block = chain
    config = node.engine.config
    answer = node.call("debug_executionWitness", "0x1")
    made = witness.from_json({"config": geth_config(config), "block": "0x" + block.encode().hex(), **answer})
    for evm in ("py", "auto"):
        assert witness.execute(made, executor_factory(evm)(config)).hash == block.hash
