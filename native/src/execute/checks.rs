//! The checks that a transaction must pass to enter a block, in geth's order.
//!
//! Sources: EIP-1559, 3607, 3860, 4844, 7623, 7702, 7825; OP specs, exec-engine.md.

use crate::errors::{ExecutionError, refuse};
use crate::execute::transaction::{GAS_PER_BLOB, Transaction};
use crate::fork::Fork;
use revm::bytecode::Bytecode;
use revm::interpreter::InitialAndFloorGas;
use revm::primitives::hardfork::SpecId;
use revm::primitives::{Address, B256, U256};

const MAX_INITCODE: usize = 49_152;
const MAX_BLOBS_PER_TRANSACTION: usize = 6; // EIP-7594
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
    if !fork.transaction_types.contains(&tx.kind) {
        return refuse!(TypeNotSupported);
    }
    match tx.chain_id {
        Some(id) if id != U256::from(chain_id) => {
            refuse!(WrongChainId, have = id, want = chain_id)
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
        return refuse!(GasAboveCap, cap = TRANSACTION_GAS_CAP, tx = tx.gas);
    }
    let delegates = sender.code.is_eip7702() && fork.has(SpecId::PRAGUE);
    if !sender.code.is_empty() && !delegates {
        return refuse!(SenderHasCode, address = address, length = sender.code.original_bytes().len());
    }
    tip_within_fee(address, tx.max_priority_fee, tx.max_fee)?;
    fee_covers_base_fee(address, tx.max_fee, block.base_fee)?;
    if tx.kind == 3 {
        blobs(fork, block, address, tx)?;
    }
    if tx.kind == 4 && tx.authorizations.is_empty() {
        return refuse!(AuthorizationsMissing, address = address);
    }
    let blob_cost = U256::from(tx.blob_gas()).checked_mul(tx.max_fee_per_blob_gas);
    let others = [Some(tx.value), blob_cost, Some(op_fees)];
    funds(address, sender.balance, sum(U256::from(tx.gas).checked_mul(tx.max_fee), others))?;
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
        return refuse!(NonceTooHigh, address = *address, tx = given, state = *state);
    }
    if *state > given {
        return refuse!(NonceTooLow, address = *address, tx = given, state = *state);
    }
    if *state == u64::MAX {
        return refuse!(NonceMax, address = *address, nonce = *state);
    }
    Ok(())
}

fn blobs(fork: &Fork, block: &Block, sender: Address, tx: &Transaction) -> Checked {
    if tx.blob_hashes.is_empty() {
        return refuse!(BlobsMissing);
    }
    blob_hashes(fork, &tx.blob_hashes)?;
    fee_covers_blob_fee(sender, tx.max_fee_per_blob_gas, block.blob_price)?;
    let max = fork.blobs.map_or(0, |blobs| blobs.max);
    if block.blob_gas_used + tx.blob_gas() > max * GAS_PER_BLOB {
        return refuse!(BlobGasLimitReached);
    }
    Ok(())
}

// ---- what calls and deposits are held to as well --------------------------------------------------------------------

/// No more blobs than a transaction may have, each named by a hash of the one known version.
pub fn blob_hashes(fork: &Fork, hashes: &[B256]) -> Checked {
    if fork.has(SpecId::OSAKA) && hashes.len() > MAX_BLOBS_PER_TRANSACTION {
        return refuse!(TooManyBlobs);
    }
    match hashes.iter().position(|hash| hash[0] != 1) {
        Some(index) => refuse!(BlobHashVersion, index = index),
        None => Ok(()),
    }
}

/// The fee for blob gas may not be below the block's.
pub fn fee_covers_blob_fee(sender: Address, fee: U256, base_fee: U256) -> Checked {
    if fee < base_fee {
        return refuse!(BlobFeeCapTooLow, address = sender, fee_cap = fee, base_fee = base_fee);
    }
    Ok(())
}

/// The tip may not be above the fee that pays it.
pub fn tip_within_fee(sender: Address, tip: U256, fee: U256) -> Checked {
    if tip > fee {
        return refuse!(TipAboveFeeCap, address = sender, tip = tip, fee_cap = fee);
    }
    Ok(())
}

/// The fee may not be below the block's base fee.
pub fn fee_covers_base_fee(sender: Address, fee: U256, base_fee: U256) -> Checked {
    if fee < base_fee {
        return refuse!(FeeCapTooLow, address = sender, fee_cap = fee, base_fee = base_fee);
    }
    Ok(())
}

/// The gas limit has to fit into what the block has left.
pub fn gas_left(left: u64, gas: u64) -> Checked {
    if left < gas { refuse!(GasLimitReached) } else { Ok(()) }
}

/// The gas limit has to pay for what comes before the first frame, and for EIP-7623's floor.
pub fn enough_gas(gas: u64, initial: &InitialAndFloorGas) -> Checked {
    if gas < initial.initial_total_gas {
        return refuse!(IntrinsicGasTooLow, have = gas, want = initial.initial_total_gas);
    }
    if gas < initial.floor_gas {
        return refuse!(FloorGasTooLow, have = gas, want = initial.floor_gas);
    }
    Ok(())
}

/// Whether a creation has more init code than EIP-3860 allows.
pub fn too_much_initcode(fork: &Fork, creates: bool, length: usize) -> bool {
    creates && fork.has(SpecId::SHANGHAI) && length > MAX_INITCODE
}

pub fn initcode_too_long(length: usize) -> Checked {
    refuse!(InitcodeTooLarge, size = length, limit = MAX_INITCODE)
}

/// The sender owns `want` wei; None when it exceeds 256 bits.
pub fn funds(sender: Address, have: U256, want: Option<U256>) -> Checked {
    match want {
        None => refuse!(CostOverflows, address = sender),
        Some(want) if have < want => refuse!(InsufficientFunds, address = sender, have = have, want = want),
        Some(_) => Ok(()),
    }
}

fn sum<const N: usize>(first: Option<U256>, others: [Option<U256>; N]) -> Option<U256> {
    others.into_iter().fold(first, |sum, other| sum?.checked_add(other?))
}
