"""The engine judges and builds blocks up to a fork that it does not know, and none from there on."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from l2engine.chain.engine import Engine
from l2engine.chain.process import process_block
from l2engine.dev.sequencer import Sequencer
from l2engine.errors import UnknownFork
from l2engine.types.block import Block
from l2engine.types.payload import Status
from tests.helpers.dev_chain import GENESIS_TIME, Forge, adopt, document, forkchoice, open_engine, submit

BEGINS = GENESIS_TIME + 5  # between the second block and the third
CASES: list[dict[str, int]] = [{"neverlandTime": BEGINS}, {"neverlandBlock": 3}]


def scheduled(keys: Mapping[str, int]) -> dict[str, Any]:
    genesis = document()
    genesis["config"] |= keys
    return genesis


@pytest.fixture(scope="module")
def forge() -> Forge:
    return Forge(document())


@pytest.fixture(scope="module")
def blocks(forge: Forge) -> list[Block]:
    return forge.chain(forge.genesis, 4)


@pytest.fixture(params=CASES, ids=["time", "block"])
def engine(request: pytest.FixtureRequest, blocks: list[Block]) -> Engine:
    """Stands at the last block that can be judged."""
    engine = open_engine(scheduled(request.param))
    adopt(engine, *blocks[:2])
    return engine


@pytest.mark.parametrize("index", [2, 3])
def test_payload_is_neither_valid_nor_invalid_nor_syncing(engine: Engine, blocks: list[Block], index: int) -> None:
    for _ in range(2):
        with pytest.raises(UnknownFork, match="neverland"):
            submit(engine, blocks[index])
    assert engine.head == blocks[1].header
    assert not engine.blocks.has(blocks[index].hash)


def test_malformed_payload_beyond_the_fork_is_not_called_invalid(engine: Engine, forge: Forge, blocks: list[Block]) -> None:
    broken = Block(blocks[2].header, (b"\x7d\x01",), (), ())
    with pytest.raises(UnknownFork):
        submit(engine, broken)


def test_earlier_payloads_are_judged_whatever_the_clock_says(blocks: list[Block]) -> None:
    engine = open_engine(scheduled({"neverlandTime": BEGINS}))  # long ago by the clock of this machine
    assert submit(engine, blocks[1]).status is Status.SYNCING
    assert submit(engine, blocks[0]).status is Status.VALID


def test_attributes_are_refused_and_the_head_stays(engine: Engine, forge: Forge, blocks: list[Block]) -> None:
    other = forge.block(blocks[0].header, seconds=1)
    assert submit(engine, other).status is Status.VALID
    for head in (blocks[1].header, other.header):
        with pytest.raises(UnknownFork, match="neverland"):
            engine.forkchoice_updated(forkchoice(head), forge.attributes(blocks[1].header))
        assert engine.head == blocks[1].header


def test_attributes_before_the_fork_are_built(engine: Engine, forge: Forge, blocks: list[Block]) -> None:
    result = engine.forkchoice_updated(forkchoice(blocks[0].header), forge.attributes(blocks[0].header))
    assert result.payload_id is not None
    assert engine.get_payload(result.payload_id).block == blocks[1]


def test_forkchoice_without_attributes_goes_on(engine: Engine, blocks: list[Block]) -> None:
    assert engine.forkchoice_updated(forkchoice(blocks[1].header)).payload_status.status is Status.VALID


def test_block_of_a_chain_file_is_refused(engine: Engine, blocks: list[Block]) -> None:
    with pytest.raises(UnknownFork, match="neverland"):
        engine.import_block(blocks[2])
    assert engine.head == blocks[1].header


def test_no_block_is_processed_outside_the_engine(engine: Engine, blocks: list[Block]) -> None:
    with pytest.raises(UnknownFork):
        process_block(engine.config, engine.executor, engine.state, blocks[1].header, blocks[2])


def test_witness_of_attributes_is_refused(engine: Engine, forge: Forge, blocks: list[Block]) -> None:
    with pytest.raises(UnknownFork):
        engine.witnesses.of_attributes(engine.executor, blocks[1].header, forge.attributes(blocks[1].header))


def test_dev_chain_stops_making_blocks(engine: Engine) -> None:
    sequencer = Sequencer(engine, ThreadPoolExecutor(1))
    with pytest.raises(UnknownFork, match="neverland"):
        sequencer.make_block(BEGINS)
