//! One row of `l2engine/rules/forks.py`, as far as execution depends on it. Python owns the table; a row's fields are read by
//! their names, once for each row.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use revm::precompile::{PrecompileSpecId, Precompiles, secp256r1};
use revm::primitives::hardfork::SpecId;
use revm::primitives::{Address, B256, U256, address};
use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::Arc;

/// A fork as execution needs it: a `rules.forks.Fork`, whose fields keep their names here.
#[derive(Clone, FromPyObject)]
pub struct Row {
    #[pyo3(attribute("l1"), from_py_with = spec)]
    pub spec: SpecId,
    pub is_optimism: bool,
    pub transaction_types: HashSet<u8>,
    pub blobs: Option<BlobSchedule>,
    pub deposit_nonce_in_receipt: bool,
    pub deposits_report_gas: bool,
    pub deposit_receipt_version: Option<u64>,
    #[pyo3(from_py_with = l1_fee_rule)]
    pub l1_fee: L1FeeRule,
    #[pyo3(from_py_with = operator_fee_rule)]
    pub operator_fee: OperatorFeeRule,
    pub p256_verify_gas: Option<u64>,
    #[pyo3(from_py_with = limits)]
    pub precompile_input_limits: Arc<Vec<(Address, usize)>>,
}

/// EIP-4844 on Ethereum: the most blobs in a block, and what moves their price.
#[derive(Clone, Copy, FromPyObject)]
pub struct BlobSchedule {
    pub max: u64,
    pub base_fee_update_fraction: u64,
}

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

/// A row, and what follows from it. Blocks and calls take it from Python as it is.
#[pyclass(frozen, module = "l2engine_native")]
#[derive(Clone)]
pub struct Fork {
    row: Row,
    pub precompiles: Arc<Precompiles>,
}

#[pymethods]
impl Fork {
    #[new]
    fn new(row: Row) -> PyResult<Self> {
        let mut precompiles = Precompiles::new(PrecompileSpecId::from_spec_id(row.spec)).clone();
        match row.p256_verify_gas {
            Some(secp256r1::P256VERIFY_BASE_GAS_FEE) => precompiles.extend([secp256r1::P256VERIFY]),
            Some(secp256r1::P256VERIFY_BASE_GAS_FEE_OSAKA) => precompiles.extend([secp256r1::P256VERIFY_OSAKA]),
            Some(gas) => return Err(unknown(&format!("P256VERIFY for {gas} gas"))),
            None => {}
        }
        Ok(Self { row, precompiles: Arc::new(precompiles) })
    }
}

impl Fork {
    /// Whether the Ethereum rules named are in force.
    pub fn has(&self, spec: SpecId) -> bool {
        self.spec.is_enabled_in(spec)
    }
}

impl Deref for Fork {
    type Target = Row;

    fn deref(&self) -> &Row {
        &self.row
    }
}

fn spec(rules: &Bound<'_, PyAny>) -> PyResult<SpecId> {
    Ok(match value(rules)?.as_str() {
        "paris" => SpecId::MERGE,
        "shanghai" => SpecId::SHANGHAI,
        "cancun" => SpecId::CANCUN,
        "prague" => SpecId::PRAGUE,
        "osaka" => SpecId::OSAKA,
        other => return Err(unknown(other)),
    })
}

fn l1_fee_rule(rule: &Bound<'_, PyAny>) -> PyResult<L1FeeRule> {
    Ok(match value(rule)?.as_str() {
        "none" => L1FeeRule::None,
        "bedrock" => L1FeeRule::Bedrock,
        "regolith" => L1FeeRule::Regolith,
        "ecotone" => L1FeeRule::Ecotone,
        "fjord" => L1FeeRule::Fjord,
        other => return Err(unknown(other)),
    })
}

fn operator_fee_rule(rule: &Bound<'_, PyAny>) -> PyResult<OperatorFeeRule> {
    Ok(match value(rule)?.as_str() {
        "none" => OperatorFeeRule::None,
        "isthmus" => OperatorFeeRule::Isthmus,
        "jovian" => OperatorFeeRule::Jovian,
        other => return Err(unknown(other)),
    })
}

/// Addresses, and the longest input in bytes that each accepts.
fn limits(limits: &Bound<'_, PyAny>) -> PyResult<Arc<Vec<(Address, usize)>>> {
    let limits: HashMap<u64, usize> = limits.extract()?;
    let numbered = |number: u64| Address::left_padding_from(&number.to_be_bytes());
    Ok(Arc::new(limits.into_iter().map(|(number, limit)| (numbered(number), limit)).collect()))
}

/// The value of a Python enum's member.
fn value(member: &Bound<'_, PyAny>) -> PyResult<String> {
    member.getattr("value")?.extract()
}

fn unknown(rule: &str) -> PyErr {
    PyValueError::new_err(format!("unknown rule: {rule}"))
}

pub const BASE_FEE_VAULT: Address = address!("0x4200000000000000000000000000000000000019");
pub const L1_FEE_VAULT: Address = address!("0x420000000000000000000000000000000000001a");
pub const OPERATOR_FEE_VAULT: Address = address!("0x420000000000000000000000000000000000001b");
pub const L1_BLOCK: Address = address!("0x4200000000000000000000000000000000000015");

/// The L1Block slots that fees are computed from, after the block's L1-attributes deposit.
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
    /// The L1Block slots that a fork's fees need, and no more: a block witness holds nothing else (digest 3.2).
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
