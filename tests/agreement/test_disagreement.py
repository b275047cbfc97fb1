"""`--evm both` with an executor that is wrong on purpose: the block is not acknowledged, the log says where the two part, and a
witness file is left that `l2engine replay` reads."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from l2engine.__main__ import main
from l2engine.chain.engine import Engine, EngineSettings
from l2engine.chain.payload import from_block
from l2engine.chain.process import block_env
from l2engine.errors import ExecutionTimeout, ExecutorsDisagree
from l2engine.evm.agreement import AgreementExecutor
from l2engine.evm.native.machine import NativeExecutor
from l2engine.evm.reference.machine import ReferenceExecutor
from l2engine.rules.predeploys import L1_BLOCK, SEQUENCER_FEE_VAULT
from l2engine.types.base import Address, keccak
from l2engine.types.block import Block
from rpc.context import Context
from rpc.jsonrpc import handle
from rpc.registry import ENGINE_NAMESPACES, methods_for
from tests.agreement.liars import Lie, LyingExecutor, more_gas, refuse, richer, wrong_slot
from tests.helpers.dev_chain import Forge, adopt, document, forkchoice, funded, open_engine, submit

SINK: Address = bytes([7]) * 20
GENESIS = document()
LIES = {
    "gas": (more_gas, "receipt's cumulative_gas_used"),
    "refusal": (refuse, "refusal"),
    "balance": (richer(SINK), f"account 0x{SINK.hex()}, balance"),
    "fee": (richer(SEQUENCER_FEE_VAULT), f"account 0x{SEQUENCER_FEE_VAULT.hex()}, balance"),
    "slot": (wrong_slot(L1_BLOCK, 0xABC), f"account 0x{L1_BLOCK.hex()}, slot 0xabc"),
}


@pytest.fixture(scope="module")
def forge() -> Forge:
    return Forge(GENESIS)


@pytest.fixture(scope="module")
def block(forge: Forge) -> Block:
    """The L1-attributes deposit and three transfers."""
    alice = funded("alice")
    return forge.block(forge.genesis, *(alice.sign(to=SINK, value=5) for _ in range(3)))


def both(lie: Lie, liar: str, raw: bytes, folder: Path) -> Engine:
    """An engine with `--evm both`, one of the two lying about `raw`."""
    config = Forge(GENESIS).engine.config
    pair: dict[str, Any] = {"native": NativeExecutor(config), "reference": ReferenceExecutor(config)}
    pair[liar] = LyingExecutor(pair[liar], lambda candidate: candidate == raw, lie)
    return open_engine(GENESIS, settings=EngineSettings(witness_folder=folder), executor=AgreementExecutor(config, **pair))


def replayed(path: Path, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """The lines that the three ways to replay a file print after the speed."""
    said = set()
    for evm in ("py", "native", "both"):
        assert main(["replay", "--evm", evm, str(path)]) == 0
        words = capsys.readouterr().out.split()
        said.add(f"{words[2]} {' '.join(words[7:])}")
    return said


@pytest.mark.parametrize("index", [0, 2, 3])
@pytest.mark.parametrize("liar", ["native", "reference"])
@pytest.mark.parametrize("kind", LIES)
def test_the_first_differing_transaction_and_field_are_named(
    block: Block, kind: str, liar: str, index: int, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    lie, what = LIES[kind]
    if kind == "balance" and index == 0:  # before the first transfer
        what = f"account 0x{SINK.hex()}, existence"
    raw = block.transactions[index]
    engine = both(lie, liar, raw, tmp_path)
    head = engine.head
    with caplog.at_level(logging.CRITICAL), pytest.raises(ExecutorsDisagree) as caught:
        submit(engine, block)
    error = caught.value
    assert error.where == f"block 1, transaction {index} 0x{keccak(raw).hex()}, {what}"
    assert error.native != error.reference
    assert engine.head == head
    assert not engine.blocks.has(block.hash) and not engine.state.has(block.hash)

    first: Any = caplog.records[0]
    assert first.fields["at"] == f"transaction {index} 0x{keccak(raw).hex()}"
    assert (first.fields["what"], first.fields["native"], first.fields["reference"]) == (what, error.native, error.reference)
    (path,) = tmp_path.iterdir()
    assert str(path) in caplog.records[-1].getMessage()
    assert replayed(path, capsys) == {f"0x{block.hash.hex()} OK"}


def test_a_difference_found_by_its_receipt_also_shows_accounts(block: Block, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def lie(execution: Any, raw: bytes, result: Any) -> Any:
        return richer(SINK)(execution, raw, more_gas(execution, raw, result))

    with caplog.at_level(logging.CRITICAL), pytest.raises(ExecutorsDisagree):
        submit(both(lie, "native", block.transactions[1], tmp_path), block)
    rows: list[Any] = [record.fields for record in caplog.records if hasattr(record, "fields")]
    assert [row["what"] for row in rows] == ["receipt's cumulative_gas_used", "gas_used", f"account 0x{SINK.hex()}, balance"]
    assert (rows[-1]["native"], rows[-1]["reference"]) == (6, 5)


def test_new_payload_answers_an_internal_error_and_the_chain_goes_on(forge: Forge, block: Block, tmp_path: Path) -> None:
    engine = both(*LIES["balance"][:1], "native", block.transactions[1], tmp_path)
    methods, context = methods_for(ENGINE_NAMESPACES), Context(engine)
    payload = from_block(engine.config, block)
    fields = {
        "parentHash": payload.parent_hash,
        "feeRecipient": payload.fee_recipient,
        "stateRoot": payload.state_root,
        "receiptsRoot": payload.receipts_root,
        "logsBloom": payload.logs_bloom,
        "prevRandao": payload.prev_randao,
        "blockNumber": payload.block_number,
        "gasLimit": payload.gas_limit,
        "gasUsed": payload.gas_used,
        "timestamp": payload.timestamp,
        "extraData": payload.extra_data,
        "baseFeePerGas": payload.base_fee_per_gas,
        "blockHash": payload.block_hash,
        "transactions": list(payload.transactions),
        "withdrawals": [],
        "blobGasUsed": payload.blob_gas_used,
        "excessBlobGas": payload.excess_blob_gas,
        "withdrawalsRoot": payload.withdrawals_root,
    }
    params = [_wire(fields), [], _wire(block.header.parent_beacon_block_root), []]
    request = {"jsonrpc": "2.0", "id": 1, "method": "engine_newPayloadV4", "params": params}
    answer = orjson.loads(handle(orjson.dumps(request), methods, context))
    assert answer["error"]["code"] == -32603
    assert "the executors disagree at block 1, transaction 1" in answer["error"]["message"]
    assert engine.head.number == 0

    adopt(engine, forge.block(forge.genesis))
    assert engine.head.number == 1


def _wire(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, int):
        return hex(value)
    if isinstance(value, dict):
        return {key: _wire(item) for key, item in value.items()}
    return [_wire(item) for item in value] if isinstance(value, list) else value


def test_import_stops_at_the_block(forge: Forge, block: Block, tmp_path: Path) -> None:
    engine = both(more_gas, "native", block.transactions[2], tmp_path)
    with pytest.raises(ExecutorsDisagree):
        engine.import_block(block)
    assert engine.head.number == 0 and len(list(tmp_path.iterdir())) == 1


def test_a_forced_transaction_stops_the_build(forge: Forge, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = funded("alice").sign(to=SINK, value=5)
    engine = both(richer(SINK), "reference", raw, tmp_path)
    with pytest.raises(ExecutorsDisagree, match=f"0x{keccak(raw).hex()}"):
        engine.forkchoice_updated(forkchoice(engine.head), forge.attributes(engine.head, raw))
    (path,) = tmp_path.iterdir()
    (said,) = replayed(path, capsys)  # all three seal the same block, whose hash nobody had before
    assert said.endswith("no hash to compare")


def test_a_pool_transaction_is_left_out_and_leaves_the_pool(forge: Forge, tmp_path: Path) -> None:
    raw = funded("alice").sign(to=SINK, value=5)
    engine = both(richer(SINK), "native", raw, tmp_path)
    engine.pool.add(raw)
    attributes = replace(forge.attributes(engine.head), no_tx_pool=False)
    for _ in range(2):
        started = engine.forkchoice_updated(forkchoice(engine.head), attributes)
        assert started.payload_id is not None
        assert len(engine.get_payload(started.payload_id).block.transactions) == 1
        assert engine.pool.status() == (0, 0)
        attributes = replace(attributes, timestamp=attributes.timestamp + 1)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_transaction_that_times_out_is_undone_on_both(forge: Forge, block: Block) -> None:
    class Late(LyingExecutor):
        def begin(self, view: Any, env: Any, intermediate_root: Any = None, fork: Any = None) -> Any:
            execution = self.truth.begin(view, env, intermediate_root)
            truth = execution.apply

            def apply(raw: bytes, *rest: Any) -> Any:
                if self.wanted(raw):
                    raise ExecutionTimeout("late")
                return truth(raw, *rest)

            execution.apply = apply  # type: ignore[method-assign]
            return execution

    config = forge.engine.config
    late = Late(ReferenceExecutor(config), lambda raw: raw == block.transactions[-1], more_gas)
    view = forge.engine.state.view(forge.genesis.hash)
    env = block_env(config, block, forge.genesis)
    execution = AgreementExecutor(config, reference=late).begin(view, env)  # type: ignore[arg-type]
    for raw in block.transactions[:-1]:
        execution.apply(raw)
    with pytest.raises(ExecutionTimeout):
        execution.apply(block.transactions[-1])
    assert len(execution.finish().receipts) == len(block.transactions) - 1


def test_the_folder_does_not_fill_up(block: Block, tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"{number}").touch()
    with pytest.raises(ExecutorsDisagree):
        submit(both(more_gas, "native", block.transactions[1], tmp_path), block)
    assert len(list(tmp_path.iterdir())) == 100
