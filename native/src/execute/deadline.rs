//! Stopping what runs too long. The clock is read whenever so much gas has been spent that time may have passed: at the JUMPDEST that
//! every loop passes, before KECCAK256, and before each frame or precompile.
//!
//! Gas is a better measure than steps: an iteration may cost microseconds, or milliseconds in a precompile.

use crate::execute::moment::Moment;
use revm::interpreter::instructions::system;
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::{Host, InstructionContext, InstructionResult, Interpreter};
use std::cell::{Cell, RefCell};
use std::sync::Arc;

thread_local! {
    static DEADLINE: RefCell<Option<Arc<Moment>>> = const { RefCell::new(None) };
    /// The frame's gas at the last look.
    static SEEN: Cell<u64> = const { Cell::new(0) };
    static EXPIRED: Cell<bool> = const { Cell::new(false) };
}

/// About a millisecond of the slowest opcodes and precompiles, a few hundred microseconds of ordinary ones.
const GAS_BETWEEN_LOOKS: u64 = 50_000;

/// Run `work` with a deadline for this thread; a machine that runs past it stops with an error.
pub fn with_deadline<T>(deadline: Option<Arc<Moment>>, work: impl FnOnce() -> T) -> T {
    DEADLINE.set(deadline);
    EXPIRED.set(false);
    let result = work();
    DEADLINE.set(None);
    EXPIRED.set(false);
    result
}

/// Whether the deadline of this thread's work was found to have passed.
pub fn expired() -> bool {
    EXPIRED.get()
}

/// Read the clock: whether the deadline of this thread's work has passed.
pub fn passed() -> bool {
    if !EXPIRED.get() && DEADLINE.with_borrow(|deadline| deadline.as_ref().is_some_and(|moment| moment.passed())) {
        EXPIRED.set(true);
    }
    EXPIRED.get()
}

/// Halt the frame if time is over, looking only when enough gas was spent since the last look. Another frame has another amount of
/// gas, which counts as spent.
fn look(interpreter: &mut Interpreter) -> bool {
    let left = interpreter.gas.remaining();
    if left.abs_diff(SEEN.get()) < GAS_BETWEEN_LOOKS {
        return false;
    }
    SEEN.set(left);
    let over = passed();
    if over {
        interpreter.halt(InstructionResult::OutOfGas);
    }
    over
}

/// The JUMPDEST of a machine that has a deadline.
pub fn jumpdest<H: ?Sized>(context: InstructionContext<'_, H, EthInterpreter>) {
    look(context.interpreter);
}

/// The KECCAK256 of a machine that has a deadline.
pub fn keccak256<H: Host + ?Sized>(context: InstructionContext<'_, H, EthInterpreter>) {
    if !look(context.interpreter) {
        system::keccak256(context);
    }
}
