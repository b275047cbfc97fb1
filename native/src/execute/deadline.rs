//! Stopping what runs too long: every loop passes a JUMPDEST, which looks at the clock now and then.

use crate::execute::moment::Moment;
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::{InstructionContext, InstructionResult};
use std::cell::{Cell, RefCell};
use std::sync::Arc;

thread_local! {
    static DEADLINE: RefCell<Option<Arc<Moment>>> = const { RefCell::new(None) };
    static COUNTDOWN: Cell<u32> = const { Cell::new(0) };
    static EXPIRED: Cell<bool> = const { Cell::new(false) };
}

const JUMPS_BETWEEN_LOOKS: u32 = 2_048;

/// Run `work` with a deadline for this thread; a machine that runs past it tells so.
pub fn with_deadline<T>(deadline: Option<Arc<Moment>>, work: impl FnOnce() -> T) -> T {
    DEADLINE.set(deadline);
    COUNTDOWN.set(JUMPS_BETWEEN_LOOKS);
    EXPIRED.set(false);
    let result = work();
    DEADLINE.set(None);
    EXPIRED.set(false);
    result
}

/// Whether the deadline of this thread's work has passed.
pub fn expired() -> bool {
    EXPIRED.get()
}

/// The JUMPDEST of a machine that has a deadline.
pub fn jumpdest<H: ?Sized>(context: InstructionContext<'_, H, EthInterpreter>) {
    let left = COUNTDOWN.get();
    if left > 0 && !EXPIRED.get() {
        COUNTDOWN.set(left - 1);
        return;
    }
    COUNTDOWN.set(JUMPS_BETWEEN_LOOKS);
    if EXPIRED.get() || DEADLINE.with_borrow(|deadline| deadline.as_ref().is_some_and(|moment| moment.passed())) {
        EXPIRED.set(true);
        context.interpreter.halt(InstructionResult::OutOfGas);
    }
}
