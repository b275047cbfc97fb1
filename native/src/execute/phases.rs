//! The story of one transaction in four phases: validate, charge, execute, settle.
//!
//! `signed.rs`, `deposit.rs` and `call.rs` say what each kind of transaction does in its validate, charge and settle phase; executing
//! is the same for all of them and is written here. A post-execution transaction has none of the four (`post_execution.rs`).

use crate::errors::ExecutionError;
use crate::execute::block::BlockExecution;
use crate::execute::machine::FramesResult;
use revm::context::journaled_state::account::JournaledAccountTr;
use revm::interpreter::InitialAndFloorGas;
use revm::primitives::{Address, U256};

/// A transaction that has been found valid, and is in the machine: what must be known to pay for it.
pub struct Plan {
    pub sender: Address,
    /// The gas limit.
    pub gas: u64,
    /// Wei for each unit of gas.
    pub price: U256,
    /// Its gas before the first frame, and the least gas that is charged (EIP-7623).
    pub initial: InitialAndFloorGas,
}

/// One kind of transaction, by what it does before and after its frames.
pub trait Phases {
    /// Find out whether the transaction may run, and put it into the machine. Changes no account.
    fn validate(&mut self, block: &mut BlockExecution) -> Result<Plan, ExecutionError>;

    /// Take what is paid up front and raise the nonce; whether the transaction is then executed.
    fn charge(&mut self, block: &mut BlockExecution, plan: &Plan) -> Result<bool, ExecutionError>;

    /// Refund unused gas and pay the fee recipients; returns the gas used.
    fn settle(&mut self, block: &mut BlockExecution, plan: &Plan, ran: &FramesResult) -> Result<u64, ExecutionError>;
}

/// Count one more transaction of an account. Only deposits and calls get beyond 2^64 - 1, and begin again at 0 as in op-geth.
pub fn raise_nonce(account: &mut impl JournaledAccountTr) {
    let next = account.nonce().wrapping_add(1);
    account.set_nonce(next);
}

impl BlockExecution {
    /// How the frames ended, and the gas used. Nothing is kept or undone yet: that is up to the caller.
    pub fn run(&mut self, phases: &mut impl Phases) -> Result<(FramesResult, u64), ExecutionError> {
        let plan = phases.validate(self)?;
        self.machine.begin()?;
        let (ran, error) = if phases.charge(self, &plan)? {
            (self.machine.run(plan.initial)?, None)
        } else {
            (FramesResult::without_frames(plan.gas), Some("failed deposit transaction"))
        };
        let gas_used = phases.settle(self, &plan, &ran)?;
        self.remove_accounts();
        self.machine.end(gas_used, error)?;
        Ok((ran, gas_used))
    }
}
