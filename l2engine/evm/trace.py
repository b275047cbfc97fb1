"""Tracing for py-evm: a subclass of a fork's computation that reports transactions, frames, steps and logs to a `Tracer`.

`attach` gives one State such a class, made once for each computation class; a State without a tracer runs the plain
one, so tracing costs nothing when unused. Costs, error texts and the order of events are geth's (core/vm: an opcode's
step is reported with its whole cost before it runs, a failed attempt to open a frame still counts as a frame).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from eth import exceptions
from eth.vm.gas_meter import GasMeter
from eth.vm.logic.invalid import InvalidOpcode

from l2engine.evm import opcodes
from l2engine.rules.forks import L1Rules
from l2engine.types import rlp
from l2engine.types.base import MAX_UINT64, Address, Gas, encode_int, keccak
from l2engine.types.state import Tracer

_CREATES = {0xF0, 0xF5}
_SELFDESTRUCT, _SSTORE, _TSTORE = 0xFF, 0x55, 0x5D
_STATIC_WRITES = {*_CREATES, _TSTORE, 0xA0, 0xA1, 0xA2, 0xA3, 0xA4}
_OPENS_FRAMES = _CREATES | opcodes.CALL_OPCODES | {_SELFDESTRUCT}
_STACK_LIMIT = 1024


def attach(state: Any, tracer: Tracer) -> None:
    """Make the py-evm State report to `tracer`, until `detach`."""
    state.tracing = _Session(tracer)
    state.computation_class = _traced(type(state).computation_class, tracer.steps)


def detach(state: Any) -> None:
    """The State runs plain computations again."""
    del state.computation_class
    del state.tracing


class _Session:
    """What the traced classes share while one transaction runs."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self.kind: str | None = None
        """The opcode that is about to open a frame; None at the top."""
        self.target: Address | None = None
        """The account whose code that opcode runs."""
        self.frames = 0
        """Frames opened so far."""
        self.refund: Gas = 0
        """What the refund counter holds before the first frame (EIP-7702)."""
        self.operands: list[int] = []
        """The operands of the last opcode that may open a frame, from the top."""
        self.steps: list[_Step] = []
        """The running step of each frame, innermost last."""


class _Step:
    """One opcode under way."""

    __slots__ = ("computation", "reported")

    def __init__(self, computation: Any, wanted: bool) -> None:
        self.computation, self.reported = computation, not wanted

    def report(self, tracer: Tracer, cost: Gas, error: str | None) -> None:
        """Tell the tracer what the step costs, once."""
        if not self.reported:
            self.reported = True
            tracer.step_done(self.computation, cost, error)


class _TracedGasMeter(GasMeter):
    """Adds up what the running opcode is charged. Within a traced step running dry is remembered, not raised at once,
    so that the step's whole cost is known; the frame fails all the same."""

    gas_remaining: Gas
    charged: Gas = 0
    last: Gas = 0
    returned: Gas = 0
    lenient = False
    dry = False

    def consume_gas(self, amount: int, reason: str) -> None:
        self.charged += amount
        self.last = amount
        if amount > self.gas_remaining and self.lenient and amount < 10**8:
            self.dry = True
            self.gas_remaining = 0
            return
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
        meter = step.computation._gas_meter
        if meter.dry:
            raise exceptions.OutOfGas("the opcode that opens this frame cannot be paid")
        cost = meter.charged - (message.gas if message.is_create else 0)
        step.report(session.tracer, cost, None)
    session.frames += 1
    data = message.code if message.is_create else message.data_as_bytes
    sender = message.storage_address if kind == "DELEGATECALL" else message.sender
    to = message.storage_address if message.is_create else target or message.to
    session.tracer.enter(kind, sender, to, message.value, message.gas, bytes(data))
    computation = run()
    error = error_text(computation) if computation.is_error else None
    session.tracer.leave(computation.output, message.gas - computation.get_gas_remaining(), error)
    return computation


# ---- opcodes --------------------------------------------------------------------------------------------------------


def _table(base: Any, steps: frozenset[int]) -> dict[int, Any]:
    """The opcodes of the class: those that may open a frame and those of `steps` report, the others are as fast as ever.
    SSTORE is among them for geth's words in a static frame."""
    metered = base.metered_opcodes
    return {**base.opcodes, **{code: _step_opcode(code, metered.get(code), code in steps) for code in steps | _OPENS_FRAMES | {_SSTORE}}}


def _step_opcode(code: int, plain: Any, wanted: bool) -> Callable[[Any], None]:
    """Any opcode, defined or not, with its step, which the tracer hears of when `wanted`."""
    run = InvalidOpcode(code) if plain is None else _frame_opcode(code, plain) if code in _OPENS_FRAMES else plain

    def traced(computation: Any) -> None:
        if not computation.msg.code:  # geth runs no step in an account without code
            plain(computation)
            return
        session = computation.state.tracing
        tracer, meter = session.tracer, computation._gas_meter
        if wanted:
            tracer.step(computation, computation.code.program_counter - 1, code)
        step = _Step(computation, wanted)
        session.steps.append(step)
        meter.charged, meter.dry, meter.lenient = 0, False, True
        failure = _early_failure(computation, code) if plain is not None else None
        static_cost = 0
        if computation.msg.is_static and failure is None and code in _STATIC_WRITES:
            static_cost = _static_write_cost(computation, code, [_to_int(item) for item in computation._stack.values[-7:]])
        try:
            if failure is not None:
                step.report(tracer, failure.cost, failure.text)
                raise failure.error(failure.text)
            run(computation)
        except exceptions.Halt:
            if not meter.dry:
                raise
        except exceptions.OutOfGas:
            step.report(tracer, _whole_cost(computation, code, meter.charged), "out of gas")
            raise
        except exceptions.WriteProtection:
            step.report(tracer, static_cost, None)
            raise
        except exceptions.VMError:
            # geth reports a step before it runs, so a failure while running (a bad jump, a revert) is no failed step.
            if not meter.dry:
                step.report(tracer, 0 if plain is None else meter.charged, None)
                raise
        finally:
            meter.lenient = False
            step.report(tracer, meter.charged, "out of gas" if meter.dry else None)
            session.steps.pop()
        if meter.dry:
            raise exceptions.OutOfGas("out of gas")

    return traced


def _frame_opcode(code: int, run: Any) -> Callable[[Any], None]:
    """An opcode that may open a frame: names the frame, and reports the attempt where py-evm opens none."""
    name = opcodes.name(code)

    def traced(computation: Any) -> None:
        session, stack = computation.state.tracing, computation._stack.values
        operands = [_to_int(item) for item in stack[-1:-8:-1]]
        session.operands = operands
        before = session.frames
        session.kind, session.target = name, _to_address(operands[1]) if code in opcodes.CALL_OPCODES and len(operands) > 1 else None
        computation._gas_meter.returned = 0
        balance = computation.state.get_balance(computation.msg.storage_address) if code == _SELFDESTRUCT else 0
        try:
            run(computation)
        except exceptions.Halt:
            if not computation._gas_meter.dry:
                session.tracer.enter(name, computation.msg.storage_address, _to_address(operands[0]), balance, 0, b"")
                session.tracer.leave(b"", 0, None)
            raise
        finally:
            session.kind = session.target = None
        if session.frames == before and not computation._gas_meter.dry:
            _report_attempt(session, computation, code, operands)

    return traced


# ---- what geth finds before an opcode runs --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Failure:
    error: type[exceptions.VMError]
    cost: Gas
    text: str


def _early_failure(computation: Any, code: int) -> _Failure | None:
    """Failures of the stack, of memory beyond all bounds, and those that geth meets while it computes the variable gas."""
    stack, constant, gas = computation._stack.values, opcodes.CONSTANT_GAS[code], computation._gas_meter.gas_remaining
    height, needs = len(stack), opcodes.POPS[code]
    if height < needs:
        return _Failure(exceptions.InsufficientStack, constant, f"stack underflow ({height} <=> {needs})")
    if height >= _STACK_LIMIT and code in _GROWS_STACK:
        return _Failure(exceptions.FullStack, constant, f"stack limit reached {height} ({_STACK_LIMIT - 1})")
    if not computation.fork.has(L1Rules.BERLIN) or gas < constant:
        return None  # before Berlin other costs held, and no chain that is traced here is so old; else plainly out of gas
    if opcodes.MEMORY[code]:
        end = opcodes.memory_end(code, [_to_int(item) for item in stack[-7:]])
        if end > MAX_UINT64 - 31:
            return _Failure(exceptions.OutOfGas, constant, _OVERFLOW)
        if end > _MEMORY_LIMIT:
            return _Failure(exceptions.OutOfGas, constant, f"out of gas: {_OVERFLOW}")
    if computation.msg.is_static and (code in (_SSTORE, _SELFDESTRUCT) or (code == 0xF1 and _to_int(stack[-3]))):
        return _Failure(exceptions.WriteProtection, constant, _STATIC_WRITE)
    if code in _CREATES and computation.fork.has(L1Rules.SHANGHAI) and _to_int(stack[-3]) > _INITCODE_LIMIT:
        text = f"out of gas: max initcode size exceeded: code size {_to_int(stack[-3])} limit {_INITCODE_LIMIT}"
        return _Failure(exceptions.OutOfGas, constant, text)
    if code == _SSTORE and gas <= 2300:
        return _Failure(exceptions.OutOfGas, constant, _SENTRY)
    if code in opcodes.CALL_OPCODES and gas - constant < _call_gas(computation, code, [_to_int(item) for item in stack[-7:]]):
        return _Failure(exceptions.OutOfGas, constant, "out of gas: out of gas")
    return None


_GROWS_STACK = {
    0x30, 0x32, 0x33, 0x34, 0x36, 0x38, 0x3A, 0x3D, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x4A, 0x58, 0x59, 0x5A,
    *range(0x5F, 0x90),
}  # fmt: skip
_INITCODE_LIMIT = 49152  # EIP-3860
_MEMORY_LIMIT = 0x1FFFFFFFE0  # beyond it geth's memory gas overflows
_OVERFLOW, _STATIC_WRITE = "gas uint64 overflow", "out of gas: write protection"
_SENTRY = "out of gas: not enough gas for reentrancy sentry"


def _call_gas(computation: Any, code: int, stack: list[int]) -> Gas:
    """What geth charges a call while it computes the gas: for an account not yet touched and its delegate (EIP-2929, 7702),
    for CALL, and for all from Prague on, also the value and the memory, and from Prague on the new account."""
    state, address = computation.state, _to_address(stack[-2])
    gas = 0 if state.is_address_warm(address) else 2500
    target = state.get_code(address)
    if len(target) == 23 and target.startswith(b"\xef\x01\x00"):
        gas += 100 if state.is_address_warm(target[3:]) else 2600
    from_prague = computation.fork.has(L1Rules.PRAGUE)
    if code == 0xF1 or from_prague:
        gas += _memory_growth(computation, code, stack)
        if code in (0xF1, 0xF2) and stack[-3]:
            gas += 34000 if code == 0xF1 and from_prague and state.account_is_empty(address) else 9000
    return gas


def _memory_growth(computation: Any, code: int, stack: list[int]) -> Gas:
    return max(0, opcodes.memory_gas(opcodes.memory_end(code, stack)) - opcodes.memory_gas(len(computation._memory)))


def _whole_cost(computation: Any, code: int, charged: Gas) -> Gas:
    """The cost of a CALLCODE that cannot be paid, where py-evm stops counting early: with the gas that it would hand on."""
    operands = computation.state.tracing.operands
    return charged + (9000 if operands[2] else 0) + operands[0] if code == 0xF2 else charged


def _static_write_cost(computation: Any, code: int, stack: list[int]) -> Gas:
    """The cost of what geth refuses in a static frame only when it runs, after the gas: creations, logs, transient stores."""
    if code in _CREATES:
        words = (stack[-3] + 31) // 32
        return 32000 + _memory_growth(computation, code, stack) + words * (8 if code == 0xF5 else 2)
    if 0xA0 <= code <= 0xA4:
        return 375 * (code - 0xA0 + 1) + 8 * stack[-2] + _memory_growth(computation, code, stack)
    return opcodes.CONSTANT_GAS[code]


def _report_attempt(session: _Session, computation: Any, code: int, operands: list[int]) -> None:
    """geth opens a frame before it checks depth, balance, nonce and collision; py-evm gives up without one."""
    state, message, meter = computation.state, computation.msg, computation._gas_meter
    sender = message.storage_address
    if code in _CREATES:
        value, start, size = operands[:3]
        code_bytes = bytes(computation.memory_read_bytes(start, size))
        nonce = state.get_nonce(sender)
        gas = meter.gas_remaining - meter.gas_remaining // 64
        if message.depth + 1 > _STACK_LIMIT:
            error = "max call depth exceeded"
        elif value > state.get_balance(sender):
            error = "insufficient balance for transfer"
        elif nonce + 1 >= 2**64:
            error = "nonce uint64 overflow"
        else:
            error, nonce, gas = "contract address collision", nonce - 1, meter.last
        if error == "contract address collision":
            session.steps[-1].report(session.tracer, meter.charged - gas, None)
        to = _create2_address(sender, operands[3], code_bytes) if code == 0xF5 else _create_address(sender, nonce)
        used = gas if error == "contract address collision" else 0
        session.tracer.enter(opcodes.name(code), sender, to, value, gas, code_bytes)
        session.tracer.leave(b"", used, error)
        return
    value = operands[2] if code in (0xF1, 0xF2) else message.value if code == 0xF4 else 0
    start, size = operands[3:5] if code in (0xF1, 0xF2) else operands[2:4]
    error = "max call depth exceeded" if message.depth + 1 > _STACK_LIMIT else "insufficient balance for transfer"
    data = bytes(computation.memory_read_bytes(start, size))
    session.tracer.enter(opcodes.name(code), sender, _to_address(operands[1]), value, meter.returned, data)
    session.tracer.leave(b"", 0, error)


def _create_address(sender: Address, nonce: int) -> Address:
    return keccak(rlp.encode([sender, encode_int(nonce)]))[12:]


def _create2_address(sender: Address, salt: int, code: bytes) -> Address:
    return keccak(b"\xff" + sender + salt.to_bytes(32, "big") + keccak(code))[12:]


def _to_int(item: int | bytes) -> int:
    return item if isinstance(item, int) else int.from_bytes(item, "big")


def _to_address(item: int) -> Address:
    return (item & (2**160 - 1)).to_bytes(20, "big")


# ---- errors ---------------------------------------------------------------------------------------------------------


def error_text(computation: Any) -> str:
    """geth's text for the error of a failed computation."""
    error = computation._error
    if str(error).startswith(("out of gas: ", "gas uint64", "stack ")):
        return str(error)
    if isinstance(error, exceptions.InvalidInstruction):
        return f"invalid opcode: {opcodes.name(_last_opcode(computation))}"
    for kind, text in _ERROR_TEXTS:
        if isinstance(error, kind):
            return text(str(error)) if callable(text) else text
    return str(error)


def _last_opcode(computation: Any) -> int:
    position = computation.code.program_counter - 1
    return computation.code[position] if 0 <= position < len(computation.code) else 0


def _out_of_gas(message: str) -> str:
    if message.startswith("Contract code size exceeds"):
        limit, size = re.findall(r"\d+", message)[-2:]
        return f"max code size exceeded: code size {size} limit {limit}"
    if "Write contract code" in message or "contract code for CREATE" in message:
        return "contract creation code storage out of gas"
    if "Net-metered SSTORE always fails" in message:
        return _SENTRY
    grown = _EXPANDING.search(message)
    if grown and int(grown[1]) > _MEMORY_LIMIT:
        return f"out of gas: {_OVERFLOW}" if int(grown[1]) < MAX_UINT64 else _OVERFLOW
    return "out of gas"


_EXPANDING = re.compile(r"Expanding memory \d+ -> (\d+)")

_ERROR_TEXTS: tuple[tuple[type[exceptions.VMError], str | Callable[[str], str]], ...] = (
    (exceptions.Revert, "execution reverted"),
    (exceptions.OutOfGas, _out_of_gas),
    (exceptions.InvalidJumpDestination, "invalid jump destination"),
    (exceptions.WriteProtection, "write protection"),
    (exceptions.OutOfBoundsRead, "return data out of bounds"),
    (exceptions.ReservedBytesInCode, "invalid code: must not begin with 0xef"),
    (exceptions.ContractCreationCollision, "contract address collision"),
    (exceptions.InsufficientFunds, "insufficient balance for transfer"),
    (exceptions.StackDepthLimit, "max call depth exceeded"),
)
