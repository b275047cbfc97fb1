//! geth's words for how a call failed. Its last step is still in the outermost frame's interpreter.

use crate::execution::Ran;
use crate::machine::Machine;
use revm::bytecode::opcode::{OpCode, RETURN};
use revm::handler::EthFrame;
use revm::interpreter::InstructionResult as R;
use revm::interpreter::interpreter_types::Jumps;

const MAX_CODE_SIZE: usize = 24_576;

/// How the outermost frame failed; None when it succeeded.
pub fn text(ran: &Ran, machine: &mut Machine) -> Option<String> {
    let text = match ran.result {
        R::Stop | R::Return | R::SelfDestruct => return None,
        R::Revert => "execution reverted",
        R::OutOfGas | R::StackUnderflow | R::OpcodeNotFound | R::NotActivated => {
            return Some(last_step(ran.result, machine));
        }
        R::MemoryOOG | R::MemoryLimitOOG | R::PrecompileOOG => "out of gas",
        R::ReentrancySentryOOG => "out of gas: not enough gas for reentrancy sentry",
        R::InvalidOperandOOG => "gas uint64 overflow",
        R::InvalidFEOpcode => "invalid opcode: INVALID",
        R::InvalidJump => "invalid jump destination",
        R::StackOverflow => "stack limit reached 1024 (1023)",
        R::OutOfOffset => "return data out of bounds",
        R::CallNotAllowedInsideStatic | R::StateChangeDuringStaticCall => "write protection",
        R::CreateCollision => "contract address collision",
        R::CreateContractSizeLimit => {
            return Some(format!("max code size exceeded: code size {} limit {MAX_CODE_SIZE}", ran.returned.len()));
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

/// The words that name an opcode or the stack's height. geth looks at the stack before the gas, revm the other way round.
fn last_step(result: R, machine: &mut Machine) -> String {
    let mut outermost = machine.0.frame_stack.start_init();
    let interpreter = &outermost.get(EthFrame::invalid).interpreter;
    let position = interpreter.bytecode.pc().saturating_sub(1);
    let code = interpreter.bytecode.bytes_slice().get(position).copied().unwrap_or_default();
    let Some(opcode) = OpCode::new(code).filter(|_| result != R::OpcodeNotFound) else {
        return format!("invalid opcode: opcode {code:#x} not defined");
    };
    let (height, needed) = (interpreter.stack.len(), usize::from(opcode.inputs()));
    match result {
        R::NotActivated => format!("invalid opcode: {opcode}"),
        R::OutOfGas if code == RETURN => "contract creation code storage out of gas".to_owned(),
        R::OutOfGas if height >= needed => "out of gas".to_owned(),
        _ => format!("stack underflow ({height} <=> {needed})"),
    }
}
