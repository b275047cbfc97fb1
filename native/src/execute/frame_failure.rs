//! geth's words for how a frame failed. Its last step is still in the outermost frame's interpreter.

use crate::execute::machine::{FramesResult, Machine};
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
pub fn text(ran: &FramesResult, fork: &Fork, machine: &mut Machine) -> Option<String> {
    match ran.result {
        R::OutOfGas | R::StackUnderflow | R::StackOverflow | R::OpcodeNotFound | R::NotActivated => {
            Some(machine.look_at_outermost(|interpreter| last_step(ran.result, fork, interpreter)))
        }
        result => of_frame(result, ran.returned.len()),
    }
}

/// How a frame failed that handed back `size` bytes, as far as its last step does not matter; None when it succeeded.
pub fn of_frame(result: R, size: usize) -> Option<String> {
    let text = match result {
        R::Stop | R::Return | R::SelfDestruct => return None,
        R::Revert => "execution reverted",
        R::OutOfGas => "contract creation code storage out of gas",
        R::MemoryOOG | R::MemoryLimitOOG | R::PrecompileOOG => "out of gas",
        R::ReentrancySentryOOG => "out of gas: not enough gas for reentrancy sentry",
        R::InvalidOperandOOG => "gas uint64 overflow",
        R::InvalidFEOpcode => "invalid opcode: INVALID",
        R::InvalidJump => "invalid jump destination",
        R::OutOfOffset => "return data out of bounds",
        R::CallNotAllowedInsideStatic | R::StateChangeDuringStaticCall => "write protection",
        R::CreateCollision => "contract address collision",
        R::CreateContractSizeLimit => {
            return Some(format!("max code size exceeded: code size {size} limit {MAX_CODE_SIZE}"));
        }
        R::CreateContractStartingWithEF => "invalid code: must not begin with 0xef",
        R::CreateInitCodeSizeLimit => "max initcode size exceeded",
        R::NonceOverflow => "nonce uint64 overflow",
        R::CallTooDeep => "max call depth exceeded",
        R::OutOfFunds | R::OverflowPayment => "insufficient balance for transfer",
        R::PrecompileError => "precompile failed",
        other => return Some(format!("{other:?}")),
    };
    Some(text.to_owned())
}

/// The words that name an opcode or the stack's height. revm's opcodes take what they need from the stack in steps, so for
/// calls and logs the height may be lower than the one that geth tells.
fn last_step(result: R, fork: &Fork, interpreter: &Interpreter) -> String {
    let position = interpreter.bytecode.pc().saturating_sub(1);
    let code = interpreter.bytecode.bytes_slice().get(position).copied().unwrap_or_default();
    let Some(opcode) = OpCode::new(code).filter(|_| !ONLY_IN_REVM.contains(&code)) else {
        return format!("invalid opcode: opcode {code:#x} not defined");
    };
    if !fork.has(introduced(code)) {
        return format!("invalid opcode: {opcode}");
    }
    let (height, needed) = (interpreter.stack.len(), usize::from(opcode.inputs()));
    match result {
        R::OutOfGas if code == RETURN => "contract creation code storage out of gas".to_owned(),
        R::OutOfGas => "out of gas".to_owned(),
        R::StackOverflow if height >= STACK_LIMIT => format!("stack limit reached {STACK_LIMIT} ({})", STACK_LIMIT - 1),
        _ => format!("stack underflow ({height} <=> {needed})"),
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
