"""A step as geth sees it before it runs: its whole cost, and the failures found while computing that cost.

Executors stop counting where they fail, so a tracer asks here when a step has failed. Source: geth core/vm (interpreter.go,
gas_table.go, operations_acl.go), from Berlin on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from l2engine.evm import opcodes
from l2engine.rules.forks import Fork, L1Rules
from l2engine.types.base import MAX_UINT64, Address, Gas, Wei
from l2engine.types.delegation import is_delegation
from l2engine.types.failure import WORDS, Failure, FailureKind

CREATES = {0xF0, 0xF5}
SELFDESTRUCT, SSTORE = 0xFF, 0x55
MEMORY_LIMIT = 0x1FFFFFFFE0  # beyond it geth's memory gas overflows
OVERFLOW = WORDS[FailureKind.GAS_OVERFLOW]
SENTRY = "out of gas: not enough gas for reentrancy sentry"

_EXP, _KECCAK, _SLOAD, _CALL, _CALLCODE, _EXTCODECOPY = 0x0A, 0x20, 0x54, 0xF1, 0xF2, 0x3C
_COPIES = {0x37, 0x39, 0x3E, 0x5E}
_STACK_LIMIT = 1024
_INITCODE_LIMIT = 49152  # EIP-3860
_OPERANDS = 7
_COLD_ACCOUNT = 2600
_GROWS_STACK = {
    0x30, 0x32, 0x33, 0x34, 0x36, 0x38, 0x3A, 0x3D, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x4A, 0x58, 0x59, 0x5A,
    *range(0x5F, 0x90),
}  # fmt: skip


class Step(Protocol):
    """The state of a frame before one of its steps."""

    @property
    def height(self) -> int:
        """Items on the stack."""

    @property
    def stack(self) -> Sequence[int]:
        """At least as much of it as an opcode may take; the top is last."""

    @property
    def gas(self) -> Gas: ...
    @property
    def address(self) -> Address: ...
    @property
    def memory_size(self) -> int: ...
    @property
    def is_static(self) -> bool: ...
    def is_warm(self, who: Address) -> bool:
        """Whether the transaction has touched the account (EIP-2929)."""

    def is_empty(self, who: Address) -> bool: ...
    def balance(self, who: Address) -> Wei: ...
    def code(self, who: Address) -> bytes: ...
    def slot(self, slot: int) -> tuple[bool, int, int]:
        """A slot of the running account: (whether it is warm, its value before the transaction, its value)."""


@dataclass(frozen=True, slots=True)
class FailedStep:
    """How a step fails before it runs, and the cost that its trace shows."""

    failure: Failure
    cost: Gas
    refund: int = 0
    """Added to the refund counter that a trace shows: geth adds to the counter before it takes the gas."""


_OUT_OF_GAS = Failure(FailureKind.OUT_OF_GAS)


def _out_of_gas(detail: str) -> Failure:
    return Failure(FailureKind.OUT_OF_GAS, f"out of gas: {detail}")


def failure(step: Step, opcode: int, fork: Fork) -> FailedStep | None:
    """How an opcode of the fork fails before it runs, None when it does not."""
    early = _early_failure(step, opcode, fork)
    if early is not None or not fork.has(L1Rules.BERLIN):
        return early
    cost = whole_cost(step, opcode, fork)
    if cost > step.gas:
        return FailedStep(_OUT_OF_GAS, cost, _store_refund(step) if opcode == SSTORE else 0)
    return None


def _early_failure(step: Step, opcode: int, fork: Fork) -> FailedStep | None:
    """Failures of the stack, of memory beyond all bounds, and those that geth meets while it computes the variable gas."""
    constant, gas, height, needs = opcodes.CONSTANT_GAS[opcode], step.gas, step.height, opcodes.POPS[opcode]
    if height < needs:
        return FailedStep(Failure(FailureKind.STACK_UNDERFLOW, f"stack underflow ({height} <=> {needs})"), constant)
    if height >= _STACK_LIMIT and opcode in _GROWS_STACK:
        return FailedStep(Failure(FailureKind.STACK_OVERFLOW, f"stack limit reached {height} ({_STACK_LIMIT - 1})"), constant)
    if not fork.has(L1Rules.BERLIN):
        return None  # other costs held, and no chain that is traced here is so old
    if gas < constant:
        return FailedStep(_OUT_OF_GAS, constant)
    if not opcodes.MEMORY[opcode] and opcode not in (SSTORE, SELFDESTRUCT):
        return None
    stack = step.stack[-_OPERANDS:]
    if opcodes.MEMORY[opcode]:
        end = opcodes.memory_end(opcode, stack)
        if end > MAX_UINT64 - 31:
            return FailedStep(Failure(FailureKind.GAS_OVERFLOW), constant)
        if end > MEMORY_LIMIT:
            return FailedStep(_out_of_gas(OVERFLOW), constant)
    if step.is_static and (opcode in (SSTORE, SELFDESTRUCT) or (opcode == _CALL and stack[-3])):
        return FailedStep(_out_of_gas("write protection"), constant)  # geth meets it while it works out the gas
    if opcode in CREATES and fork.has(L1Rules.SHANGHAI) and stack[-3] > _INITCODE_LIMIT:
        return FailedStep(_out_of_gas(f"max initcode size exceeded: code size {stack[-3]} limit {_INITCODE_LIMIT}"), constant)
    if opcode == SSTORE and gas <= 2300:
        return FailedStep(Failure(FailureKind.OUT_OF_GAS, SENTRY), constant)
    if opcode in opcodes.CALL_OPCODES and gas - constant < _early_call_gas(step, opcode, stack, fork):
        return FailedStep(_out_of_gas("out of gas"), constant)
    return None


def whole_cost(step: Step, opcode: int, fork: Fork) -> Gas:
    """The cost of an opcode of the fork, including gas that a call passes on, whether or not it can be paid."""
    stack = step.stack[-_OPERANDS:]
    cost = opcodes.CONSTANT_GAS[opcode]
    if opcodes.MEMORY[opcode]:
        cost += memory_growth(step, opcode, stack)
    if opcode in opcodes.ACCOUNT_OPCODES and not step.is_warm(opcodes.stack_address(stack[-1])):
        cost += _COLD_ACCOUNT if opcode == SELFDESTRUCT else _COLD_ACCOUNT - 100
    if opcode == _EXP:
        return cost + 10 + 50 * ((stack[-2].bit_length() + 7) // 8)
    if opcode == _KECCAK:
        return cost + 6 * _words(stack[-2])
    if opcode in _COPIES or opcode == _EXTCODECOPY:
        return cost + 3 * _words(stack[-4] if opcode == _EXTCODECOPY else stack[-3])
    if opcode == _SLOAD:
        return cost + (100 if step.slot(stack[-1])[0] else 2100)
    if opcode == SSTORE:
        return cost + _store_gas(*step.slot(stack[-1]), stack[-2])
    if 0xA0 <= opcode <= 0xA4:
        return cost + 375 * (opcode - 0xA0 + 1) + 8 * stack[-2]
    if opcode in CREATES:
        hashing = 6 if opcode == 0xF5 else 0
        return cost + _words(stack[-3]) * (hashing + (2 if fork.has(L1Rules.SHANGHAI) else 0))
    if opcode == SELFDESTRUCT:
        creates = step.is_empty(opcodes.stack_address(stack[-1])) and step.balance(step.address)
        return cost + (25000 if creates else 0)
    if opcode in opcodes.CALL_OPCODES:
        cost += _access_gas(step, opcodes.stack_address(stack[-2])) + _value_gas(step, opcode, stack)
        left = step.gas - cost
        return min(cost + (min(stack[-1], left - left // 64) if left >= 0 else stack[-1]), MAX_UINT64)
    return cost


def _store_refund(step: Step) -> int:
    """Gas that an SSTORE adds to the refund counter, or takes from it (EIP-2200 with the amounts of EIP-3529)."""
    new = step.stack[-2]
    _, original, value = step.slot(step.stack[-1])
    if value == new:
        return 0
    if value == original:
        return 4800 if original and not new else 0
    refund = 0
    if original:
        refund += 4800 * ((not new) - (not value))
    if new == original:
        refund += 2800 if original else 19900
    return refund


def memory_growth(step: Step, opcode: int, stack: Sequence[int]) -> Gas:
    """Gas that the opcode pays for memory expansion."""
    return max(0, opcodes.memory_gas(opcodes.memory_end(opcode, stack)) - opcodes.memory_gas(step.memory_size))


def _early_call_gas(step: Step, opcode: int, stack: Sequence[int], fork: Fork) -> Gas:
    """The gas that geth charges a call while it computes the call's cost: for an account not yet touched and its delegate (EIP-2929, 7702),
    for CALL, and for all from Prague on, also the value and the memory, and from Prague on the new account."""
    gas = _access_gas(step, opcodes.stack_address(stack[-2]))
    from_prague = fork.has(L1Rules.PRAGUE)
    if opcode == _CALL or from_prague:
        gas += memory_growth(step, opcode, stack)
        if opcode in (_CALL, _CALLCODE) and stack[-3]:
            gas += _value_gas(step, opcode, stack) if from_prague else 9000
    return gas


def _access_gas(step: Step, who: Address) -> Gas:
    gas = 0 if step.is_warm(who) else _COLD_ACCOUNT - 100
    target = step.code(who)
    if is_delegation(target):
        gas += 100 if step.is_warm(target[3:]) else _COLD_ACCOUNT
    return gas


def _value_gas(step: Step, opcode: int, stack: Sequence[int]) -> Gas:
    if opcode not in (_CALL, _CALLCODE) or not stack[-3]:
        return 0
    return 34000 if opcode == _CALL and step.is_empty(opcodes.stack_address(stack[-2])) else 9000


def _store_gas(is_warm: bool, original: int, value: int, new: int) -> Gas:
    """EIP-2200 with the prices of EIP-2929."""
    cold = 0 if is_warm else 2100
    if value == new or value != original:
        return cold + 100
    return cold + (20000 if original == 0 else 2900)


def _words(size: int) -> int:
    return (size + 31) // 32
