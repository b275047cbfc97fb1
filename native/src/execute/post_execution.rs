//! Lagoon's gas refunds: what they change, and the transaction that lists them, which is not executed.
//!
//! Which refunds belong to which transaction is read in Python before the block begins (`l2engine/rules/post_execution.py`).
//! Sources: OP specs, lagoon/post-exec.md and lagoon/sdm.md.

use crate::errors::{ExecutionError, refuse};
use crate::execute::block::BlockExecution;
use crate::fork;
use revm::context::JournalTr;
use revm::context::journaled_state::account::JournaledAccountTr;
use revm::primitives::{Address, U256};

/// Wei that move back to the sender when a part of its transaction's gas is refunded.
pub struct Settlement {
    to_sender: U256,
    pub from_beneficiary: U256,
    from_base_fee_vault: U256,
    from_operator_fee_vault: U256,
}

impl Settlement {
    /// The gas used that is left of what the EVM used.
    pub fn gas_left(evm_gas_used: u64, refund: u64) -> Result<u64, ExecutionError> {
        match evm_gas_used.checked_sub(refund) {
            Some(left) => Ok(left),
            None => refuse!(RefundAboveGasUsed, refund = refund, gas_used = evm_gas_used),
        }
    }

    /// `operator_fee` is the part of it that falls away. `refund` is at most the gas that was paid for, so nothing overflows.
    pub fn new(refund: u64, price: U256, base_fee: U256, operator_fee: U256) -> Self {
        let refund = U256::from(refund);
        Self {
            to_sender: refund * price + operator_fee,
            from_beneficiary: refund * (price - base_fee),
            from_base_fee_vault: refund * base_fee,
            from_operator_fee_vault: operator_fee,
        }
    }

    /// Change the balances: first the credit, then each debit. Nothing touches an account for 0 wei.
    pub fn apply(&self, block: &mut BlockExecution, sender: Address) -> Result<(), ExecutionError> {
        if !self.to_sender.is_zero() {
            block.credit(sender, self.to_sender)?;
        }
        let beneficiary = block.machine.block().beneficiary;
        debit(block, beneficiary, self.from_beneficiary)?;
        debit(block, fork::BASE_FEE_VAULT, self.from_base_fee_vault)?;
        debit(block, fork::OPERATOR_FEE_VAULT, self.from_operator_fee_vault)
    }
}

fn debit(block: &mut BlockExecution, address: Address, wei: U256) -> Result<(), ExecutionError> {
    if wei.is_zero() {
        return Ok(());
    }
    let mut account = block.machine.journal().load_account_mut(address)?.data;
    match account.balance().checked_sub(wei) {
        Some(left) => {
            account.set_balance(left);
            Ok(())
        }
        None => refuse!(SettlementUnderflows, address = address, delta = wei),
    }
}
