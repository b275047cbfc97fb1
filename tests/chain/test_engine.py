"""Verdicts on payloads and what a forkchoice does, over a chain in memory."""

from dataclasses import replace
from typing import Any

import pytest

from l2engine.chain.engine import Engine, EngineSettings
from l2engine.chain.events import NewHead
from l2engine.chain.payload import from_block
from l2engine.errors import InvalidAttributes, InvalidBlock, InvalidForkchoice, StoreError, UnknownBlock, UnknownPayload
from l2engine.evm.executor import BlockExecution
from l2engine.evm.reference.machine import ReferenceExecutor
from l2engine.store.kv import MemoryKeyValue
from l2engine.store.verify import verify
from l2engine.types.base import ZERO_HASH, keccak
from l2engine.types.block import Block
from l2engine.types.environment import BlockEnv
from l2engine.types.payload import ForkchoiceState, Status
from l2engine.types.state import StateView
from tests.helpers.dev_chain import Forge, adopt, document, forkchoice, funded, open_engine, spoiled, submit

GENESIS = document()


@pytest.fixture(scope="module")
def forge() -> Forge:
    return Forge(GENESIS)


@pytest.fixture(scope="module")
def blocks(forge: Forge) -> list[Block]:
    """Five blocks on the genesis."""
    return forge.chain(forge.genesis, 5)


@pytest.fixture(scope="module")
def others(forge: Forge, blocks: list[Block]) -> list[Block]:
    """A branch of three blocks that leaves after the second."""
    return forge.chain(blocks[1].header, 3, seconds=3)


@pytest.fixture
def engine() -> Engine:
    return open_engine(GENESIS)


class Counting(ReferenceExecutor):
    """Counts the blocks that it is given."""

    begun = 0

    def begin(self, view: StateView, env: BlockEnv, intermediate_root: Any = None, fork: Any = None) -> BlockExecution:
        self.begun += 1
        return super().begin(view, env, intermediate_root, fork)


# ---- newPayload -----------------------------------------------------------------------------------------------------


def test_valid_payload_is_stored_and_head_stays(engine: Engine, blocks: list[Block]) -> None:
    status = submit(engine, blocks[0])
    assert (status.status, status.latest_valid_hash) == (Status.VALID, blocks[0].hash)
    assert engine.head.number == 0
    assert engine.blocks.block(blocks[0].hash) == blocks[0]
    assert engine.state.has(blocks[0].hash)


def test_known_payload_is_not_executed_again(forge: Forge, blocks: list[Block]) -> None:
    executor = Counting(forge.engine.config)
    engine = open_engine(GENESIS, executor=executor)
    for _ in range(3):
        assert submit(engine, blocks[0]).status is Status.VALID
    assert executor.begun == 1


def test_payload_built_here_is_not_executed_again(forge: Forge) -> None:
    executor = Counting(forge.engine.config)
    engine = open_engine(GENESIS, executor=executor)
    started = engine.forkchoice_updated(forkchoice(engine.head), forge.attributes(engine.head))
    assert started.payload_id is not None
    built = engine.get_payload(started.payload_id).block
    begun = executor.begun
    adopt(engine, built)
    assert executor.begun == begun
    assert engine.head == built.header


def test_unknown_parent_is_syncing_until_it_comes(engine: Engine, blocks: list[Block]) -> None:
    assert submit(engine, blocks[1]).status is Status.SYNCING
    result = engine.forkchoice_updated(forkchoice(blocks[1].header))
    assert (result.payload_status.status, result.payload_status.latest_valid_hash) == (Status.SYNCING, None)
    assert engine.head.number == 0
    adopt(engine, *blocks[:2])
    assert engine.head == blocks[1].header


def test_wrong_state_root_is_invalid_and_so_are_its_descendants(engine: Engine, blocks: list[Block]) -> None:
    adopt(engine, blocks[0])
    bad = spoiled(blocks[1], state_root=b"\1" * 32)
    status = submit(engine, bad)
    assert (status.status, status.latest_valid_hash) == (Status.INVALID, blocks[0].hash)
    assert status.validation_error == f"invalid merkle root (remote: 0x{'01' * 32} local: 0x{blocks[1].header.state_root.hex()})"
    child = spoiled(blocks[2], parent_hash=bad.hash)
    grandchild = spoiled(blocks[3], parent_hash=child.hash)
    for block in (bad, child, grandchild):
        status = submit(engine, block)
        assert (status.status, status.latest_valid_hash) == (Status.INVALID, blocks[0].hash)
        assert status.validation_error == "links to previously rejected block"
    refused = engine.forkchoice_updated(forkchoice(grandchild.header)).payload_status
    assert (refused.status, refused.latest_valid_hash) == (Status.INVALID, blocks[0].hash)
    assert engine.head == blocks[0].header


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"receipts_root": b"\1" * 32}, "invalid receipt root hash"),
        ({"logs_bloom": b"\1" * 256}, "invalid bloom"),
        ({"gas_used": 1}, "invalid gas used"),
        ({"withdrawals_root": b"\1" * 32}, "invalid withdrawals root"),
        ({"base_fee_per_gas": 1}, "invalid baseFee"),
        ({"timestamp": 1}, "invalid timestamp"),
        ({"blob_gas_used": 1}, "invalid blobGasUsed"),
    ],
)
def test_spoiled_headers_are_invalid(engine: Engine, blocks: list[Block], changes: dict[str, Any], message: str) -> None:
    status = submit(engine, spoiled(blocks[0], **changes))
    assert (status.status, status.latest_valid_hash) == (Status.INVALID, engine.head.hash)
    assert status.validation_error is not None
    assert message in status.validation_error
    assert submit(engine, blocks[0]).status is Status.VALID


def test_hash_that_does_not_fit_is_invalid_without_an_ancestor(engine: Engine, blocks: list[Block]) -> None:
    payload = replace(from_block(engine.config, blocks[0]), block_hash=b"\1" * 32)
    status = engine.new_payload(payload, (), blocks[0].header.parent_beacon_block_root, ())
    assert (status.status, status.latest_valid_hash) == (Status.INVALID, None)
    assert status.validation_error == f"blockhash mismatch, want {'01' * 32}, got {blocks[0].hash.hex()}"


def test_bad_block_is_tried_again_after_many_refusals(forge: Forge, blocks: list[Block]) -> None:
    executor = Counting(forge.engine.config)
    engine = open_engine(GENESIS, executor=executor)
    bad = spoiled(blocks[0], state_root=b"\1" * 32)
    submit(engine, bad)
    begun = executor.begun
    errors = {submit(engine, bad).validation_error for _ in range(127)}
    assert errors == {"links to previously rejected block"}
    assert executor.begun == begun
    assert submit(engine, bad).status is Status.INVALID
    assert executor.begun == begun + 1


def test_forkchoice_to_a_waiting_block_above_a_bad_one_is_invalid(engine: Engine, blocks: list[Block]) -> None:
    bad = spoiled(blocks[1], state_root=b"\1" * 32)
    child = spoiled(blocks[2], parent_hash=bad.hash)
    grandchild = spoiled(blocks[3], parent_hash=child.hash)
    assert submit(engine, child).status is Status.SYNCING
    assert submit(engine, bad).status is Status.SYNCING
    adopt(engine, blocks[0])
    assert submit(engine, bad).status is Status.INVALID
    refused = engine.forkchoice_updated(forkchoice(child.header)).payload_status
    assert (refused.status, refused.latest_valid_hash) == (Status.INVALID, blocks[0].hash)
    status = submit(engine, grandchild)
    assert (status.status, status.latest_valid_hash) == (Status.INVALID, blocks[0].hash)


def test_nothing_is_acknowledged_that_could_not_be_written(blocks: list[Block]) -> None:
    class Failing(MemoryKeyValue):
        full = False

        def batch(self) -> Any:
            if self.full:
                raise StoreError("disk full")
            return super().batch()

    kv = Failing()
    engine = open_engine(GENESIS, kv)
    adopt(engine, blocks[0])
    kv.full = True
    with pytest.raises(StoreError):
        submit(engine, blocks[1])
    kv.full = False
    assert not engine.blocks.has(blocks[1].hash)
    assert not engine.state.has(blocks[1].hash)
    adopt(engine, *blocks[1:3])
    assert engine.head == blocks[2].header


# ---- forkchoiceUpdated ----------------------------------------------------------------------------------------------


def test_zero_head_is_invalid_and_unknown_head_syncing(engine: Engine) -> None:
    zero = engine.forkchoice_updated(forkchoice(ZERO_HASH)).payload_status
    assert (zero.status, zero.latest_valid_hash) == (Status.INVALID, None)
    unknown = engine.forkchoice_updated(forkchoice(b"\1" * 32)).payload_status
    assert (unknown.status, unknown.latest_valid_hash) == (Status.SYNCING, None)


def test_canonical_ancestor_as_head_leaves_latest_and_is_built_on(engine: Engine, forge: Forge, blocks: list[Block]) -> None:
    adopt(engine, *blocks)
    ancestor = blocks[1].header
    started = engine.forkchoice_updated(forkchoice(ancestor), forge.attributes(ancestor, seconds=7))
    assert (started.payload_status.status, started.payload_status.latest_valid_hash) == (Status.VALID, ancestor.hash)
    assert engine.head == blocks[4].header
    assert started.payload_id is not None
    built = engine.get_payload(started.payload_id).block
    assert built.header.parent_hash == ancestor.hash
    adopt(engine, built)
    assert engine.head == built.header
    assert engine.blocks.canonical_hash(4) is None


def test_unwinding_moves_latest_back_when_allowed(blocks: list[Block]) -> None:
    engine = open_engine(GENESIS, settings=EngineSettings(allow_unwind_canonical_header=True))
    adopt(engine, *blocks)
    engine.forkchoice_updated(forkchoice(blocks[1].header))
    assert engine.head == blocks[1].header
    assert engine.blocks.canonical_hash(3) is None
    adopt(engine, blocks[4])
    assert engine.blocks.canonical_hash(3) == blocks[2].hash


@pytest.mark.parametrize("label", ["safe", "finalized"])
def test_labels_must_be_known_and_on_the_chain(engine: Engine, blocks: list[Block], others: list[Block], label: str) -> None:
    word = {"safe": "safe", "finalized": "final"}[label]
    adopt(engine, *blocks)
    for block in others:
        submit(engine, block)
    wrong = ((b"\7" * 32, f"{word} block not available in database"), (others[0].hash, f"{word} block not in canonical chain"))
    for block_hash, message in wrong:
        state = replace(ForkchoiceState(others[-1].hash, ZERO_HASH, ZERO_HASH), head=blocks[3].hash, **{label: block_hash})
        with pytest.raises(InvalidForkchoice, match=message):
            engine.forkchoice_updated(state)
    with pytest.raises(InvalidForkchoice):
        engine.forkchoice_updated(replace(ForkchoiceState(others[-1].hash, ZERO_HASH, ZERO_HASH), **{label: blocks[3].hash}))
    assert engine.head == blocks[4].header


def test_labels_stay_when_not_given_and_survive_a_restart(blocks: list[Block]) -> None:
    kv = MemoryKeyValue()
    engine = open_engine(GENESIS, kv)
    assert (engine.safe, engine.finalized) == (None, None)
    adopt(engine, *blocks)
    engine.forkchoice_updated(forkchoice(blocks[4].header, blocks[3].header, blocks[1].header))
    engine.forkchoice_updated(forkchoice(blocks[4].header))
    assert (engine.safe, engine.finalized) == (blocks[3].header, blocks[1].header)
    engine.forkchoice_updated(forkchoice(blocks[4].header, blocks[2].header))  # safe may go back
    again = open_engine(GENESIS, kv)
    assert (again.head, again.safe, again.finalized) == (blocks[4].header, blocks[2].header, blocks[1].header)


@pytest.mark.parametrize("next_call", ["forkchoice", "payload"])
def test_dropped_block_without_state_can_still_become_the_head(
    forge: Forge, blocks: list[Block], others: list[Block], next_call: str
) -> None:
    kv = MemoryKeyValue()
    engine = open_engine(GENESIS, kv, layers=2)
    adopt(engine, *blocks[:2], *others, *blocks[2:], *forge.chain(blocks[4].header, 4))
    assert not any(engine.state.has(block.hash) for block in others)
    engine = open_engine(GENESIS, kv, layers=2)
    if next_call == "payload":
        others = [*others, forge.block(others[-1].header)]
        assert submit(engine, others[-1]).status is Status.VALID
    assert engine.forkchoice_updated(forkchoice(others[-1].header)).payload_status.status is Status.VALID
    assert engine.head == others[-1].header and engine.state.has(others[-1].hash)
    assert list(verify(kv)) == []


def test_labels_on_a_dropped_branch_stay_as_op_geth_leaves_them_and_are_no_damage(blocks: list[Block], others: list[Block]) -> None:
    kv = MemoryKeyValue()
    engine = open_engine(GENESIS, kv)
    adopt(engine, *blocks)
    engine.forkchoice_updated(forkchoice(blocks[4].header, blocks[3].header, blocks[2].header))
    adopt(engine, *others)
    assert (engine.head, engine.safe, engine.finalized) == (others[-1].header, blocks[3].header, blocks[2].header)
    assert list(verify(kv)) == []


def test_each_fork_is_told_once_when_its_first_block_becomes_the_head(caplog: pytest.LogCaptureFixture) -> None:
    genesis = document("isthmus", {"jovian": 5, "karst": 9})
    made = Forge(genesis).chain(Forge(genesis).genesis, 6)
    engine = open_engine(genesis)
    with caplog.at_level("INFO"):
        adopt(engine, *made[:4])
        for block in made[4:]:
            submit(engine, block)
        engine.forkchoice_updated(forkchoice(made[5].header))
    begun = [(record.fields["fork"], record.fields["number"]) for record in caplog.records if record.message == "A fork begins"]  # type: ignore[attr-defined]
    assert begun == [("jovian", 3), ("karst", 5)]


def test_safe_block_above_a_canonical_ancestor_is_accepted(engine: Engine, blocks: list[Block]) -> None:
    adopt(engine, *blocks)
    result = engine.forkchoice_updated(forkchoice(blocks[1].header, safe=blocks[3].header))
    assert result.payload_status.status is Status.VALID
    assert engine.safe == blocks[3].header


BAD_ATTRIBUTES: dict[str, tuple[dict[str, Any], str]] = {
    "no gas limit": ({"gas_limit": None}, "gasLimit parameter is required"),
    "timestamp not later": ({"seconds": 0}, r"invalid timestamp, parent 1700000004 given 1700000004"),
    "no parameters": ({"eip_1559_params": None}, "holocene eip-1559 params should be 8 bytes, got 0"),
    "zero denominator": ({"eip_1559_params": bytes(7) + b"\1"}, "holocene params cannot have a 0 denominator unless elasticity is also 0"),
    "no minimum base fee": ({"min_base_fee": None}, "missing minBaseFee"),
    "undecodable transaction": ({"transactions": (b"\2\1",)}, "transaction 0 is not valid"),
    "no transactions": ({"transactions": None}, "missing L1 attributes deposit transaction"),
    "no transactions with the pool": ({"transactions": (), "no_tx_pool": False}, "missing L1 attributes deposit transaction"),
}


@pytest.mark.parametrize("name", BAD_ATTRIBUTES)
def test_bad_attributes_move_nothing(engine: Engine, forge: Forge, blocks: list[Block], name: str) -> None:
    changes, message = BAD_ATTRIBUTES[name]
    adopt(engine, blocks[0])
    submit(engine, blocks[1])
    with pytest.raises(InvalidAttributes, match=message):
        engine.forkchoice_updated(forkchoice(blocks[1].header), forge.attributes(blocks[1].header, **changes))
    assert engine.head == blocks[0].header


def test_unknown_payload_id(engine: Engine) -> None:
    with pytest.raises(UnknownPayload):
        engine.get_payload(bytes.fromhex("0300000000000000"))


# ---- reorganisations ------------------------------------------------------------------------------------------------


def test_reorg_moves_transactions_and_tells_the_world(forge: Forge) -> None:
    engine, alice = open_engine(GENESIS), funded("alice")
    raw = alice.sign(to=b"\1" * 20, value=5)
    with_it = forge.block(forge.genesis, raw)
    without = forge.chain(forge.genesis, 2, seconds=3)
    heard: list[NewHead] = []
    engine.events.subscribe(lambda event: heard.append(event) if isinstance(event, NewHead) else None)
    adopt(engine, with_it)
    assert engine.blocks.transaction_location(keccak(raw)) == (with_it.hash, 1)
    for block in without:
        submit(engine, block)
    engine.forkchoice_updated(forkchoice(without[1].header))
    assert engine.blocks.transaction_location(keccak(raw)) is None
    assert engine.pool.hashes() == [keccak(raw)]
    assert heard[-1] == NewHead(without[1].header, tuple(without), (with_it,))
    assert engine.state.view(engine.head.hash).account(b"\1" * 20) is None
    engine.forkchoice_updated(forkchoice(with_it.header))
    assert engine.pool.hashes() == []
    assert engine.blocks.transaction_location(keccak(raw)) == (with_it.hash, 1)


def test_reorg_below_the_base_and_back(forge: Forge) -> None:
    """Deeper than the layers in memory: the base rolls back, and the old branch is executed again when it returns."""
    engine = open_engine(GENESIS, layers=3)
    first, second = forge.chain(forge.genesis, 12), forge.chain(forge.genesis, 9, seconds=3)
    adopt(engine, *first)
    for block in second:
        assert submit(engine, block).status is Status.VALID
    engine.forkchoice_updated(forkchoice(second[-1].header))
    assert (engine.head, engine.blocks.canonical_hash(10)) == (second[-1].header, None)
    engine.forkchoice_updated(forkchoice(first[-1].header))
    assert engine.head == first[-1].header
    assert [engine.blocks.canonical_hash(block.number) for block in first] == [block.hash for block in first]
    assert engine.state.view(engine.head.hash).state_root == engine.head.state_root  # type: ignore[attr-defined]


# ---- chain files and rewinding --------------------------------------------------------------------------------------


def test_import_follows_the_chain_and_refuses_what_does_not_fit(engine: Engine, blocks: list[Block]) -> None:
    with pytest.raises(UnknownBlock, match="unknown parent"):
        engine.import_block(blocks[1])
    engine.import_block(blocks[0])
    engine.import_block(blocks[0])
    with pytest.raises(InvalidBlock, match="invalid merkle root"):
        engine.import_block(spoiled(blocks[1], state_root=b"\1" * 32))
    engine.import_block(blocks[1])
    assert engine.head == blocks[1].header


def test_rewind_takes_head_and_labels_down(engine: Engine, blocks: list[Block]) -> None:
    adopt(engine, *blocks)
    engine.forkchoice_updated(forkchoice(blocks[4].header, blocks[3].header, blocks[0].header))
    engine.rewind(2)
    assert (engine.head, engine.safe, engine.finalized) == (blocks[1].header, blocks[1].header, blocks[0].header)
    with pytest.raises(UnknownBlock):
        engine.rewind(3)
    adopt(engine, *blocks[2:])
    assert engine.head == blocks[4].header


def test_a_block_is_made_finalized_by_hand(engine: Engine, blocks: list[Block]) -> None:
    adopt(engine, *blocks)
    engine.set_finalized(2)
    assert (engine.head, engine.safe, engine.finalized) == (blocks[4].header, blocks[1].header, blocks[1].header)
    engine.forkchoice_updated(forkchoice(blocks[4].header, safe=blocks[3].header))
    engine.set_finalized(3)
    assert (engine.safe, engine.finalized) == (blocks[3].header, blocks[2].header)
    with pytest.raises(UnknownBlock):
        engine.set_finalized(6)
