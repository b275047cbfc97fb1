"""How a py-evm computation failed, as a `Failure`.

py-evm tells most failures by class. Only its `OutOfGas` covers several of geth's kinds, which only its text distinguishes:
those texts are read here and nowhere else.
"""

import re
from typing import Any

from eth import exceptions

from l2engine.evm import opcodes
from l2engine.evm.step_gas import MEMORY_LIMIT, OVERFLOW, SENTRY
from l2engine.types.base import MAX_UINT64
from l2engine.types.failure import Failure, FailureKind


class FrameFailed(exceptions.VMError):
    """Ends a frame by a failure whose kind is known."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.text)


def failure_of(computation: Any) -> Failure:
    """How a failed computation failed."""
    error = computation._error
    if isinstance(error, FrameFailed):
        return error.failure
    if isinstance(error, exceptions.InvalidInstruction):
        return Failure(FailureKind.INVALID_OPCODE, f"invalid opcode: {opcodes.name(_last_opcode(computation))}")
    if isinstance(error, exceptions.OutOfGas):
        return _out_of_gas(str(error))
    for raised, kind in _KINDS:
        if isinstance(error, raised):
            return Failure(kind)
    return Failure(next((kind for raised, kind in _WORDED if isinstance(error, raised)), FailureKind.OTHER), str(error))


def _last_opcode(computation: Any) -> int:
    position = computation.code.program_counter - 1
    return computation.code[position] if 0 <= position < len(computation.code) else 0


_KINDS: tuple[tuple[type[exceptions.VMError], FailureKind], ...] = (
    (exceptions.Revert, FailureKind.REVERTED),
    (exceptions.InvalidJumpDestination, FailureKind.INVALID_JUMP),
    (exceptions.WriteProtection, FailureKind.WRITE_PROTECTION),
    (exceptions.OutOfBoundsRead, FailureKind.RETURN_DATA_OUT_OF_BOUNDS),
    (exceptions.ReservedBytesInCode, FailureKind.INVALID_CODE),
    (exceptions.ContractCreationCollision, FailureKind.ADDRESS_COLLISION),
    (exceptions.InsufficientFunds, FailureKind.INSUFFICIENT_BALANCE),
    (exceptions.StackDepthLimit, FailureKind.CALL_TOO_DEEP),
)
_WORDED = ((exceptions.InsufficientStack, FailureKind.STACK_UNDERFLOW), (exceptions.FullStack, FailureKind.STACK_OVERFLOW))
"""Raised with geth's words."""


# ---- py-evm's texts -------------------------------------------------------------------------------------------------

_EXPANDING = re.compile(r"Expanding memory \d+ -> (\d+)")


def _out_of_gas(text: str) -> Failure:
    """The geth failure that matches py-evm's `OutOfGas` with this text."""
    if text.startswith("Contract code size exceeds"):
        limit, size = re.findall(r"\d+", text)[-2:]
        return Failure(FailureKind.CODE_TOO_LARGE, f"max code size exceeded: code size {size} limit {limit}")
    if "Write contract code" in text or "contract code for CREATE" in text:
        return Failure(FailureKind.CODE_STORAGE_OUT_OF_GAS)
    if "Net-metered SSTORE always fails" in text:
        return Failure(FailureKind.OUT_OF_GAS, SENTRY)
    grown = _EXPANDING.search(text)
    if grown and int(grown[1]) > MEMORY_LIMIT:
        return (
            Failure(FailureKind.OUT_OF_GAS, f"out of gas: {OVERFLOW}") if int(grown[1]) < MAX_UINT64 else Failure(FailureKind.GAS_OVERFLOW)
        )
    return Failure(FailureKind.OUT_OF_GAS)
