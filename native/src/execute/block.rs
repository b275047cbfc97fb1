//! One block under execution: its totals, and what changes its state without a transaction.
//!
//! `phases.rs` has the phases of a transaction. Sources: Yellow Paper 6; OP specs, exec-engine.md; digest sections 0, 2 and 3.

use crate::diff::StateDiff;
use crate::errors::{ExecutionError, StateError};
use crate::execute::changes::changes;
use crate::execute::checks;
use crate::execute::fees;
use crate::execute::machine::Machine;
use crate::execute::transaction::Transaction;
use crate::fork::{self, Fork, L1FeeRule, L1Parameters};
use crate::view::{StateView, storage_now};
use revm::bytecode::Bytecode;
use revm::context::journaled_state::account::JournaledAccountTr;
use revm::context::{BlockEnv, JournalEntry, JournalTr, TxEnv};
use revm::interpreter::InitialAndFloorGas;
use revm::primitives::{Address, Bytes, HashMap, KECCAK_EMPTY, TxKind, U256};
use revm::state::AccountStatus;
use std::sync::Arc;

/// Tells from the gas that a transaction has used how much of it is given back.
pub type RefundRule = Box<dyn FnMut(u64) -> Result<u64, StateError> + Send>;

const SYSTEM_CALL_GAS: u64 = 30_000_000;

/// A block in the making.
pub struct BlockExecution {
    pub machine: Machine,
    pub fork: Fork,
    pub chain_id: u64,
    pub base_fee: U256,
    /// Gas refunds of the block's post-execution transaction, by the index of the transaction that gets one.
    pub refunds: HashMap<u64, u64>,
    /// Asked instead for the next signed transaction, where a block builder decides about refunds.
    pub refund_rule: Option<RefundRule>,
    /// How many transactions the block has by now.
    pub applied: u64,
    /// The header's gas used: after the refunds.
    pub gas_used: u64,
    /// The gas taken from the block's gas limit.
    pub gas_before_refunds: u64,
    pub blob_gas_used: u64,
    /// Estimated compressed bytes of all signed transactions (Jovian's DA footprint counts them).
    pub da_size: u64,
    /// The beneficiary's income, in wei: gas used times effective tip.
    pub value: U256,
    l1: Option<L1Parameters>,
}

impl BlockExecution {
    pub fn new(
        view: Arc<dyn StateView>,
        fork: Fork,
        chain_id: u64,
        block: BlockEnv,
        refunds: HashMap<u64, u64>,
    ) -> Self {
        let base_fee = U256::from(block.basefee);
        let machine = Machine::new(view, &fork, chain_id, block);
        Self {
            machine,
            fork,
            chain_id,
            base_fee,
            refunds,
            refund_rule: None,
            applied: 0,
            gas_used: 0,
            gas_before_refunds: 0,
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

    // ---- what the phases ask of the block ---------------------------------------------------------------------------

    /// The block that a transaction is to join, as it is by now.
    pub fn so_far(&self) -> checks::Block {
        checks::Block {
            base_fee: self.base_fee,
            blob_price: self.blob_price(),
            gas_left: self.gas_left(),
            blob_gas_used: self.blob_gas_used,
        }
    }

    /// Gas that transactions may still ask for: refunds make no room.
    pub fn gas_left(&self) -> u64 {
        self.machine.block().gas_limit.saturating_sub(self.gas_before_refunds)
    }

    pub fn blob_price(&self) -> U256 {
        self.machine.block().blob_excess_gas_and_price.map_or(U256::ZERO, |blob| U256::from(blob.blob_gasprice))
    }

    /// The L1 data fee, by parameters read once a block, when the L1-attributes deposit has run.
    pub fn l1_fee(&mut self, tx: &Transaction) -> Result<(U256, L1Parameters), ExecutionError> {
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

    /// Add to a balance; touches the account even when nothing is added.
    pub fn credit(&mut self, address: Address, amount: U256) -> Result<(), StateError> {
        self.machine.journal().load_account_mut(address)?.data.incr_balance(amount);
        Ok(())
    }

    /// Between transactions: accounts that destroyed themselves vanish, and so do touched ones that are empty (EIP-161).
    ///
    /// revm's journal leaves this to the code that takes its state; here the journal lives as long as the block.
    pub fn remove_accounts(&mut self) {
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

    /// The block's changes so far, relative to its parent's state.
    pub fn diff(&mut self) -> Result<StateDiff, StateError> {
        changes(self.machine.journal())
    }

    // ---- outside transactions ---------------------------------------------------------------------------------------

    pub fn has_code(&mut self, address: Address) -> Result<bool, StateError> {
        let code_hash = self.machine.journal().load_account(address)?.data.info.code_hash;
        self.machine.discard();
        Ok(code_hash != KECCAK_EMPTY)
    }

    /// Call a contract as the system does (EIP-4788 and its kin), outside the block's gas. The output, None when the
    /// call failed.
    pub fn system_call(&mut self, caller: Address, to: Address, data: Bytes) -> Result<Option<Bytes>, ExecutionError> {
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
                self.remove_accounts();
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
        self.remove_accounts();
        self.machine.commit();
        Ok(())
    }
}
