//! Deposits: transactions that come from L1, pay nothing here and cannot be kept out.
//!
//! Sources: OP specs, deposits.md and regolith; digest 2.4 and section 0.

use crate::errors::{ExecutionError, refuse};
use crate::execute::block::BlockExecution;
use crate::execute::checks;
use crate::execute::machine::FramesResult;
use crate::execute::phases::{Phases, Plan, raise_nonce};
use crate::execute::transaction::{DepositFields, Transaction};
use revm::context::JournalTr;
use revm::context::journaled_state::account::JournaledAccountTr;
use revm::primitives::U256;

/// The phases of one deposit. Only a full block or an overflowing mint excludes it. Any other failure still keeps the mint and
/// increments the nonce.
pub struct Deposit<'a> {
    tx: &'a Transaction,
    fields: &'a DepositFields,
    mint: U256,
    /// The sender's nonce before the deposit, for its receipt.
    pub nonce: u64,
}

impl<'a> Deposit<'a> {
    pub fn new(tx: &'a Transaction, fields: &'a DepositFields) -> Self {
        Self { tx, fields, mint: U256::ZERO, nonce: 0 }
    }
}

impl Phases for Deposit<'_> {
    fn validate(&mut self, block: &mut BlockExecution) -> Result<Plan, ExecutionError> {
        let (tx, sender) = (self.tx, self.fields.sender);
        let Some(mint) = self.fields.mint else { return refuse!(MintOverflows) };
        self.mint = mint;
        if self.fields.is_system && block.fork.deposits_report_gas {
            return refuse!(SystemDeposit, address = sender);
        }
        if !self.fields.is_system {
            checks::gas_left(block.gas_left(), tx.gas)?;
        }
        block.machine.set_transaction(tx.to_env(sender, U256::ZERO));
        let info = &block.machine.journal().load_account(sender)?.data.info;
        self.nonce = info.nonce;
        if info.balance.checked_add(mint).is_none() {
            return refuse!(MintOverflows);
        }
        Ok(Plan { sender, gas: tx.gas, price: U256::ZERO, initial: block.machine.initial_gas() })
    }

    fn charge(&mut self, block: &mut BlockExecution, plan: &Plan) -> Result<bool, ExecutionError> {
        let tx = self.tx;
        let mut account = block.machine.journal().load_account_mut(plan.sender)?.data;
        account.incr_balance(self.mint);
        let runs = *account.balance() >= tx.value
            && checks::enough_gas(tx.gas, &plan.initial).is_ok()
            && !checks::too_much_initcode(&block.fork, tx.to.is_create(), tx.data.len());
        if tx.to.is_call() || !runs {
            raise_nonce(&mut account); // a creation's first frame does it
        }
        Ok(runs)
    }

    fn settle(&mut self, block: &mut BlockExecution, _: &Plan, ran: &FramesResult) -> Result<u64, ExecutionError> {
        Ok(match (block.fork.deposits_report_gas, self.fields.is_system) {
            (true, _) => ran.gas_used,
            (false, true) => 0,
            (false, false) => self.tx.gas,
        })
    }
}
