//! What keeps a transaction out of a block, in geth's order and words.
//!
//! Sources: EIP-1559, 3607, 3860, 4844, 7623, 7702, 7825; OP specs, exec-engine.md.

use crate::errors::ExecutionError;
use crate::execution::{BlockExecution, GAS_PER_BLOB, blob_gas};
use crate::fees;
use crate::fork::L1Parameters;
use crate::transaction::Transaction;
use revm::context::JournalTr;
use revm::interpreter::{InitialAndFloorGas, gas::calculate_initial_tx_gas_for_tx};
use revm::primitives::hardfork::SpecId;
use revm::primitives::{Address, U256};

pub const MAX_INITCODE: usize = 49_152;
const TRANSACTION_GAS_CAP: u64 = 1 << 24;

impl BlockExecution {
    /// The checks that come before the sender's signature counts.
    pub fn check_form(&self, tx: &Transaction) -> Result<(), ExecutionError> {
        let supported = match tx.kind {
            0..=2 => true,
            3 => self.fork.blobs.is_some(),
            4 => self.fork.has(SpecId::PRAGUE),
            _ => self.fork.is_optimism,
        };
        if !supported {
            return invalid("transaction type not supported");
        }
        match tx.chain_id {
            Some(id) if id != U256::from(self.chain_id) => {
                invalid(format!("invalid chain id for signer: have {id} want {}", self.chain_id))
            }
            _ => Ok(()),
        }
    }

    /// geth's checks in geth's order; nothing is charged yet.
    pub fn check_signed(
        &mut self,
        tx: &Transaction,
        sender: Address,
        l1_fee: U256,
        parameters: &L1Parameters,
    ) -> Result<InitialAndFloorGas, ExecutionError> {
        let (nonce, balance, code) = {
            let info = &self.machine.0.ctx.journaled_state.load_account_with_code(sender)?.data.info;
            (info.nonce, info.balance, info.code.clone().unwrap_or_default())
        };
        if nonce < tx.nonce {
            return invalid(format!("nonce too high: address {sender}, tx: {} state: {nonce}", tx.nonce));
        }
        if nonce > tx.nonce {
            return invalid(format!("nonce too low: address {sender}, tx: {} state: {nonce}", tx.nonce));
        }
        if nonce == u64::MAX {
            return invalid(format!("nonce has max value: address {sender}, nonce: {nonce}"));
        }
        if self.fork.has(SpecId::OSAKA) && tx.gas > TRANSACTION_GAS_CAP {
            return invalid(format!("transaction gas limit too high (cap: {TRANSACTION_GAS_CAP}, tx: {})", tx.gas));
        }
        let delegates = code.is_eip7702() && self.fork.has(SpecId::PRAGUE);
        if !code.is_empty() && !delegates {
            return invalid(format!("sender not an eoa: address {sender}, len(code): {}", code.original_bytes().len()));
        }
        if tx.max_priority_fee > tx.max_fee {
            return invalid(format!(
                "max priority fee per gas higher than max fee per gas: address {sender}, maxPriorityFeePerGas: {}, maxFeePerGas: {}",
                tx.max_priority_fee, tx.max_fee
            ));
        }
        if tx.max_fee < self.base_fee {
            return invalid(format!(
                "max fee per gas less than block base fee: address {sender}, maxFeePerGas: {}, baseFee: {}",
                tx.max_fee, self.base_fee
            ));
        }
        if tx.kind == 3 {
            self.check_blobs(tx, sender)?;
        }
        if tx.kind == 4 && tx.authorizations.is_empty() {
            return invalid(format!("EIP-7702 transaction with empty auth list (sender {sender})"));
        }
        let operator_fee = fees::operator_fee(self.fork.operator_fee, tx.gas, parameters);
        let want = U256::from(tx.gas)
            .saturating_mul(tx.max_fee)
            .saturating_add(tx.value)
            .saturating_add(U256::from(blob_gas(tx)).saturating_mul(tx.max_fee_per_blob_gas))
            .saturating_add(l1_fee)
            .saturating_add(operator_fee);
        if balance < want {
            return invalid(format!(
                "insufficient funds for gas * price + value: address {sender} have {balance} want {want}"
            ));
        }
        self.check_pool(tx.gas)?;
        let initial = calculate_initial_tx_gas_for_tx(&self.machine.0.ctx.tx, self.fork.spec);
        if tx.gas < initial.initial_total_gas {
            return invalid(format!("intrinsic gas too low: have {}, want {}", tx.gas, initial.initial_total_gas));
        }
        if tx.gas < initial.floor_gas {
            return invalid(format!(
                "insufficient gas for floor data gas cost: have {}, want {}",
                tx.gas, initial.floor_gas
            ));
        }
        if self.too_much_initcode(tx) {
            return invalid(format!("max initcode size exceeded: code size {} limit {MAX_INITCODE}", tx.data.len()));
        }
        Ok(initial)
    }

    pub fn check_blobs(&self, tx: &Transaction, sender: Address) -> Result<(), ExecutionError> {
        let (max, _) = self.fork.blobs.unwrap_or_default();
        if tx.blob_hashes.is_empty() {
            return invalid("blob transaction missing blob hashes");
        }
        let cap = if self.fork.has(SpecId::OSAKA) { max.min(6) } else { max };
        if tx.blob_hashes.len() as u64 > cap {
            return invalid(format!("blob transaction has too many blobs (max {cap}, have {})", tx.blob_hashes.len()));
        }
        if let Some(index) = tx.blob_hashes.iter().position(|hash| hash[0] != 1) {
            return invalid(format!("blob {index} has invalid hash version"));
        }
        let price = self.blob_price();
        if tx.max_fee_per_blob_gas < price {
            return invalid(format!(
                "max fee per blob gas less than block blob gas fee: address {sender} blobGasFeeCap: {}, blobBaseFee: {price}",
                tx.max_fee_per_blob_gas
            ));
        }
        if self.blob_gas_used + blob_gas(tx) > max * GAS_PER_BLOB {
            return invalid("blob gas limit reached");
        }
        Ok(())
    }

    pub fn check_pool(&self, gas: u64) -> Result<(), ExecutionError> {
        let left = self.machine.0.ctx.block.gas_limit.saturating_sub(self.gas_used);
        if left < gas { invalid("gas limit reached") } else { Ok(()) }
    }

    pub fn too_much_initcode(&self, tx: &Transaction) -> bool {
        tx.to.is_create() && self.fork.has(SpecId::SHANGHAI) && tx.data.len() > MAX_INITCODE
    }
}

/// A transaction that cannot stand in this block.
pub fn invalid<T>(text: impl Into<String>) -> Result<T, ExecutionError> {
    Err(ExecutionError::Invalid(text.into()))
}
