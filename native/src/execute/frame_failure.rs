//! The meaning of revm's frame results. The last step is still in the outermost frame's interpreter.

use crate::execute::machine::{FramesResult, Machine};
use crate::failures::{FailureKind, FrameFailure};
use crate::fork::Fork;
use revm::bytecode::opcode::{BLOBBASEFEE, BLOBHASH, CLZ, MCOPY, OpCode, PUSH0, RETURN, TLOAD, TSTORE};
use revm::interpreter::interpreter_types::Jumps;
use revm::interpreter::{InstructionResult as R, Interpreter};
use revm::primitives::hardfork::SpecId;

const MAX_CODE_SIZE: usize = 24_576;
const STACK_LIMIT: usize = 1_024;
/// SLOTNUM, DUPN, SWAPN and EXCHANGE, which no fork here has.
const ONLY_IN_REVM: [u8; 4] = [0x4b, 0xe6, 0xe7, 0xe8];

/// How a call's outermost frame failed; None when it succeeded.
pub fn of_call(ran: &FramesResult, fork: &Fork, machine: &mut Machine) -> Option<FrameFailure> {
    match ran.result {
        R::OutOfGas | R::StackUnderflow | R::StackOverflow | R::OpcodeNotFound | R::NotActivated => {
            Some(machine.look_at_outermost(|interpreter| last_step(ran.result, fork, interpreter)))
        }
        result => of_frame(result, ran.returned.len()),
    }
}

/// How a frame failed that handed back `size` bytes, as far as its last step does not matter; None when it succeeded.
pub fn of_frame(result: R, size: usize) -> Option<FrameFailure> {
    use FailureKind as K;
    let kind = match result {
        R::Stop | R::Return | R::SelfDestruct => return None,
        R::Revert => K::Reverted,
        R::OutOfGas => K::CodeStorageOutOfGas,
        R::MemoryOOG | R::MemoryLimitOOG | R::PrecompileOOG => K::OutOfGas,
        R::ReentrancySentryOOG => {
            return Some(FrameFailure::worded(K::OutOfGas, "out of gas: not enough gas for reentrancy sentry"));
        }
        R::InvalidOperandOOG => K::GasOverflow,
        R::InvalidFEOpcode => return Some(FrameFailure::worded(K::InvalidOpcode, "invalid opcode: INVALID")),
        R::InvalidJump => K::InvalidJump,
        R::OutOfOffset => K::ReturnDataOutOfBounds,
        R::CallNotAllowedInsideStatic | R::StateChangeDuringStaticCall => K::WriteProtection,
        R::CreateCollision => K::AddressCollision,
        R::CreateContractSizeLimit => {
            let words = format!("max code size exceeded: code size {size} limit {MAX_CODE_SIZE}");
            return Some(FrameFailure::worded(K::CodeTooLarge, words));
        }
        R::CreateContractStartingWithEF => K::InvalidCode,
        R::CreateInitCodeSizeLimit => {
            // geth finds it while it works out the gas
            return Some(FrameFailure::worded(K::OutOfGas, "max initcode size exceeded"));
        }
        R::NonceOverflow => K::NonceOverflow,
        R::CallTooDeep => K::CallTooDeep,
        R::OutOfFunds | R::OverflowPayment => K::InsufficientBalance,
        R::PrecompileError => K::PrecompileFailed,
        other => return Some(FrameFailure::worded(K::Other, format!("{other:?}"))),
    };
    Some(kind.into())
}

/// The failures that name an opcode or the stack's height. revm's opcodes take what they need from the stack in steps, so for
/// calls and logs the height may be lower than the one that geth reports.
fn last_step(result: R, fork: &Fork, interpreter: &Interpreter) -> FrameFailure {
    let position = interpreter.bytecode.pc().saturating_sub(1);
    let code = interpreter.bytecode.bytes_slice().get(position).copied().unwrap_or_default();
    let Some(opcode) = OpCode::new(code).filter(|_| !ONLY_IN_REVM.contains(&code)) else {
        return FrameFailure::worded(
            FailureKind::InvalidOpcode,
            format!("invalid opcode: opcode {code:#x} not defined"),
        );
    };
    if !fork.has(introduced(code)) {
        return FrameFailure::worded(FailureKind::InvalidOpcode, format!("invalid opcode: {opcode}"));
    }
    let (height, needed) = (interpreter.stack.len(), usize::from(opcode.inputs()));
    match result {
        R::OutOfGas if code == RETURN => FailureKind::CodeStorageOutOfGas.into(),
        R::OutOfGas => FailureKind::OutOfGas.into(),
        R::StackOverflow if height >= STACK_LIMIT => FrameFailure::worded(
            FailureKind::StackOverflow,
            format!("stack limit reached {STACK_LIMIT} ({})", STACK_LIMIT - 1),
        ),
        _ => FrameFailure::worded(FailureKind::StackUnderflow, format!("stack underflow ({height} <=> {needed})")),
    }
}

/// The first rules that have an opcode, as far as they differ from Paris.
fn introduced(code: u8) -> SpecId {
    match code {
        PUSH0 => SpecId::SHANGHAI,
        BLOBHASH | BLOBBASEFEE | TLOAD | TSTORE | MCOPY => SpecId::CANCUN,
        CLZ => SpecId::OSAKA,
        _ => SpecId::MERGE,
    }
}
