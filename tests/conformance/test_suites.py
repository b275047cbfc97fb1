"""The public suites, run in place: ethereum/tests and execution-spec-tests state tests, blockchain tests, OP Sepolia block witnesses."""

from collections.abc import Iterator
from typing import Any

import pytest

from l2engine.conformance import blocktest, statetest, witness
from l2engine.conformance.statetest import Outcome
from l2engine.evm.native.machine import NativeExecutor
from l2engine.evm.reference.machine import ReferenceExecutor
from tests.conformance.families import MakeExecutor, check, needs_native, shards
from tests.helpers.vectors import VECTORS, needs_vectors

pytestmark = needs_vectors


def _state_tests(document: dict[str, Any], executor: MakeExecutor) -> Iterator[Outcome]:
    return (statetest.run(test, executor) for test in statetest.read(document))


def _block_tests(document: dict[str, Any], executor: MakeExecutor) -> Iterator[Outcome]:
    return (blocktest.run(test, executor) for test in blocktest.read(document))


@pytest.mark.parametrize(("shard", "count"), shards(8))
def test_general_state_tests(shard: int, count: int) -> None:
    check("ethereum-tests/general-state-tests.tar.zst", shard, count, _state_tests)


@pytest.mark.slow
@pytest.mark.parametrize(("shard", "count"), shards(1))
def test_general_state_tests_that_take_minutes(shard: int, count: int) -> None:
    check("ethereum-tests/general-state-tests.tar.zst", shard, count, _state_tests, minutes=True)


@pytest.mark.parametrize(("shard", "count"), shards(1))
def test_prague_state_tests(shard: int, count: int) -> None:
    check("eest-state-tests/prague-devnet-5.tar.zst", shard, count, _state_tests)


@pytest.mark.parametrize(("shard", "count"), shards(1))
def test_osaka_state_tests(shard: int, count: int) -> None:
    check("eest-state-tests/osaka-devnet-5.tar.zst", shard, count, _state_tests)


@pytest.mark.parametrize(("shard", "count"), shards(1))
def test_blockchain_tests(shard: int, count: int) -> None:
    check("ethereum-tests/blockchain-tests.tar.zst", shard, count, _block_tests)


@pytest.mark.parametrize(("shard", "count"), shards(2))
def test_state_tests_in_blockchain_form(shard: int, count: int) -> None:
    check("ethereum-tests/blockchain-general-state-sample.tar.zst", shard, count, _block_tests)


@pytest.mark.parametrize("executor", [ReferenceExecutor, pytest.param(NativeExecutor, marks=needs_native)])
@pytest.mark.parametrize("number", [26207960, 26207961, 26208384, 26208858])
def test_op_sepolia_block_has_its_hash(number: int, executor: MakeExecutor) -> None:
    block = witness.read(VECTORS / "kona-blocks" / f"{number}.json.gz")
    assert witness.execute(block, executor(block.config)).hash == block.expected_hash
