//! One row of `l2engine/rules/forks.py`, as far as execution depends on it. Python owns the table and hands rows in.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use revm::precompile::{PrecompileSpecId, Precompiles, secp256r1};
use revm::primitives::hardfork::SpecId;
use revm::primitives::{Address, B256, U256, address};
use std::sync::Arc;

/// How the fee for publishing a transaction on L1 is computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum L1FeeRule {
    None,
    Bedrock,
    Regolith,
    Ecotone,
    Fjord,
}

/// How the operator fee is computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OperatorFeeRule {
    None,
    Isthmus,
    Jovian,
}

/// What a fork means for execution.
#[pyclass(frozen, module = "l2engine_native")]
#[derive(Clone)]
pub struct Fork {
    pub spec: SpecId,
    pub is_optimism: bool,
    /// EIP-4844: most blobs in a block, and the update fraction of their price. None on OP chains.
    pub blobs: Option<(u64, u64)>,
    pub deposit_nonce_in_receipt: bool,
    pub deposits_report_gas: bool,
    pub deposit_receipt_version: Option<u64>,
    pub l1_fee: L1FeeRule,
    pub operator_fee: OperatorFeeRule,
    pub precompiles: Arc<Precompiles>,
    /// Address and longest accepted input in bytes.
    pub input_limits: Arc<Vec<(Address, usize)>>,
}

#[pymethods]
impl Fork {
    #[new]
    #[pyo3(signature = (*, l1, is_optimism, blobs, deposit_nonce_in_receipt, deposits_report_gas, deposit_receipt_version,
                        l1_fee, operator_fee, p256_verify_gas, precompile_input_limits))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        l1: &str,
        is_optimism: bool,
        blobs: Option<(u64, u64)>,
        deposit_nonce_in_receipt: bool,
        deposits_report_gas: bool,
        deposit_receipt_version: Option<u64>,
        l1_fee: &str,
        operator_fee: &str,
        p256_verify_gas: Option<u64>,
        precompile_input_limits: Vec<(u64, usize)>,
    ) -> PyResult<Self> {
        let unknown = |what: &str| PyValueError::new_err(format!("unknown rule: {what}"));
        let spec = match l1 {
            "paris" => SpecId::MERGE,
            "shanghai" => SpecId::SHANGHAI,
            "cancun" => SpecId::CANCUN,
            "prague" => SpecId::PRAGUE,
            "osaka" => SpecId::OSAKA,
            other => return Err(unknown(other)),
        };
        let l1_fee = match l1_fee {
            "none" => L1FeeRule::None,
            "bedrock" => L1FeeRule::Bedrock,
            "regolith" => L1FeeRule::Regolith,
            "ecotone" => L1FeeRule::Ecotone,
            "fjord" => L1FeeRule::Fjord,
            other => return Err(unknown(other)),
        };
        let operator_fee = match operator_fee {
            "none" => OperatorFeeRule::None,
            "isthmus" => OperatorFeeRule::Isthmus,
            "jovian" => OperatorFeeRule::Jovian,
            other => return Err(unknown(other)),
        };
        let mut precompiles = Precompiles::new(PrecompileSpecId::from_spec_id(spec)).clone();
        match p256_verify_gas {
            Some(secp256r1::P256VERIFY_BASE_GAS_FEE) => precompiles.extend([secp256r1::P256VERIFY]),
            Some(secp256r1::P256VERIFY_BASE_GAS_FEE_OSAKA) => precompiles.extend([secp256r1::P256VERIFY_OSAKA]),
            Some(gas) => return Err(unknown(&format!("P256VERIFY for {gas} gas"))),
            None => {}
        }
        let input_limits =
            precompile_input_limits.into_iter().map(|(number, limit)| (numbered(number), limit)).collect();
        Ok(Self {
            spec,
            is_optimism,
            blobs,
            deposit_nonce_in_receipt,
            deposits_report_gas,
            deposit_receipt_version,
            l1_fee,
            operator_fee,
            precompiles: Arc::new(precompiles),
            input_limits: Arc::new(input_limits),
        })
    }
}

impl Fork {
    /// Whether the Ethereum rules named are in force.
    pub fn has(&self, spec: SpecId) -> bool {
        self.spec.is_enabled_in(spec)
    }
}

fn numbered(number: u64) -> Address {
    Address::left_padding_from(&number.to_be_bytes())
}

pub const BASE_FEE_VAULT: Address = address!("0x4200000000000000000000000000000000000019");
pub const L1_FEE_VAULT: Address = address!("0x420000000000000000000000000000000000001a");
pub const OPERATOR_FEE_VAULT: Address = address!("0x420000000000000000000000000000000000001b");
pub const L1_BLOCK: Address = address!("0x4200000000000000000000000000000000000015");

/// The L1Block slots that fees are computed from, as they stand after the block's L1-attributes deposit.
#[derive(Clone, Copy, Default, Debug)]
pub struct L1Parameters {
    pub base_fee: U256,
    pub overhead: U256,
    pub scalar: U256,
    pub blob_base_fee: U256,
    pub base_fee_scalar: u32,
    pub blob_base_fee_scalar: u32,
    pub operator_fee_scalar: u32,
    pub operator_fee_constant: u64,
}

impl L1Parameters {
    /// Slots in the order 1, 3, 5, 6, 7, 8 (digest 3.2).
    pub const SLOTS: [u64; 6] = [1, 3, 5, 6, 7, 8];

    pub fn from_slots(slots: [U256; 6]) -> Self {
        let [base_fee, packed, overhead, scalar, blob_base_fee, operator] = slots;
        let word = |value: U256| B256::from(value);
        let u32_at = |value: U256, at: usize| u32::from_be_bytes(word(value)[at..at + 4].try_into().unwrap());
        Self {
            base_fee,
            overhead,
            scalar,
            blob_base_fee,
            base_fee_scalar: u32_at(packed, 16),
            blob_base_fee_scalar: u32_at(packed, 20),
            operator_fee_scalar: u32_at(operator, 20),
            operator_fee_constant: u64::from_be_bytes(word(operator)[24..].try_into().unwrap()),
        }
    }
}
