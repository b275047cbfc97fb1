//! What keeps a transaction out of a block, in geth's order and words.
//!
//! Sources: EIP-1559, 3607, 3860, 4844, 7623, 7702, 7825; OP specs, exec-engine.md.

use crate::errors::ExecutionError;
use crate::execute::transaction::{GAS_PER_BLOB, Transaction};
use crate::fork::Fork;
use revm::bytecode::Bytecode;
use revm::interpreter::InitialAndFloorGas;
use revm::primitives::hardfork::SpecId;
use revm::primitives::{Address, U256};

const MAX_INITCODE: usize = 49_152;
const TRANSACTION_GAS_CAP: u64 = 1 << 24;

type Checked = Result<(), ExecutionError>;

/// The block that a transaction is to join, as it is by now.
pub struct Block {
    pub base_fee: U256,
    pub blob_price: U256,
    pub gas_left: u64,
    pub blob_gas_used: u64,
}

/// The account that signed a transaction, as it is before it.
pub struct Sender {
    pub address: Address,
    pub nonce: u64,
    pub balance: U256,
    pub code: Bytecode,
}

/// The checks that come before the sender's signature counts.
pub fn form(fork: &Fork, chain_id: u64, tx: &Transaction) -> Checked {
    let supported = match tx.kind {
        0..=2 => true,
        3 => fork.blobs.is_some(),
        4 => fork.has(SpecId::PRAGUE),
        _ => fork.is_optimism,
    };
    if !supported {
        return invalid("transaction type not supported");
    }
    match tx.chain_id {
        Some(id) if id != U256::from(chain_id) => {
            invalid(format!("invalid chain id for signer: have {id} want {chain_id}"))
        }
        _ => Ok(()),
    }
}

/// The checks of a signed transaction. `op_fees` is what it may owe for L1 and to the operator, `initial` its gas before
/// the first frame.
pub fn signed(
    fork: &Fork,
    block: &Block,
    sender: &Sender,
    tx: &Transaction,
    op_fees: U256,
    initial: &InitialAndFloorGas,
) -> Checked {
    let address = sender.address;
    nonce(sender, tx.nonce)?;
    if fork.has(SpecId::OSAKA) && tx.gas > TRANSACTION_GAS_CAP {
        return invalid(format!("transaction gas limit too high (cap: {TRANSACTION_GAS_CAP}, tx: {})", tx.gas));
    }
    let delegates = sender.code.is_eip7702() && fork.has(SpecId::PRAGUE);
    if !sender.code.is_empty() && !delegates {
        let length = sender.code.original_bytes().len();
        return invalid(format!("sender not an eoa: address {address}, len(code): {length}"));
    }
    tip_within_fee(address, tx.max_priority_fee, tx.max_fee)?;
    fee_covers_base_fee(address, tx.max_fee, block.base_fee)?;
    if tx.kind == 3 {
        blobs(fork, block, address, tx)?;
    }
    if tx.kind == 4 && tx.authorizations.is_empty() {
        return invalid(format!("EIP-7702 transaction with empty auth list (sender {address})"));
    }
    let want = U256::from(tx.gas)
        .saturating_mul(tx.max_fee)
        .saturating_add(tx.value)
        .saturating_add(U256::from(tx.blob_gas()).saturating_mul(tx.max_fee_per_blob_gas))
        .saturating_add(op_fees);
    if sender.balance < want {
        return insufficient_funds(address, sender.balance, want);
    }
    gas_left(block.gas_left, tx.gas)?;
    enough_gas(tx.gas, initial)?;
    if too_much_initcode(fork, tx.to.is_create(), tx.data.len()) {
        return initcode_too_long(tx.data.len());
    }
    Ok(())
}

fn nonce(sender: &Sender, given: u64) -> Checked {
    let Sender { address, nonce: state, .. } = sender;
    if *state < given {
        return invalid(format!("nonce too high: address {address}, tx: {given} state: {state}"));
    }
    if *state > given {
        return invalid(format!("nonce too low: address {address}, tx: {given} state: {state}"));
    }
    if *state == u64::MAX {
        return invalid(format!("nonce has max value: address {address}, nonce: {state}"));
    }
    Ok(())
}

fn blobs(fork: &Fork, block: &Block, sender: Address, tx: &Transaction) -> Checked {
    let (max, _) = fork.blobs.unwrap_or_default();
    if tx.blob_hashes.is_empty() {
        return invalid("blob transaction missing blob hashes");
    }
    let cap = if fork.has(SpecId::OSAKA) { max.min(6) } else { max };
    if tx.blob_hashes.len() as u64 > cap {
        return invalid(format!("blob transaction has too many blobs (max {cap}, have {})", tx.blob_hashes.len()));
    }
    if let Some(index) = tx.blob_hashes.iter().position(|hash| hash[0] != 1) {
        return invalid(format!("blob {index} has invalid hash version"));
    }
    if tx.max_fee_per_blob_gas < block.blob_price {
        return invalid(format!(
            "max fee per blob gas less than block blob gas fee: address {sender} blobGasFeeCap: {}, blobBaseFee: {}",
            tx.max_fee_per_blob_gas, block.blob_price
        ));
    }
    if block.blob_gas_used + tx.blob_gas() > max * GAS_PER_BLOB {
        return invalid("blob gas limit reached");
    }
    Ok(())
}

// ---- what calls and deposits are held to as well --------------------------------------------------------------------

/// The tip may not be above the fee that pays it.
pub fn tip_within_fee(sender: Address, tip: U256, fee: U256) -> Checked {
    if tip > fee {
        return invalid(format!(
            "max priority fee per gas higher than max fee per gas: address {sender}, maxPriorityFeePerGas: {tip}, maxFeePerGas: {fee}"
        ));
    }
    Ok(())
}

/// The fee may not be below the block's base fee.
pub fn fee_covers_base_fee(sender: Address, fee: U256, base_fee: U256) -> Checked {
    if fee < base_fee {
        return invalid(format!(
            "max fee per gas less than block base fee: address {sender}, maxFeePerGas: {fee}, baseFee: {base_fee}"
        ));
    }
    Ok(())
}

/// The gas limit has to fit into what the block has left.
pub fn gas_left(left: u64, gas: u64) -> Checked {
    if left < gas { invalid("gas limit reached") } else { Ok(()) }
}

/// The gas limit has to pay for what comes before the first frame, and for EIP-7623's floor.
pub fn enough_gas(gas: u64, initial: &InitialAndFloorGas) -> Checked {
    if gas < initial.initial_total_gas {
        return invalid(format!("intrinsic gas too low: have {gas}, want {}", initial.initial_total_gas));
    }
    if gas < initial.floor_gas {
        let want = initial.floor_gas;
        return invalid(format!("insufficient gas for floor data gas cost: have {gas}, want {want}"));
    }
    Ok(())
}

/// Whether a creation has more init code than EIP-3860 allows.
pub fn too_much_initcode(fork: &Fork, creates: bool, length: usize) -> bool {
    creates && fork.has(SpecId::SHANGHAI) && length > MAX_INITCODE
}

pub fn initcode_too_long(length: usize) -> Checked {
    invalid(format!("max initcode size exceeded: code size {length} limit {MAX_INITCODE}"))
}

pub fn insufficient_funds(sender: Address, have: U256, want: U256) -> Checked {
    invalid(format!("insufficient funds for gas * price + value: address {sender} have {have} want {want}"))
}

/// A transaction that cannot be in this block.
pub fn invalid<T>(text: impl Into<String>) -> Result<T, ExecutionError> {
    Err(ExecutionError::Invalid(text.into()))
}
