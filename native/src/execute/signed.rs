//! Signed transactions, whose sender pays for them.
//!
//! Sources: Yellow Paper 6; EIP-1559, 4844; OP specs, exec-engine.md; digest 2.3, 2.4, 3.5.

use crate::errors::ExecutionError;
use crate::execute::block::BlockExecution;
use crate::execute::checks;
use crate::execute::fees;
use crate::execute::machine::FramesResult;
use crate::execute::phases::{Phases, Plan};
use crate::execute::post_execution::Settlement;
use crate::execute::transaction::Transaction;
use crate::fork::{self, L1Parameters, OperatorFeeRule};
use revm::context::JournalTr;
use revm::context::journaled_state::account::JournaledAccountTr;
use revm::primitives::{Address, U256};

/// The phases of one signed transaction.
pub struct Signed<'a> {
    tx: &'a Transaction,
    sender: Address,
    /// Gas that is given back, known when the transaction is settled.
    pub refund: u64,
    l1: L1Parameters,
    pub l1_fee: U256,
    /// For the whole gas limit until the transaction is settled, then for the gas that was used.
    pub operator_fee: U256,
    /// The beneficiary's income in wei, known when the transaction is settled.
    pub tip: U256,
}

impl<'a> Signed<'a> {
    pub fn new(tx: &'a Transaction, sender: Address) -> Self {
        let l1 = L1Parameters::default();
        Self { tx, sender, refund: 0, l1, l1_fee: U256::ZERO, operator_fee: U256::ZERO, tip: U256::ZERO }
    }
}

impl Phases for Signed<'_> {
    fn validate(&mut self, block: &mut BlockExecution) -> Result<Plan, ExecutionError> {
        let (tx, sender) = (self.tx, self.sender);
        let price = tx.max_fee.min(block.base_fee.saturating_add(tx.max_priority_fee));
        block.machine.set_transaction(tx.to_env(sender, price));
        (self.l1_fee, self.l1) = block.l1_fee(tx)?;
        self.operator_fee = fees::operator_fee(block.fork.operator_fee, tx.gas, &self.l1);
        let initial = block.machine.initial_gas();
        let op_fees = self.l1_fee.saturating_add(self.operator_fee);
        let signer = {
            let info = &block.machine.journal().load_account_with_code(sender)?.data.info;
            let code = info.code.clone().unwrap_or_default();
            checks::Sender { address: sender, nonce: info.nonce, balance: info.balance, code }
        };
        checks::signed(&block.fork, &block.so_far(), &signer, tx, op_fees, &initial)?;
        Ok(Plan { sender, gas: tx.gas, price, initial })
    }

    fn charge(&mut self, block: &mut BlockExecution, plan: &Plan) -> Result<bool, ExecutionError> {
        let blob_fee = U256::from(self.tx.blob_gas()) * block.blob_price();
        let bought = U256::from(plan.gas) * plan.price + blob_fee + self.l1_fee + self.operator_fee;
        let mut account = block.machine.journal().load_account_mut(plan.sender)?.data;
        let left = *account.balance() - bought;
        account.set_balance(left);
        if self.tx.to.is_call() {
            account.bump_nonce(); // a creation's first frame does it
        }
        Ok(true)
    }

    fn settle(&mut self, block: &mut BlockExecution, plan: &Plan, ran: &FramesResult) -> Result<u64, ExecutionError> {
        let rule = block.fork.operator_fee;
        let (base_fee, beneficiary) = (block.base_fee, block.machine.block().beneficiary);
        let used = U256::from(ran.gas_used);
        let operator_fee = fees::operator_fee(rule, ran.gas_used, &self.l1);
        let charged = std::mem::replace(&mut self.operator_fee, operator_fee);
        block.credit(plan.sender, U256::from(ran.gas_left) * plan.price + (charged - operator_fee))?;
        self.tip = used * (plan.price - base_fee);
        block.credit(beneficiary, self.tip)?;
        if block.fork.is_optimism {
            block.credit(fork::BASE_FEE_VAULT, used * base_fee)?;
            block.credit(fork::L1_FEE_VAULT, self.l1_fee)?;
            if rule != OperatorFeeRule::None {
                block.credit(fork::OPERATOR_FEE_VAULT, operator_fee)?;
            }
        }
        self.refund = block.refund(ran.gas_used)?;
        if self.refund == 0 {
            return Ok(ran.gas_used);
        }
        let left = Settlement::gas_left(ran.gas_used, self.refund)?;
        self.operator_fee = fees::operator_fee(rule, left, &self.l1);
        let settlement = Settlement::new(self.refund, plan.price, base_fee, operator_fee - self.operator_fee);
        settlement.apply(block, plan.sender)?;
        self.tip -= settlement.from_beneficiary;
        Ok(left)
    }
}
