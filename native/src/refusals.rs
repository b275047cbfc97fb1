//! Why a transaction is refused: the kinds of `l2engine/refusals.py`, by their values there, and the facts that belong to each.

use crate::named::named;
use revm::primitives::{Address, U256};

named! { Reason:
    TypeNotSupported = "type_not_supported",
    WrongChainId = "wrong_chain_id",
    InvalidSignature = "invalid_signature",
    RecoveryFailed = "recovery_failed",
    NonceTooHigh = "nonce_too_high",
    NonceTooLow = "nonce_too_low",
    NonceMax = "nonce_max",
    SenderHasCode = "sender_has_code",
    GasAboveCap = "gas_above_cap",
    TipAboveFeeCap = "tip_above_fee_cap",
    FeeCapTooLow = "fee_cap_too_low",
    CostOverflows = "cost_overflows",
    InsufficientFunds = "insufficient_funds",
    BlobsMissing = "blobs_missing",
    BlobsCreate = "blobs_create",
    TooManyBlobs = "too_many_blobs",
    BlobHashVersion = "blob_hash_version",
    BlobFeeCapTooLow = "blob_fee_cap_too_low",
    BlobGasLimitReached = "blob_gas_limit_reached",
    AuthorizationsMissing = "authorizations_missing",
    AuthorizationsCreate = "authorizations_create",
    GasLimitReached = "gas_limit_reached",
    IntrinsicGasTooLow = "intrinsic_gas_too_low",
    FloorGasTooLow = "floor_gas_too_low",
    InitcodeTooLarge = "initcode_too_large",
    SystemDeposit = "system_deposit",
    MintOverflows = "mint_overflows",
    RefundAboveGasUsed = "refund_above_gas_used",
    SettlementUnderflows = "settlement_underflows",
}

#[derive(Debug)]
pub enum Fact {
    Number(U256),
    Address(Address),
}

impl From<U256> for Fact {
    fn from(number: U256) -> Self {
        Self::Number(number)
    }
}

impl From<u64> for Fact {
    fn from(number: u64) -> Self {
        Self::Number(U256::from(number))
    }
}

impl From<usize> for Fact {
    fn from(number: usize) -> Self {
        Self::Number(U256::from(number))
    }
}

impl From<Address> for Fact {
    fn from(address: Address) -> Self {
        Self::Address(address)
    }
}

/// A transaction that cannot be included.
#[derive(Debug)]
pub struct Refusal {
    pub reason: Reason,
    /// By the names that the words of `l2engine/refusals.py` use.
    pub facts: Vec<(&'static str, Fact)>,
}
