//! One block under execution: what happens before and after a transaction's frames.
//!
//! Sources: Yellow Paper 6; EIP-1559, 4844, 7623, 7702; OP specs, deposits.md and exec-engine.md; digest sections 0, 2 and 3.

use crate::diff::StateDiff;
use crate::errors::{ExecutionError, StateError};
use crate::execute::changes::changes;
use crate::execute::checks;
use crate::execute::fees;
use crate::execute::machine::{FramesResult, Machine};
use crate::execute::receipt::Receipt;
use crate::execute::transaction::{Deposit, Transaction};
use crate::fork::{self, Fork, L1FeeRule, L1Parameters};
use crate::view::{StateView, storage_now};
use revm::bytecode::Bytecode;
use revm::context::journaled_state::account::JournaledAccountTr;
use revm::context::{BlockEnv, JournalEntry, JournalTr, TxEnv};
use revm::interpreter::{InitialAndFloorGas, InstructionResult};
use revm::primitives::{Address, Bytes, KECCAK_EMPTY, TxKind, U256};
use revm::state::AccountStatus;
use std::sync::Arc;

const SYSTEM_CALL_GAS: u64 = 30_000_000;

/// An executed transaction.
#[derive(Debug)]
pub struct Outcome {
    pub receipt: Receipt,
    pub gas_used: u64,
    pub output: Bytes,
    pub l1_fee: U256,
    pub operator_fee: U256,
    /// A deposit that failed before its first frame.
    never_ran: bool,
}

/// A block in the making.
pub struct BlockExecution {
    pub machine: Machine,
    pub fork: Fork,
    pub chain_id: u64,
    pub base_fee: U256,
    pub gas_used: u64,
    pub blob_gas_used: u64,
    /// Estimated compressed bytes of all transactions but deposits (Jovian's DA footprint counts them).
    pub da_size: u64,
    /// What the beneficiary has earned: gas used times effective tip.
    pub value: U256,
    l1: Option<L1Parameters>,
}

impl BlockExecution {
    pub fn new(view: Arc<dyn StateView>, fork: Fork, chain_id: u64, block: BlockEnv) -> Self {
        let base_fee = U256::from(block.basefee);
        let machine = Machine::new(view, &fork, chain_id, block);
        Self {
            machine,
            fork,
            chain_id,
            base_fee,
            gas_used: 0,
            blob_gas_used: 0,
            da_size: 0,
            value: U256::ZERO,
            l1: None,
        }
    }

    /// The checks that come before the sender's signature counts.
    pub fn check_form(&self, tx: &Transaction) -> Result<(), ExecutionError> {
        checks::form(&self.fork, self.chain_id, tx)
    }

    /// Execute one transaction; as if it had never been tried when it cannot be in this block.
    pub fn apply(&mut self, tx: &Transaction, sender: Address) -> Result<Outcome, ExecutionError> {
        self.apply_unless(tx, sender, || false)
    }

    /// `apply`, undone with `Timeout` when `expired` says so after the frames ran.
    pub fn apply_unless(
        &mut self,
        tx: &Transaction,
        sender: Address,
        expired: fn() -> bool,
    ) -> Result<Outcome, ExecutionError> {
        let before = (self.da_size, self.blob_gas_used, self.value);
        let mut outcome = match &tx.deposit {
            Some(deposit) => self.apply_deposit(tx, deposit),
            None => self.apply_signed(tx, sender),
        };
        if expired() {
            (self.da_size, self.blob_gas_used, self.value) = before;
            outcome = Err(ExecutionError::Timeout);
        }
        let outcome = outcome.and_then(|outcome| {
            self.settle();
            let error = outcome.never_ran.then_some("failed deposit transaction");
            self.machine.end(outcome.gas_used, error)?;
            Ok(outcome)
        });
        match &outcome {
            Ok(outcome) => {
                self.gas_used += outcome.gas_used;
                self.machine.commit();
            }
            Err(_) => self.machine.discard(),
        }
        outcome
    }

    // ---- signed transactions ----------------------------------------------------------------------------------------

    fn apply_signed(&mut self, tx: &Transaction, sender: Address) -> Result<Outcome, ExecutionError> {
        self.check_form(tx)?;
        let price = self.effective_gas_price(tx);
        self.machine.set_transaction(transaction_env(tx, sender, price));
        let (l1_fee, parameters) = self.l1_fee(tx)?;
        let rule = self.fork.operator_fee;
        let operator_up_front = fees::operator_fee(rule, tx.gas, &parameters);
        let initial = self.machine.initial_gas();
        let signer = self.signer(sender)?;
        checks::signed(&self.fork, &self.so_far(), &signer, tx, l1_fee.saturating_add(operator_up_front), &initial)?;

        self.machine.begin()?;
        let blob_fee = U256::from(tx.blob_gas()) * self.blob_price();
        let bought = U256::from(tx.gas) * price + blob_fee + l1_fee + operator_up_front;
        {
            let mut account = self.machine.journal().load_account_mut(sender)?.data;
            let left = *account.balance() - bought;
            account.set_balance(left);
            if tx.to.is_call() {
                account.bump_nonce();
            }
        }
        let ran = self.machine.run(initial)?;

        let operator_fee = fees::operator_fee(rule, ran.gas_used, &parameters);
        self.credit(sender, U256::from(ran.gas_left) * price + (operator_up_front - operator_fee))?;
        let beneficiary = self.machine.block().beneficiary;
        let used = U256::from(ran.gas_used);
        let tip = used * (price - self.base_fee);
        self.credit(beneficiary, tip)?;
        self.value += tip;
        if self.fork.is_optimism {
            self.credit(fork::BASE_FEE_VAULT, used * self.base_fee)?;
            self.credit(fork::L1_FEE_VAULT, l1_fee)?;
            if rule != fork::OperatorFeeRule::None {
                self.credit(fork::OPERATOR_FEE_VAULT, operator_fee)?;
            }
            self.da_size += fees::da_size(&tx.raw);
        }
        self.blob_gas_used += tx.blob_gas();
        let receipt = self.receipt(tx, &ran, None);
        Ok(Outcome { receipt, gas_used: ran.gas_used, output: ran.output(), l1_fee, operator_fee, never_ran: false })
    }

    fn signer(&mut self, address: Address) -> Result<checks::Sender, StateError> {
        let info = &self.machine.journal().load_account_with_code(address)?.data.info;
        let code = info.code.clone().unwrap_or_default();
        Ok(checks::Sender { address, nonce: info.nonce, balance: info.balance, code })
    }

    fn so_far(&self) -> checks::Block {
        checks::Block {
            base_fee: self.base_fee,
            blob_price: self.blob_price(),
            gas_left: self.gas_left(),
            blob_gas_used: self.blob_gas_used,
        }
    }

    fn gas_left(&self) -> u64 {
        self.machine.block().gas_limit.saturating_sub(self.gas_used)
    }

    fn effective_gas_price(&self, tx: &Transaction) -> U256 {
        tx.max_fee.min(self.base_fee.saturating_add(tx.max_priority_fee))
    }

    fn blob_price(&self) -> U256 {
        self.machine.block().blob_excess_gas_and_price.map_or(U256::ZERO, |blob| U256::from(blob.blob_gasprice))
    }

    /// The L1 data fee, by parameters read once a block, when the L1-attributes deposit has run.
    fn l1_fee(&mut self, tx: &Transaction) -> Result<(U256, L1Parameters), ExecutionError> {
        if self.fork.l1_fee == L1FeeRule::None {
            return Ok((U256::ZERO, L1Parameters::default()));
        }
        let parameters = match self.l1 {
            Some(known) => known,
            None => {
                let journal = self.machine.journal();
                let read =
                    L1Parameters::read(&self.fork, |slot| storage_now(journal, fork::L1_BLOCK, U256::from(slot)))?;
                *self.l1.insert(read)
            }
        };
        Ok((fees::l1_fee(self.fork.l1_fee, &tx.raw, &parameters), parameters))
    }

    // ---- deposits ---------------------------------------------------------------------------------------------------

    fn apply_deposit(&mut self, tx: &Transaction, deposit: &Deposit) -> Result<Outcome, ExecutionError> {
        self.check_form(tx)?;
        let sender = deposit.sender;
        let reports_gas = self.fork.deposits_report_gas;
        if deposit.is_system && reports_gas {
            return checks::invalid(format!("system tx not supported: address {sender}"));
        }
        if !deposit.is_system {
            checks::gas_left(self.gas_left(), tx.gas)?;
        }
        self.machine.set_transaction(transaction_env(tx, sender, U256::ZERO));
        let balance = self.machine.journal().load_account(sender)?.data.info.balance;
        if balance.checked_add(deposit.mint).is_none() {
            return checks::invalid("deposit mints more than a balance can hold");
        }
        self.machine.begin()?;
        let nonce;
        let can_pay;
        {
            let mut account = self.machine.journal().load_account_mut(sender)?.data;
            nonce = account.nonce();
            account.incr_balance(deposit.mint);
            can_pay = *account.balance() >= tx.value;
        }
        let initial = self.machine.initial_gas();
        let enough = checks::enough_gas(tx.gas, &initial).is_ok();
        let runs = enough && can_pay && !checks::too_much_initcode(&self.fork, tx.to.is_create(), tx.data.len());
        let ran = if runs {
            if tx.to.is_call() {
                self.machine.journal().load_account_mut(sender)?.data.bump_nonce();
            }
            self.machine.run(initial)?
        } else {
            self.machine.journal().load_account_mut(sender)?.data.bump_nonce();
            FramesResult {
                result: InstructionResult::OutOfFunds,
                returned: Bytes::new(),
                created: None,
                gas_used: tx.gas,
                gas_refund: 0,
                gas_left: 0,
            }
        };
        let gas_used = match (reports_gas, deposit.is_system) {
            (true, _) => ran.gas_used,
            (false, true) => 0,
            (false, false) => tx.gas,
        };
        let ran = FramesResult { gas_used, ..ran };
        let receipt = self.receipt(tx, &ran, Some(nonce));
        let output = ran.output();
        Ok(Outcome { receipt, gas_used, output, l1_fee: U256::ZERO, operator_fee: U256::ZERO, never_ran: !runs })
    }

    // ---- both -------------------------------------------------------------------------------------------------------

    fn receipt(&mut self, tx: &Transaction, ran: &FramesResult, deposit_nonce: Option<u64>) -> Receipt {
        let logs = self.machine.journal().take_logs();
        let success = ran.result.is_ok();
        Receipt {
            kind: tx.kind,
            success,
            cumulative_gas: self.gas_used + ran.gas_used,
            logs: if success { logs } else { Vec::new() },
            deposit_nonce: deposit_nonce.filter(|_| self.fork.deposit_nonce_in_receipt),
            deposit_version: deposit_nonce.and(self.fork.deposit_receipt_version),
        }
    }

    /// Add to a balance; touches the account even when nothing is added.
    pub fn credit(&mut self, address: Address, amount: U256) -> Result<(), StateError> {
        self.machine.journal().load_account_mut(address)?.data.incr_balance(amount);
        Ok(())
    }

    /// Between transactions: accounts that destroyed themselves vanish, and so do touched ones that are empty (EIP-161).
    ///
    /// revm's journal leaves this to whoever takes its state; here the journal lives as long as the block.
    pub fn settle(&mut self) {
        let journal = self.machine.journal();
        let (database, inner) = (&mut journal.database, &mut journal.inner);
        for entry in &inner.journal {
            let (JournalEntry::AccountTouched { address } | JournalEntry::AccountDestroyed { address, .. }) = entry
            else {
                continue;
            };
            let Some(account) = inner.state.get_mut(address) else { continue };
            if account.is_selfdestructed_locally() {
                account.selfdestruct();
                account.unmark_selfdestructed_locally();
                account.unmark_created();
            } else if !(account.is_touched() && account.info.is_empty()) {
                continue;
            }
            account.unmark_touch();
            account.status |= AccountStatus::LoadedAsNotExisting;
            database.gone.insert(*address);
        }
    }

    /// What the block changed so far, against the state that it began with.
    pub fn diff(&mut self) -> Result<StateDiff, StateError> {
        changes(self.machine.journal())
    }

    // ---- outside transactions ---------------------------------------------------------------------------------------

    /// Call a contract as the system does (EIP-4788 and its kin), outside the block's gas. The output, None when the
    /// call failed; where there is no code, nothing happens and the output is empty.
    pub fn system_call(&mut self, caller: Address, to: Address, data: Bytes) -> Result<Option<Bytes>, ExecutionError> {
        let is_contract = self.machine.journal().load_account(to)?.data.info.code_hash != KECCAK_EMPTY;
        if !is_contract {
            self.machine.discard();
            return Ok(Some(Bytes::new()));
        }
        self.machine.set_transaction(TxEnv {
            caller,
            gas_limit: SYSTEM_CALL_GAS,
            gas_price: 0,
            kind: TxKind::Call(to),
            data,
            chain_id: None,
            ..Default::default()
        });
        let result = self.machine.run(InitialAndFloorGas::new(0, 0));
        match result {
            Ok(ran) => {
                self.settle();
                self.machine.commit();
                Ok(ran.result.is_ok().then(|| ran.output()))
            }
            Err(error) => {
                self.machine.discard();
                Err(error)
            }
        }
    }

    /// Put code in place without a transaction (Canyon's irregular transition).
    pub fn set_code(&mut self, address: Address, code: Bytes) -> Result<(), StateError> {
        let mut account = self.machine.journal().load_account_mut(address)?.data;
        account.set_code_and_hash_slow(Bytecode::new_legacy(code));
        self.machine.commit();
        Ok(())
    }

    /// Add to a balance without a transaction (withdrawals under Ethereum's rules).
    pub fn pay(&mut self, address: Address, amount: U256) -> Result<(), StateError> {
        self.credit(address, amount)?;
        self.settle();
        self.machine.commit();
        Ok(())
    }
}

/// The transaction as revm sees it; `price` is what it really pays.
pub fn transaction_env(tx: &Transaction, sender: Address, price: U256) -> TxEnv {
    TxEnv {
        tx_type: tx.kind,
        caller: sender,
        gas_limit: tx.gas,
        gas_price: price.saturating_to(),
        kind: tx.to,
        value: tx.value,
        data: tx.data.clone(),
        nonce: tx.nonce,
        chain_id: tx.chain_id.map(|id| id.saturating_to()),
        access_list: tx.access_list.clone(),
        gas_priority_fee: None,
        blob_hashes: tx.blob_hashes.clone(),
        max_fee_per_blob_gas: tx.max_fee_per_blob_gas.saturating_to(),
        authorization_list: tx.authorizations.clone(),
    }
}
