"""The short forms of opcodes against py-evm's own, on random programs: same result, gas, storage, refund and words of failure."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from l2engine.evm import opcodes
from l2engine.evm.reference import opcode_table
from l2engine.evm.reference.machine import ReferenceExecutor
from l2engine.evm.reference.pyevm import state_class
from l2engine.rules import forks
from l2engine.rules.forks import Fork
from l2engine.types.execution import BlockResult, Call, CallResult
from l2engine.types.failure import Failure, FailureKind
from l2engine.types.tracing import Tracer
from tests.evm.states import Before, block, config, deposit, env, world

TARGET, SENDER = b"\x70" * 20, b"\xd0" * 20
SHORT = sorted(opcode_table._FAST)
WORDS = st.one_of(
    st.integers(0, 40), st.sampled_from([2**255, 2**255 - 1, 2**256 - 1, 2**256 - 2, 2**128, 255, 256]), st.integers(0, 2**256 - 1)
)


def push(value: int) -> bytes:
    data = value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
    return bytes([0x5F + len(data)]) + data


STORE_TOP = bytes.fromhex("5a55")  # the top item goes to the slot numbered by the gas left: both must agree
fragments = st.one_of(
    WORDS.map(push),
    st.sampled_from(SHORT).map(lambda code: bytes([code])),
    st.tuples(WORDS, WORDS, WORDS, st.sampled_from([c for c in SHORT if c < 0x20])).map(
        lambda f: b"".join(map(push, f[:3])) + bytes(f[3:])
    ),
    st.just(STORE_TOP),
    st.binary(min_size=1, max_size=3),
)
programs = st.lists(fragments, max_size=30).map(b"".join)


class Silent:
    """A tracer that only makes every opcode run in its traced form, which is py-evm's own."""

    steps = opcodes.EVERY_OPCODE

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


def outcome(fork: Fork, code: bytes, gas: int, tracer: Tracer | None) -> tuple[BlockResult, CallResult]:
    before = {TARGET: Before(nonce=1, code=code, storage={1: 1}), SENDER: Before(10**18)}
    execution = block(fork, before)
    execution.apply(deposit(SENDER, TARGET, gas=gas), tracer=tracer)
    return execution.finish(), ReferenceExecutor(config(fork)).call(world(before), env(fork), Call(SENDER, TARGET, gas=gas), tracer=tracer)


def in_short(result: CallResult) -> CallResult:
    """Traces also say why gas ran out."""
    ran_out = result.failure is not None and result.failure.kind in (FailureKind.OUT_OF_GAS, FailureKind.GAS_OVERFLOW)
    return replace(result, failure=Failure(FailureKind.OUT_OF_GAS) if ran_out else result.failure)


@pytest.mark.parametrize("fork", [forks.REGOLITH, forks.CANYON, forks.KARST], ids=lambda fork: fork.name)
@settings(max_examples=250, deadline=None)
@given(code=programs, gas=st.integers(21_000, 200_000))
@example(code=b"\x60\x01" * 1_024 + b"\x80", gas=100_000)
@example(code=b"\x60\x01" * 1_024 + b"\x5f", gas=100_000)
@example(code=b"\x7f\x01", gas=100_000)
@example(code=b"\x60\x04\x56\x60\x5b", gas=100_000)
@example(code=push(2**256 - 1) + b"\x56", gas=100_000)
@example(code=b"\x60\x00\x60\x01\x60\x00\x3e", gas=21_009)
@example(code=push(2**255) + b"\x60\x00\x60\x00\x3e", gas=21_012)
def test_short_forms_agree_with_py_evm(fork: Fork, code: bytes, gas: int) -> None:
    block_result, call_result = outcome(fork, code, gas, None)
    traced_block_result, traced_call_result = outcome(fork, code, gas, Silent())
    assert block_result == traced_block_result
    assert in_short(call_result) == in_short(traced_call_result)


@pytest.mark.parametrize("fork", [*forks.OP_FORKS, *forks.ETHEREUM_FORKS], ids=lambda fork: fork.name)
def test_no_fork_gets_an_opcode_early(fork: Fork) -> None:
    computation = state_class(fork).computation_class
    assert set(computation.opcodes) == set(computation.metered_opcodes)
    for opcode, since in ((0x1B, forks.CONSTANTINOPLE), (0x5F, forks.SHANGHAI), (0x5C, forks.CANCUN), (0x1E, forks.OSAKA)):
        assert (opcode in computation.opcodes) == fork.has(since.l1)


@pytest.mark.parametrize(("value", "zeros"), [(0, 256), (1, 255), (2**255, 0), (2**256 - 1, 0), (2**128, 127)])
def test_clz(value: int, zeros: int) -> None:
    code = push(value) + bytes.fromhex("1e60005260206000f3")
    call = Call(SENDER, TARGET, gas=100_000)
    view = world({TARGET: Before(nonce=1, code=code)})
    karst = ReferenceExecutor(config(forks.KARST)).call(view, env(forks.KARST), call)
    assert karst.success and int.from_bytes(karst.output, "big") == zeros
    jovian = ReferenceExecutor(config(forks.JOVIAN)).call(view, env(forks.JOVIAN), call)
    assert jovian.failure is not None and jovian.failure.kind is FailureKind.INVALID_OPCODE


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(
    ("code", "gas", "text"),
    [
        ("01", 100_000, "stack underflow (0 <=> 2)"),
        ("600101", 100_000, "stack underflow (1 <=> 2)"),
        ("600101", 21_003, "stack underflow (1 <=> 2)"),
        ("600160019450", 100_000, "stack underflow (2 <=> 6)"),
        ("6001600160015af1", 100_000, "stack underflow (4 <=> 7)"),
        ("6001600152600157", 100_000, "stack underflow (1 <=> 2)"),
        ("58" * 1_025, 100_000, "stack limit reached 1024 (1023)"),
        ("6001" * 1_025, 100_000, "stack limit reached 1024 (1023)"),
        ("600456605b", 100_000, "invalid jump destination"),
        ("600160045760005b", 100_000, "invalid jump destination"),
        ("6001600101", 21_008, "out of gas"),
        ("fe", 100_000, "invalid opcode: INVALID"),
        ("600060003e", 100_000, "stack underflow (2 <=> 3)"),
        ("6001600060003e", 100_000, "return data out of bounds"),
        ("60006000fd", 100_000, "execution reverted"),
    ],
)
def test_failures_are_told_in_geths_words(code: str, gas: int, text: str, traced: bool) -> None:
    _, result = outcome(forks.KARST, bytes.fromhex(code), gas, Silent() if traced else None)
    assert result.failure is not None and result.failure.text == text
