//! A block's next transaction: which kind it is, what it adds to the block's totals, its receipt.

use crate::errors::{ExecutionError, StateError};
use crate::execute::block::BlockExecution;
use crate::execute::deposit::Deposit;
use crate::execute::fees;
use crate::execute::receipt::Receipt;
use crate::execute::signed::Signed;
use crate::execute::transaction::{DepositFields, POST_EXECUTION, Transaction};
use revm::context::JournalTr;
use revm::primitives::{Address, Bytes, U256};

/// An executed transaction.
#[derive(Debug, Default)]
pub struct Outcome {
    pub receipt: Receipt,
    /// After the refund, as the receipt says.
    pub gas_used: u64,
    /// Gas that is given back.
    refund: u64,
    pub output: Bytes,
    pub l1_fee: U256,
    pub operator_fee: U256,
    /// The beneficiary's income, in wei.
    tip: U256,
}

impl BlockExecution {
    /// Execute one transaction; as if it had never been tried when it cannot be in this block.
    pub fn apply(&mut self, tx: &Transaction, sender: Address) -> Result<Outcome, ExecutionError> {
        let outcome = self.check_form(tx).and_then(|()| match (&tx.deposit, tx.kind) {
            (Some(fields), _) => self.apply_deposit(tx, fields),
            (None, POST_EXECUTION) => self.apply_post_execution(),
            (None, _) => self.apply_signed(tx, sender),
        });
        match &outcome {
            Ok(outcome) => {
                self.machine.commit();
                self.applied += 1;
                self.gas_used += outcome.gas_used;
                self.gas_before_refunds += outcome.gas_used + outcome.refund;
                self.blob_gas_used += tx.blob_gas();
                self.value += outcome.tip;
                if self.fork.is_optimism && tx.is_signed() {
                    self.da_size += fees::da_size(&tx.raw);
                }
            }
            Err(_) => self.machine.discard(),
        }
        outcome
    }

    /// The part of the gas used by the block's next transaction, a signed one, that the block refunds.
    pub fn refund(&mut self, gas_used: u64) -> Result<u64, StateError> {
        match &mut self.refund_rule {
            Some(rule) => rule(gas_used),
            None => Ok(self.refunds.get(&self.applied).copied().unwrap_or(0)),
        }
    }

    fn apply_signed(&mut self, tx: &Transaction, sender: Address) -> Result<Outcome, ExecutionError> {
        let mut phases = Signed::new(tx, sender);
        let (ran, gas_used) = self.run(&mut phases)?;
        let receipt = self.receipt(tx.kind, ran.result.is_ok(), gas_used);
        let Signed { refund, l1_fee, operator_fee, tip, .. } = phases;
        Ok(Outcome { receipt, gas_used, refund, output: ran.output(), l1_fee, operator_fee, tip })
    }

    fn apply_deposit(&mut self, tx: &Transaction, fields: &DepositFields) -> Result<Outcome, ExecutionError> {
        let mut phases = Deposit::new(tx, fields);
        let (ran, gas_used) = self.run(&mut phases)?;
        let mut receipt = self.receipt(tx.kind, ran.result.is_ok(), gas_used);
        receipt.deposit_nonce = self.fork.deposit_nonce_in_receipt.then_some(phases.nonce);
        receipt.deposit_version = self.fork.deposit_receipt_version;
        Ok(Outcome { receipt, gas_used, output: ran.output(), ..Outcome::default() })
    }

    /// A post-execution transaction leaves all phases out.
    fn apply_post_execution(&mut self) -> Result<Outcome, ExecutionError> {
        self.machine.end(0, None)?;
        Ok(Outcome { receipt: self.receipt(POST_EXECUTION, true, 0), ..Outcome::default() })
    }

    fn receipt(&mut self, kind: u8, success: bool, gas_used: u64) -> Receipt {
        let logs = self.machine.journal().take_logs();
        Receipt {
            kind,
            success,
            cumulative_gas: self.gas_used + gas_used,
            logs: if success { logs } else { Vec::new() },
            deposit_nonce: None,
            deposit_version: None,
        }
    }
}
