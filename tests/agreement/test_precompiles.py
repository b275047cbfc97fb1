"""Precompiles on both executors: the public vectors, made inputs, and lengths at each fork's limits, with enough gas and just too little."""

import json
import random

import pytest

from l2engine.errors import InvalidTransaction
from l2engine.evm.agreement import AgreementExecutor
from l2engine.evm.precompiles import precompiles
from l2engine.rules import forks
from l2engine.rules.forks import Fork
from l2engine.types.base import Address, Gas
from l2engine.types.environment import BlockEnv
from l2engine.types.execution import Call, CallResult
from tests.agreement.fuzz import FORKS, random_block, rules
from tests.agreement.precompile_inputs import NUMBERS, lengths_at_limits, precompile_input
from tests.helpers.vectors import VECTORS, archive, needs_vectors

_SENDER: Address = bytes([3]) * 20
_PLENTY = 10**9


class Asker:
    """Calls precompiles at one fork; `ExecutorsDisagree` where the two executors differ."""

    def __init__(self, fork: Fork) -> None:
        sample = random_block(FORKS.index(fork))
        self.world = sample.world
        self.env: BlockEnv = sample.env
        self.executor = AgreementExecutor(rules(fork))

    def ask(self, number: int, data: bytes, gas: Gas = _PLENTY) -> CallResult | None:
        """None when the gas does not even pay for the data."""
        call = Call(_SENDER, number.to_bytes(20, "big"), gas, data=data)
        try:
            return self.executor.call(self.world, self.env, call)
        except InvalidTransaction:
            return None


@pytest.mark.parametrize("fork", FORKS, ids=lambda fork: fork.name)
def test_made_inputs_with_enough_gas_and_with_too_little(fork: Fork) -> None:
    rng, asker = random.Random(fork.name), Asker(fork)
    succeeded = set()
    for number in NUMBERS:
        for _ in range(12):
            data = precompile_input(rng, number)
            full = asker.ask(number, data)
            assert full is not None
            if full.success and full.output:
                succeeded.add(number)
            for less in (0, 1):
                asker.ask(number, data, max(full.gas_used - less, 21_000))
    assert succeeded == {int.from_bytes(address, "big") for address in precompiles(fork)}


@pytest.mark.parametrize("fork", [fork for fork in FORKS if fork.precompile_input_limits], ids=lambda fork: fork.name)
def test_lengths_at_the_limits(fork: Fork) -> None:
    asker = Asker(fork)
    for number, length, is_valid in lengths_at_limits(fork):
        answer = asker.ask(number, bytes(length))
        assert answer is not None
        assert answer.success == is_valid, (number, length)


@needs_vectors
def test_public_vectors() -> None:
    manifest = json.loads((VECTORS / "precompiles" / "MANIFEST.json").read_text())
    addresses = {name: int(facts["address"], 16) for name, facts in manifest["files"].items()}
    askers = [Asker(forks.OSAKA), Asker(forks.KARST)]
    count = 0
    for path, content in archive("precompiles/precompiles.tar.zst"):
        name = path.rsplit("/", 1)[-1]
        for case in json.loads(content) if name in addresses else ():
            for asker in askers:
                asker.ask(addresses[name], bytes.fromhex(case["Input"]))
            count += 1
    assert count == 1510
