"""Random blocks and any code on both executors: same receipts, gas, outputs, refusals, diffs; the slow run has more than 20,000
transactions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2engine.errors import InvalidTransaction
from l2engine.evm.agreement import AgreementExecutor
from l2engine.rules.forks import Fork
from l2engine.types.base import Address
from l2engine.types.execution import AccountOverride, Call
from tests.agreement.fuzz import CONTRACTS, FORKS, PRECOMPILES, SENDERS, random_block, rules
from tests.agreement.run_fuzz import run

QUICK, LONG = 160, 3_600


@pytest.mark.parametrize("seed", range(QUICK))
def test_random_blocks(seed: int) -> None:
    stood, _ = run(seed)
    assert stood > 0


@pytest.mark.slow
@pytest.mark.parametrize("part", range(16))
def test_many_random_blocks(part: int) -> None:
    stood = sum(run(seed)[0] for seed in range(QUICK + part, QUICK + LONG, 16))
    assert stood > 20_000 / 16


# ---- any code, made smaller by hypothesis when it finds something ------------------------------------------------------

_CALLED: Address = bytes([0xAA]) * 20
_word = st.sampled_from([0, 1, 31, 32, 64, 2**64, 2**255, 2**256 - 1]) | st.integers(0, 2**256 - 1)
_push = _word.map(lambda value: bytes([0x7F]) + value.to_bytes(32, "big"))
_small = st.integers(0, 255).map(lambda value: bytes([0x60, value]))
_address = st.sampled_from([*CONTRACTS, *PRECOMPILES, *SENDERS, _CALLED]).map(lambda address: b"\x73" + address)
_step = st.one_of(_push, _small, _small, _address, st.integers(0, 255).map(lambda opcode: bytes([opcode])))
_code = st.lists(_step, max_size=40).map(b"".join) | st.binary(max_size=64)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(FORKS), _code, _code, st.binary(max_size=100), st.integers(21_000, 400_000), st.sampled_from([0, 1, 10**30]))
def test_any_code(fork: Fork, code: bytes, other: bytes, data: bytes, gas: int, value: int) -> None:
    block = random_block(FORKS.index(fork))
    executor = AgreementExecutor(rules(fork))
    overrides = {_CALLED: AccountOverride(code=code, state_diff={0: 1}), CONTRACTS[0]: AccountOverride(code=other)}
    for to, given_data in ((_CALLED, data), (None, code)):
        try:
            executor.call(block.world, block.env, Call(SENDERS[0], to, gas, value=value, data=given_data), overrides)
        except InvalidTransaction:
            continue
