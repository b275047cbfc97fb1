"""Tracers hear the same from both executors: every frame, log, step, cost, refund and word of failure."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from l2engine.errors import DecodeError, InvalidBlock, InvalidTransaction
from l2engine.evm import opcodes
from l2engine.evm.native.machine import NativeExecutor
from l2engine.evm.reference.machine import ReferenceExecutor
from l2engine.evm.step_gas import whole_cost
from l2engine.rules.forks import LAGOON, Fork
from l2engine.rules.post_execution import gas_refunds
from l2engine.types.base import Address, Gas, Hash32, Wei
from l2engine.types.execution import AccountOverride, Call
from l2engine.types.failure import Failure, FailureKind
from l2engine.types.state import Account
from l2engine.types.tracing import TracedFrame, TracedTransaction
from l2engine.types.transaction import created_address
from tests.agreement.fuzz import SENDERS, RandomBlock, random_block
from tests.agreement.refunds import refunded_block


class Listener:
    """Writes down all it hears, of the steps of some opcodes."""

    memory = True

    def __init__(self, fork: Fork, steps: frozenset[int]) -> None:
        self.steps, self._fork = steps, fork
        self.events: list[tuple[Any, ...]] = []
        self._seen: set[Address] = set()
        self._costs: list[tuple[int, Gas]] = []

    def begin(self, transaction: TracedTransaction) -> None:
        self._seen = {transaction.sender, transaction.to, transaction.env.beneficiary}
        self._transaction = transaction
        fixed = (transaction.sender, transaction.to, transaction.creates, transaction.gas, transaction.authorities)
        self.events.append(("begin", *fixed, transaction.precompiles, transaction.base_fee_recipient, *self._accounts()))

    def enter(self, kind: str, sender: Address, to: Address, value: Wei, gas: Gas, data: bytes) -> None:
        self._seen |= {sender, to}
        self.events.append(("enter", kind, sender, to, value, gas, data, self._transaction.state.account(to) or Account()))

    def leave(self, output: bytes, gas_used: Gas, failure: Failure | None) -> None:
        self.events.append(("leave", output, gas_used, failure, *self._accounts()))

    def log(self, address: Address, topics: tuple[Hash32, ...], data: bytes) -> None:
        self.events.append(("log", address, topics, data))

    def step(self, frame: TracedFrame, pc: int, opcode: int) -> None:
        facts = (frame.address, frame.depth, frame.gas, list(frame.stack), frame.memory, frame.memory_size, frame.return_data)
        slot = self._transaction.state.storage(frame.address, frame.stack[-1]) if frame.stack else 0
        self.events.append(("step", pc, opcodes.name(opcode), *facts, slot))
        enough = len(frame.stack) >= opcodes.POPS[opcode]
        self._costs.append((opcode, whole_cost(frame, opcode, self._fork) if enough else -1))

    def step_done(self, frame: TracedFrame, cost: Gas, error: str | None) -> None:
        opcode, whole = self._costs.pop()
        self.events.append(("done", cost, frame.refund, error))
        if error is None and cost:
            assert cost == whole, f"{opcodes.name(opcode)} costs {cost}, worked out as {whole}"

    def end(self, gas_used: Gas, error: str | None) -> None:
        self.events.append(("end", gas_used, error, *self._accounts()))

    def _accounts(self) -> list[Any]:
        if not self._seen:  # of a 0x7D only the end is heard
            return []
        state = self._transaction.state
        found = [(who, state.account(who)) for who in sorted(self._seen)]
        return [(who, account, state.code(account.code_hash)) for who, account in found if account is not None and not account.is_empty]


def heard(executor: Any, block: RandomBlock, steps: frozenset[int]) -> list[list[tuple[Any, ...]]]:
    """The events that a tracer gets for each transaction and call of a random block."""
    fork = block.config.fork_at(block.env.number, block.env.timestamp)
    executor = executor(block.config)
    execution = executor.begin(block.world, block.env)
    listeners = []
    for raw in block.transactions:
        listeners.append(Listener(fork, steps))
        with suppress(InvalidTransaction, DecodeError):
            execution.apply(raw, tracer=listeners[-1])
    with suppress(InvalidBlock):
        execution.finish()
    for call, overrides in block.calls:
        listeners.append(Listener(fork, steps))
        with suppress(InvalidTransaction):
            result = executor.call(block.world, block.env, call, overrides, None, listeners[-1])
            listeners[-1].events.append((result,))
    return [listener.events for listener in listeners]


@pytest.mark.parametrize("steps", [opcodes.EVERY_OPCODE, frozenset[int]()], ids=["every-step", "no-steps"])
@pytest.mark.parametrize("seed", range(100))
def test_listeners_hear_the_same(seed: int, steps: frozenset[int]) -> None:
    assert_hear_the_same(random_block(seed), steps)


@pytest.mark.parametrize("seed", range(40))
def test_listeners_hear_the_same_of_refunds(seed: int) -> None:
    made = refunded_block(seed)
    with suppress(InvalidTransaction, DecodeError):
        refunds = gas_refunds(LAGOON, made.block.env.number, made.block.transactions)
        assert_hear_the_same(replace(made.block, env=replace(made.block.env, refunds=refunds)), frozenset())


def assert_hear_the_same(block: RandomBlock, steps: frozenset[int]) -> None:
    for reference, native in zip(heard(ReferenceExecutor, block, steps), heard(NativeExecutor, block, steps), strict=True):
        for place, (expected, got) in enumerate(zip(reference, native, strict=False)):
            assert got == expected, f"event {place} after {native[place - 1]}"
        assert len(native) == len(reference)


def test_what_a_tracer_raises_reaches_the_caller() -> None:
    class Broken(Listener):
        def enter(self, *event: Any) -> None:
            raise ZeroDivisionError("in a tracer")

    block = random_block(3)
    execution = NativeExecutor(block.config).begin(block.world, block.env)
    tracer = Broken(block.config.fork_at(block.env.number, block.env.timestamp), frozenset())
    with pytest.raises(ZeroDivisionError):
        for raw in block.transactions:
            with suppress(InvalidTransaction, DecodeError):
                execution.apply(raw, tracer=tracer)


def test_the_live_state_ends_with_the_call() -> None:
    block = random_block(3)
    execution = NativeExecutor(block.config).begin(block.world, block.env)
    tracer = Listener(block.config.fork_at(block.env.number, block.env.timestamp), frozenset())
    for raw in block.transactions:
        with suppress(InvalidTransaction, DecodeError):
            execution.apply(raw, tracer=tracer)
    with pytest.raises(RuntimeError, match="ends with the call"):
        tracer._transaction.state.account(bytes(20))


def test_a_creation_at_a_taken_address_is_a_frame_that_fails() -> None:
    block = random_block(3)
    fork = block.config.fork_at(block.env.number, block.env.timestamp)
    taken = {created_address(SENDERS[0], 0): AccountOverride(nonce=1)}
    events = []
    for executor in (ReferenceExecutor(block.config), NativeExecutor(block.config)):
        listener = Listener(fork, opcodes.EVERY_OPCODE)
        result = executor.call(block.world, block.env, Call(SENDERS[0], None, 100_000, data=b"\x5f"), taken, None, listener)
        assert result.failure == Failure(FailureKind.ADDRESS_COLLISION)
        events.append(listener.events)
    assert events[0] == events[1]
    assert [event[0] for event in events[0]] == ["begin", "enter", "leave", "end"]
