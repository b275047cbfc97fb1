//! How a frame failed: the kinds of `l2engine/types/failure.py`, by their values there, and geth's words where they name more.

use crate::named::named;

named! { FailureKind:
    Reverted = "reverted",
    OutOfGas = "out_of_gas",
    GasOverflow = "gas_overflow",
    CodeStorageOutOfGas = "code_storage_out_of_gas",
    CodeTooLarge = "code_too_large",
    InvalidCode = "invalid_code",
    InvalidOpcode = "invalid_opcode",
    InvalidJump = "invalid_jump",
    StackUnderflow = "stack_underflow",
    StackOverflow = "stack_overflow",
    ReturnDataOutOfBounds = "return_data_out_of_bounds",
    WriteProtection = "write_protection",
    AddressCollision = "address_collision",
    NonceOverflow = "nonce_overflow",
    CallTooDeep = "call_too_deep",
    InsufficientBalance = "insufficient_balance",
    PrecompileInputLength = "precompile_input_length",
    PrecompileFailed = "precompile_failed",
    Other = "other",
}

#[derive(Clone, Debug)]
pub struct FrameFailure {
    pub kind: FailureKind,
    /// geth's words where they name a number, an opcode or a detail; otherwise the kind's own are meant.
    pub words: Option<String>,
}

impl From<FailureKind> for FrameFailure {
    fn from(kind: FailureKind) -> Self {
        Self { kind, words: None }
    }
}

impl FrameFailure {
    pub fn worded(kind: FailureKind, words: impl Into<String>) -> Self {
        Self { kind, words: Some(words.into()) }
    }
}
