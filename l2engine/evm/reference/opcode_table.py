"""The opcode tables of the reference executor: py-evm's, with CLZ added, and shorter forms of the most common ones.

`metered` is the complete table with every charge visible to the gas meter, which is what tracing needs; `fast` replaces
stack, arithmetic and jump opcodes by functions that charge and compute in one step. Stacks hold integers only. A short
form that finds too few items raises `IndexError` before it takes any, which the frame's loop understands. Sources: Yellow
Paper H.2; EIP-1153, 7939.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from eth.exceptions import FullStack, InsufficientStack, InvalidJumpDestination, OutOfBoundsRead, OutOfGas, WriteProtection
from eth.vm.opcode import as_opcode

from l2engine.evm import opcodes as names
from l2engine.rules.checks import MAX_INITCODE_SIZE
from l2engine.rules.forks import Fork, L1Rules

Function: TypeAlias = Callable[[Any], None]

STACK_LIMIT_REACHED = "stack limit reached 1024 (1023)"
_WORD = 2**256
_MAX = _WORD - 1
_SIGN = 2**255
_SHA3, _CLZ, _RETURNDATACOPY, _JUMP, _JUMPI, _JUMPDEST, _TLOAD, _TSTORE = 0x20, 0x1E, 0x3E, 0x56, 0x57, 0x5B, 0x5C, 0x5D
_CREATE, _CREATE2 = 0xF0, 0xF5


def metered(opcodes: dict[int, Any], fork: Fork) -> dict[int, Any]:
    """py-evm's table of the fork's Ethereum rules, made whole."""
    table = dict(opcodes)
    table[_JUMPDEST] = as_opcode(_check_deadline, "JUMPDEST", 1)
    table[_SHA3] = _timed(table[_SHA3])
    # py-evm calls a jump into push data an invalid instruction; geth, whose words traces show, an invalid destination.
    table[_JUMP] = as_opcode(_metered_jump, "JUMP", 8)
    table[_JUMPI] = as_opcode(_metered_jumpi, "JUMPI", 10)
    if _RETURNDATACOPY in table:  # py-evm looks at the bounds before the gas, geth the other way round
        table[_RETURNDATACOPY] = as_opcode(_returndatacopy, "RETURNDATACOPY", 3)
    if fork.has(L1Rules.SHANGHAI):  # py-evm looks at the init code's length only after balance, depth and collision
        table[_CREATE], table[_CREATE2] = _limited(table[_CREATE]), _limited(table[_CREATE2])
    if fork.has(L1Rules.CANCUN):
        table[_TLOAD] = as_opcode(_tload, "TLOAD", 100)
        table[_TSTORE] = as_opcode(_tstore, "TSTORE", 100)
    if fork.has(L1Rules.OSAKA):
        table[_CLZ] = as_opcode(_clz, "CLZ", 5)
    return table


def fast(table: dict[int, Any], fork: Fork) -> dict[int, Any]:
    """`table` with the short forms put in, for opcodes that the fork has; the others look at the stack's height first, as geth does."""
    return {code: _FAST.get(code) or _checked(code, plain) for code, plain in table.items()}


def underflow(height: int, opcode: int) -> InsufficientStack:
    """Too few items for an opcode, in geth's words."""
    return InsufficientStack(f"stack underflow ({height} <=> {names.POPS[opcode]})")


def _checked(code: int, plain: Any) -> Function:
    needs = names.POPS[code]

    def opcode(computation: Any) -> None:
        height = len(computation._stack.values)
        if height < needs:
            raise underflow(height, code)
        plain(computation)

    return opcode if needs else plain


def _check_deadline(computation: Any) -> None:
    if computation.state.deadline is not None:
        computation.state.check_deadline()


def _timed(plain: Function) -> Function:
    """An opcode that looks at the deadline first, since code without a loop may have thousands of it."""

    def opcode(computation: Any) -> None:
        _check_deadline(computation)
        plain(computation)

    return opcode


def _limited(create: Function) -> Function:
    def opcode(computation: Any) -> None:
        stack = computation._stack.values
        if len(stack) >= 3 and stack[-3] > MAX_INITCODE_SIZE:
            raise OutOfGas(f"max initcode size exceeded: code size {stack[-3]} limit {MAX_INITCODE_SIZE}")
        create(computation)

    return opcode


def _metered_jump(computation: Any) -> None:
    _go_to(computation.code, computation.stack_pop1_int())


def _metered_jumpi(computation: Any) -> None:
    destination, condition = computation.stack_pop_ints(2)
    if condition:
        _go_to(computation.code, destination)


def _returndatacopy(computation: Any) -> None:
    to, start, size = computation.stack_pop_ints(3)
    computation.extend_memory(to, size)
    computation.consume_gas(3 * ((size + 31) // 32), "RETURNDATACOPY")
    data = computation.return_data
    if start + size > len(data):
        raise OutOfBoundsRead("return data out of bounds")
    computation.memory_write(to, size, data[start : start + size])


def _go_to(code: Any, destination: int) -> None:
    if destination not in code.jump_destinations:
        raise InvalidJumpDestination("Invalid Jump Destination")
    code.program_counter = destination


def _clz(computation: Any) -> None:
    computation.stack_push_int(256 - computation.stack_pop1_int().bit_length())


def _tload(computation: Any) -> None:
    slot = computation.stack_pop1_int()
    computation.stack_push_int(computation.state.get_transient_storage(computation.msg.storage_address, slot))


def _tstore(computation: Any) -> None:
    if computation.msg.is_static:
        raise WriteProtection("Cannot modify state while inside of a STATICCALL context")
    slot, value = computation.stack_pop_ints(2)
    computation.state.set_transient_storage(computation.msg.storage_address, slot, value)


# ---- short forms ----------------------------------------------------------------------------------------------------


def _charge(computation: Any, gas: int) -> None:
    meter = computation._gas_meter
    if meter.gas_remaining < gas:
        height, opcode = len(computation._stack.values), computation.code[computation.code.program_counter - 1]
        if height < names.POPS[opcode]:
            raise underflow(height, opcode)  # geth looks at the stack before the gas
        raise OutOfGas(f"Out of gas: Needed {gas} - Remaining {meter.gas_remaining}")
    meter.gas_remaining -= gas


def _binary(gas: int, function: Callable[[int, int], int]) -> Function:
    """An opcode that replaces the two topmost items by a function of them (top first)."""

    def opcode(computation: Any) -> None:
        meter = computation._gas_meter
        if meter.gas_remaining < gas:
            _charge(computation, gas)
        meter.gas_remaining -= gas
        values = computation._stack.values
        below = values[-2]
        values[-1] = function(values.pop(), below)

    return opcode


def _add(computation: Any) -> None:
    meter = computation._gas_meter
    if meter.gas_remaining < 3:
        _charge(computation, 3)
    meter.gas_remaining -= 3
    values = computation._stack.values
    below = values[-2]
    values[-1] = (values.pop() + below) & _MAX


def _sub(computation: Any) -> None:
    meter = computation._gas_meter
    if meter.gas_remaining < 3:
        _charge(computation, 3)
    meter.gas_remaining -= 3
    values = computation._stack.values
    below = values[-2]
    values[-1] = (values.pop() - below) & _MAX


def _mul(computation: Any) -> None:
    meter = computation._gas_meter
    if meter.gas_remaining < 5:
        _charge(computation, 5)
    meter.gas_remaining -= 5
    values = computation._stack.values
    below = values[-2]
    values[-1] = (values.pop() * below) & _MAX


def _iszero(computation: Any) -> None:
    _charge(computation, 3)
    values = computation._stack.values
    values[-1] = 0 if values[-1] else 1


def _not(computation: Any) -> None:
    _charge(computation, 3)
    values = computation._stack.values
    values[-1] = _MAX - values[-1]


def _addmod(computation: Any) -> None:
    _charge(computation, 8)
    values = computation._stack.values
    modulus, right, left = values[-3], values[-2], values[-1]
    del values[-2:]
    values[-1] = (left + right) % modulus if modulus else 0


def _mulmod(computation: Any) -> None:
    _charge(computation, 8)
    values = computation._stack.values
    modulus, right, left = values[-3], values[-2], values[-1]
    del values[-2:]
    values[-1] = (left * right) % modulus if modulus else 0


def _signed(value: int) -> int:
    return value - _WORD if value & _SIGN else value


def _pop(computation: Any) -> None:
    _charge(computation, 2)
    computation._stack.values.pop()


def _push(size: int) -> Function:
    def opcode(computation: Any) -> None:
        meter = computation._gas_meter
        if meter.gas_remaining < 3:
            _charge(computation, 3)
        meter.gas_remaining -= 3
        values = computation._stack.values
        if len(values) > 1023:
            raise FullStack(STACK_LIMIT_REACHED)
        code = computation.code
        position = code.program_counter
        code.program_counter = end = position + size
        values.append(int.from_bytes(code.padded[position:end], "big"))

    return opcode


def _push1(computation: Any) -> None:
    meter = computation._gas_meter
    if meter.gas_remaining < 3:
        _charge(computation, 3)
    meter.gas_remaining -= 3
    values = computation._stack.values
    if len(values) > 1023:
        raise FullStack(STACK_LIMIT_REACHED)
    code = computation.code
    position = code.program_counter
    code.program_counter = position + 1
    values.append(code.padded[position])


def _push0(computation: Any) -> None:
    _charge(computation, 2)
    values = computation._stack.values
    if len(values) > 1023:
        raise FullStack(STACK_LIMIT_REACHED)
    values.append(0)


def _dup(depth: int) -> Function:
    def opcode(computation: Any) -> None:
        meter = computation._gas_meter
        if meter.gas_remaining < 3:
            _charge(computation, 3)
        meter.gas_remaining -= 3
        values = computation._stack.values
        if len(values) > 1023:
            raise FullStack(STACK_LIMIT_REACHED)
        values.append(values[-depth])

    return opcode


def _swap(depth: int) -> Function:
    place = -depth - 1

    def opcode(computation: Any) -> None:
        meter = computation._gas_meter
        if meter.gas_remaining < 3:
            _charge(computation, 3)
        meter.gas_remaining -= 3
        values = computation._stack.values
        values[-1], values[place] = values[place], values[-1]

    return opcode


def _jumpdest(computation: Any) -> None:
    meter = computation._gas_meter
    if meter.gas_remaining < 1:
        _charge(computation, 1)
    meter.gas_remaining -= 1
    if computation.state.deadline is not None:
        computation.state.check_deadline()


def _jump(computation: Any) -> None:
    _charge(computation, 8)
    _go_to(computation.code, computation._stack.values.pop())


def _jumpi(computation: Any) -> None:
    _charge(computation, 10)
    values = computation._stack.values
    condition, destination = values[-2], values[-1]
    del values[-2:]
    if condition:
        _go_to(computation.code, destination)


_FAST: dict[int, Function] = {
    0x01: _add,
    0x02: _mul,
    0x03: _sub,
    0x04: _binary(5, lambda a, b: a // b if b else 0),
    0x06: _binary(5, lambda a, b: a % b if b else 0),
    0x08: _addmod,
    0x09: _mulmod,
    0x10: _binary(3, lambda a, b: 1 if a < b else 0),
    0x11: _binary(3, lambda a, b: 1 if a > b else 0),
    0x12: _binary(3, lambda a, b: 1 if _signed(a) < _signed(b) else 0),
    0x13: _binary(3, lambda a, b: 1 if _signed(a) > _signed(b) else 0),
    0x14: _binary(3, lambda a, b: 1 if a == b else 0),
    0x15: _iszero,
    0x16: _binary(3, lambda a, b: a & b),
    0x17: _binary(3, lambda a, b: a | b),
    0x18: _binary(3, lambda a, b: a ^ b),
    0x19: _not,
    0x1A: _binary(3, lambda a, b: (b >> (8 * (31 - a))) & 0xFF if a < 32 else 0),
    0x1B: _binary(3, lambda a, b: (b << a) & _MAX if a < 256 else 0),
    0x1C: _binary(3, lambda a, b: b >> a if a < 256 else 0),
    0x50: _pop,
    _JUMP: _jump,
    _JUMPI: _jumpi,
    _JUMPDEST: _jumpdest,
    0x5F: _push0,
    0x60: _push1,
    **{0x5F + size: _push(size) for size in range(2, 33)},
    **{0x7F + depth: _dup(depth) for depth in range(1, 17)},
    **{0x8F + depth: _swap(depth) for depth in range(1, 17)},
}
