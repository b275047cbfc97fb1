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
    /// What a fork's fees need of L1Block, and no slot more: a block witness holds nothing else (digest 3.2).
    pub fn read<E>(fork: &Fork, mut slot: impl FnMut(u64) -> Result<U256, E>) -> Result<Self, E> {
        let mut parameters = Self { base_fee: slot(1)?, ..Self::default() };
        if matches!(fork.l1_fee, L1FeeRule::Ecotone | L1FeeRule::Fjord) {
            let packed = B256::from(slot(3)?);
            parameters.base_fee_scalar = u32_at(packed, 16);
            parameters.blob_base_fee_scalar = u32_at(packed, 20);
            parameters.blob_base_fee = slot(7)?;
        }
        if parameters.lacks_ecotone() {
            parameters.overhead = slot(5)?;
            parameters.scalar = slot(6)?;
        }
        if fork.operator_fee != OperatorFeeRule::None {
            let packed = B256::from(slot(8)?);
            parameters.operator_fee_scalar = u32_at(packed, 20);
            parameters.operator_fee_constant = u64::from_be_bytes(packed[24..].try_into().unwrap());
        }
        Ok(parameters)
    }

    /// Whether L1Block has no Ecotone parameters yet: the Regolith formula holds then, as op-geth decides it.
    pub fn lacks_ecotone(&self) -> bool {
        self.blob_base_fee.is_zero() && self.base_fee_scalar == 0 && self.blob_base_fee_scalar == 0
    }
}

fn u32_at(word: B256, at: usize) -> u32 {
    u32::from_be_bytes(word[at..at + 4].try_into().unwrap())
}
