"""Tracing for py-evm: a subclass of a fork's computation that reports transactions, frames, steps and logs to a `Tracer`.

`attach` gives one State such a class, made once for each computation class; a State without a tracer runs the plain
one, so tracing costs nothing when unused. Costs, failures and the order of events are geth's (core/vm: an opcode's
step is reported with its whole cost before it runs, a failed attempt to open a frame still counts as a frame).
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from eth import exceptions
from eth.vm.gas_meter import GasMeter
from eth.vm.logic.invalid import InvalidOpcode

from l2engine.evm import opcodes
from l2engine.evm.reference.failures import FrameFailed, failure_of
from l2engine.evm.step_gas import CREATES, SELFDESTRUCT, SSTORE, failure, whole_cost
from l2engine.types.base import Address, Gas, Wei, keccak
from l2engine.types.failure import WORDS, Failure, FailureKind
from l2engine.types.tracing import Tracer
from l2engine.types.transaction import created_address

_OPENS_FRAMES = CREATES | opcodes.CALL_OPCODES | {SELFDESTRUCT}
_CHECKED = _OPENS_FRAMES | {SSTORE, 0x5D, 0xA0, 0xA1, 0xA2, 0xA3, 0xA4}  # in a static frame geth has words of its own for these
_STACK_LIMIT = 1024


def attach(state: Any, tracer: Tracer) -> None:
    """Make the py-evm State report to `tracer`, until `detach`."""
    state.tracing = _Session(tracer)
    state.computation_class = _traced(type(state).computation_class, tracer.steps)


def detach(state: Any) -> None:
    """The State runs plain computations again."""
    del state.computation_class
    del state.tracing


def report_unopened(state: Any, sender: Address, address: Address, value: Wei, gas: Gas, data: bytes, why: Failure) -> None:
    """Tell a tracer, if one listens, of a transaction's creation that opens no frame."""
    session = getattr(state, "tracing", None)
    if session is not None:
        session.tracer.enter("CREATE", sender, address, value, gas, data)
        session.tracer.leave(b"", gas if why.kind is FailureKind.ADDRESS_COLLISION else 0, why)


class _Session:
    """State that the traced classes share while one transaction runs."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self.kind: str | None = None
        """The opcode that is about to open a frame; None at the top."""
        self.target: Address | None = None
        """The account whose code that opcode runs."""
        self.frames = 0
        """Frames opened so far."""
        self.refund: Gas = 0
        """Gas in the refund counter before the first frame (EIP-7702)."""
        self.steps: list[_Step] = []
        """The running step of each frame, innermost last."""


class _Step:
    """One opcode under way: `types.tracing.TracedFrame`, and `step_gas.Step` before it runs."""

    __slots__ = ("added_refund", "computation", "reported")

    def __init__(self, computation: Any, wanted: bool) -> None:
        self.computation, self.reported, self.added_refund = computation, not wanted, 0

    def report(self, tracer: Tracer, cost: Gas, error: str | None) -> None:
        """Report the step's cost to the tracer, once."""
        if not self.reported:
            self.reported = True
            tracer.step_done(self, cost, error)

    @property
    def address(self) -> Address:
        return self.computation.msg.storage_address

    @property
    def depth(self) -> int:
        return self.computation.msg.depth + 1

    @property
    def gas(self) -> Gas:
        return self.computation._gas_meter.gas_remaining

    @property
    def height(self) -> int:
        return len(self.computation._stack.values)

    @property
    def stack(self) -> list[int]:
        return [_to_int(item) for item in self.computation._stack.values]

    @property
    def memory(self) -> bytes:
        return bytes(self.computation._memory._bytes)

    @property
    def memory_size(self) -> int:
        return len(self.computation._memory)

    @property
    def return_data(self) -> bytes:
        return bytes(self.computation.return_data)

    @property
    def refund(self) -> int:
        session: _Session = self.computation.state.tracing
        return session.refund + self.added_refund + sum(step.computation._gas_meter.gas_refunded for step in session.steps)

    @property
    def is_static(self) -> bool:
        return self.computation.msg.is_static

    def is_warm(self, who: Address) -> bool:
        return self.computation.state.is_address_warm(who)

    def is_empty(self, who: Address) -> bool:
        return self.computation.state.account_is_empty(who)

    def balance(self, who: Address) -> Wei:
        return self.computation.state.get_balance(who)

    def code(self, who: Address) -> bytes:
        return self.computation.state.get_code(who)

    def slot(self, slot: int) -> tuple[bool, int, int]:
        state, who = self.computation.state, self.address
        value = state.get_storage(who, slot)
        return state.is_storage_warm(who, slot), state.get_storage(who, slot, from_journal=False), value


class _TracedGasMeter(GasMeter):
    """Adds up the gas charged to the running opcode."""

    charged: Gas = 0
    last: Gas = 0
    returned: Gas = 0

    def consume_gas(self, amount: int, reason: str) -> None:
        self.charged += amount
        self.last = amount
        super().consume_gas(amount, reason)

    def return_gas(self, amount: int) -> None:
        self.returned += amount
        super().return_gas(amount)


@cache
def _traced(base: Any, steps: frozenset[int]) -> Any:
    """The computation class `base`, reporting frames, logs and the steps of some opcodes."""

    class Traced(base):
        opcodes = _table(base, steps)

        def _configure_gas_meter(self) -> Any:
            meter = super()._configure_gas_meter()
            return _TracedGasMeter(meter.start_gas, meter.refund_strategy)

        @classmethod
        def apply_message(cls, state: Any, message: Any, context: Any, parent_computation: Any = None) -> Any:
            run = super().apply_message
            if message.is_create:  # apply_create_message has opened the frame
                return run(state, message, context, parent_computation=parent_computation)
            return _frame(state, message, lambda: run(state, message, context, parent_computation=parent_computation))

        @classmethod
        def apply_create_message(cls, state: Any, message: Any, context: Any, parent_computation: Any = None) -> Any:
            run = super().apply_create_message
            return _frame(state, message, lambda: run(state, message, context, parent_computation=parent_computation))

        def add_log_entry(self, account: Address, topics: Any, data: bytes) -> None:
            super().add_log_entry(account, topics, data)
            self.state.tracing.tracer.log(account, tuple(topic.to_bytes(32, "big") for topic in topics), data)

    Traced.__name__ = base.__name__
    return Traced


def _frame(state: Any, message: Any, run: Callable[[], Any]) -> Any:
    session = state.tracing
    kind, target = session.kind or ("CREATE" if message.is_create else "CALL"), session.target
    session.kind = session.target = None
    if session.steps:
        step = session.steps[-1]
        cost = step.computation._gas_meter.charged - (message.gas if message.is_create else 0)
        step.report(session.tracer, cost, None)
    session.frames += 1
    data = message.code if message.is_create else message.data_as_bytes
    sender = message.storage_address if kind == "DELEGATECALL" else message.sender
    to = message.storage_address if message.is_create else target or message.to
    session.tracer.enter(kind, sender, to, message.value, message.gas, bytes(data))
    computation = run()
    failed = failure_of(computation) if computation.is_error else None
    session.tracer.leave(computation.output, message.gas - computation.get_gas_remaining(), failed)
    return computation


# ---- opcodes --------------------------------------------------------------------------------------------------------


def _table(base: Any, steps: frozenset[int]) -> dict[int, Any]:
    """The opcodes of the class: those that may open a frame and those of `steps` report, the others are as fast as ever."""
    metered = base.metered_opcodes
    return {**base.opcodes, **{code: _step_opcode(code, metered.get(code), code in steps) for code in steps | _CHECKED}}


def _step_opcode(code: int, plain: Any, wanted: bool) -> Callable[[Any], None]:
    """Any opcode, defined or not, with its step, which the tracer hears of when `wanted`."""
    run = InvalidOpcode(code) if plain is None else _frame_opcode(code, plain) if code in _OPENS_FRAMES else plain

    def traced(computation: Any) -> None:
        if not computation.msg.code:  # geth runs no step in an account without code
            plain(computation)
            return
        session = computation.state.tracing
        tracer, meter = session.tracer, computation._gas_meter
        step = _Step(computation, wanted)
        session.steps.append(step)
        if wanted:
            tracer.step(step, computation.code.program_counter - 1, code)
        meter.charged = 0
        try:
            found = failure(step, code, computation.fork) if plain is not None else None
            if found is not None:
                step.added_refund = found.refund
                step.report(tracer, found.cost, found.failure.text)
                raise FrameFailed(found.failure)
            run(computation)
        except exceptions.OutOfGas:  # before Berlin; else it has been foreseen
            step.report(tracer, meter.charged, WORDS[FailureKind.OUT_OF_GAS])
            raise
        except exceptions.WriteProtection:
            step.report(tracer, whole_cost(step, code, computation.fork), None)
            raise
        finally:
            # geth reports a step before it runs, so a failure while running (a bad jump, a revert) is no failed step.
            step.report(tracer, 0 if plain is None else meter.charged, None)
            session.steps.pop()

    return traced


def _frame_opcode(code: int, run: Any) -> Callable[[Any], None]:
    """An opcode that may open a frame: names the frame, and reports the attempt where py-evm opens none."""
    name = opcodes.name(code)

    def traced(computation: Any) -> None:
        session, stack = computation.state.tracing, computation._stack.values
        operands = [_to_int(item) for item in stack[-1:-8:-1]]
        before = session.frames
        session.kind, session.target = (
            name,
            opcodes.stack_address(operands[1]) if code in opcodes.CALL_OPCODES and len(operands) > 1 else None,
        )
        computation._gas_meter.returned = 0
        balance = computation.state.get_balance(computation.msg.storage_address) if code == SELFDESTRUCT else 0
        try:
            run(computation)
        except exceptions.Halt:
            session.tracer.enter(name, computation.msg.storage_address, opcodes.stack_address(operands[0]), balance, 0, b"")
            session.tracer.leave(b"", 0, None)
            raise
        finally:
            session.kind = session.target = None
        if session.frames == before:
            _report_attempt(session, computation, code, operands)

    return traced


# ---- costs and failures as geth reports them ---------------------------------------------------------------------------


def _report_attempt(session: _Session, computation: Any, code: int, operands: list[int]) -> None:
    """geth opens a frame before it checks depth, balance, nonce and collision; py-evm gives up without one."""
    state, message, meter = computation.state, computation.msg, computation._gas_meter
    sender, step = message.storage_address, session.steps[-1]
    if code in CREATES:
        value, start, size = operands[:3]
        code_bytes = bytes(computation.memory_read_bytes(start, size))
        nonce = state.get_nonce(sender)
        gas = meter.gas_remaining - meter.gas_remaining // 64
        if message.depth + 1 > _STACK_LIMIT:
            kind = FailureKind.CALL_TOO_DEEP
        elif value > state.get_balance(sender):
            kind = FailureKind.INSUFFICIENT_BALANCE
        elif nonce + 1 >= 2**64:
            kind = FailureKind.NONCE_OVERFLOW
        else:
            kind, nonce, gas = FailureKind.ADDRESS_COLLISION, nonce - 1, meter.last
        used = gas if kind is FailureKind.ADDRESS_COLLISION else 0
        step.report(session.tracer, meter.charged - used, None)
        to = _create2_address(sender, operands[3], code_bytes) if code == 0xF5 else created_address(sender, nonce)
        session.tracer.enter(opcodes.name(code), sender, to, value, gas, code_bytes)
        session.tracer.leave(b"", used, Failure(kind))
        return
    step.report(session.tracer, meter.charged, None)
    value = operands[2] if code in (0xF1, 0xF2) else message.value if code == 0xF4 else 0
    start, size = operands[3:5] if code in (0xF1, 0xF2) else operands[2:4]
    kind = FailureKind.CALL_TOO_DEEP if message.depth + 1 > _STACK_LIMIT else FailureKind.INSUFFICIENT_BALANCE
    data = bytes(computation.memory_read_bytes(start, size))
    session.tracer.enter(opcodes.name(code), sender, opcodes.stack_address(operands[1]), value, meter.returned, data)
    session.tracer.leave(b"", 0, Failure(kind))


def _create2_address(sender: Address, salt: int, code: bytes) -> Address:
    return keccak(b"\xff" + sender + salt.to_bytes(32, "big") + keccak(code))[12:]


def _to_int(item: int | bytes) -> int:
    return item if isinstance(item, int) else int.from_bytes(item, "big")
