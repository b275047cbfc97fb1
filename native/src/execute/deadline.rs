//! Stopping what runs too long: every loop passes a JUMPDEST, which looks at the clock now and then.

use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::{InstructionContext, InstructionResult};
use std::cell::Cell;
use std::time::Instant;

thread_local! {
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
    static COUNTDOWN: Cell<u32> = const { Cell::new(0) };
    static EXPIRED: Cell<bool> = const { Cell::new(false) };
}

const JUMPS_BETWEEN_LOOKS: u32 = 2_048;

/// Run `work` with a deadline for this thread; a machine that runs past it stops with an error.
pub fn with_deadline<T>(deadline: Option<Instant>, work: impl FnOnce() -> T) -> T {
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
    if EXPIRED.get() || DEADLINE.get().is_some_and(|deadline| Instant::now() >= deadline) {
        EXPIRED.set(true);
        context.interpreter.halt(InstructionResult::OutOfGas);
    }
}
