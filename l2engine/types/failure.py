"""The ways in which a call frame fails: one kind for each, with geth's text.

Code compares kinds; the text is only shown, in answers and traces. Sources: go-ethereum's core/vm/errors.go and core/vm/gas_table.go.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class FailureKind(StrEnum):
    """The kinds of failure. The native core uses the same values."""

    REVERTED = "reverted"
    """By REVERT, the only failure that returns output and the gas that is left."""
    # gas
    OUT_OF_GAS = "out_of_gas"
    GAS_OVERFLOW = "gas_overflow"
    CODE_STORAGE_OUT_OF_GAS = "code_storage_out_of_gas"
    # code
    CODE_TOO_LARGE = "code_too_large"
    INVALID_CODE = "invalid_code"
    INVALID_OPCODE = "invalid_opcode"
    INVALID_JUMP = "invalid_jump"
    # data
    STACK_UNDERFLOW = "stack_underflow"
    STACK_OVERFLOW = "stack_overflow"
    RETURN_DATA_OUT_OF_BOUNDS = "return_data_out_of_bounds"
    WRITE_PROTECTION = "write_protection"
    # a frame that does not begin
    ADDRESS_COLLISION = "address_collision"
    NONCE_OVERFLOW = "nonce_overflow"
    CALL_TOO_DEEP = "call_too_deep"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    # precompiles
    PRECOMPILE_INPUT_LENGTH = "precompile_input_length"
    PRECOMPILE_FAILED = "precompile_failed"
    # failures that an executor reports and geth does not have
    OTHER = "other"


WORDS: Mapping[FailureKind, str] = {
    FailureKind.REVERTED: "execution reverted",
    FailureKind.OUT_OF_GAS: "out of gas",
    FailureKind.GAS_OVERFLOW: "gas uint64 overflow",
    FailureKind.CODE_STORAGE_OUT_OF_GAS: "contract creation code storage out of gas",
    FailureKind.CODE_TOO_LARGE: "max code size exceeded",
    FailureKind.INVALID_CODE: "invalid code: must not begin with 0xef",
    FailureKind.INVALID_OPCODE: "invalid opcode",
    FailureKind.INVALID_JUMP: "invalid jump destination",
    FailureKind.STACK_UNDERFLOW: "stack underflow",
    FailureKind.STACK_OVERFLOW: "stack limit reached",
    FailureKind.RETURN_DATA_OUT_OF_BOUNDS: "return data out of bounds",
    FailureKind.WRITE_PROTECTION: "write protection",
    FailureKind.ADDRESS_COLLISION: "contract address collision",
    FailureKind.NONCE_OVERFLOW: "nonce uint64 overflow",
    FailureKind.CALL_TOO_DEEP: "max call depth exceeded",
    FailureKind.INSUFFICIENT_BALANCE: "insufficient balance for transfer",
    FailureKind.PRECOMPILE_INPUT_LENGTH: "invalid input length",
    FailureKind.PRECOMPILE_FAILED: "precompile failed",
    FailureKind.OTHER: "execution failed",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """How a frame failed."""

    kind: FailureKind
    words: str | None = None
    """geth's text where it contains an opcode, a number or a detail; None uses the kind's text."""

    @property
    def text(self) -> str:
        """The failure in geth's words."""
        return WORDS[self.kind] if self.words is None else self.words
