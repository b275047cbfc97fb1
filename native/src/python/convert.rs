//! Blocks, calls, overrides and receipts, from Python's records and as its tuples.

use crate::execute::call::{CallMessage, Override};
use crate::execute::receipt::Receipt;
use crate::execute::transaction;
use crate::fork::Fork;
use crate::python::values::{address, hash, uint};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use revm::context::BlockEnv;
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::primitives::{Bytes, Log, U256};

/// The fixed part of a block, read from a `types.environment.BlockEnv`.
pub fn block_env(env: &Bound<'_, PyAny>, fork: &Fork) -> PyResult<BlockEnv> {
    let excess: Option<u64> = env.getattr("excess_blob_gas")?.extract()?;
    let blob = match (fork.blobs, excess) {
        (Some(blobs), Some(excess)) => BlobExcessGasAndPrice::new(excess, blobs.base_fee_update_fraction),
        _ => BlobExcessGasAndPrice { excess_blob_gas: 0, blob_gasprice: 1 },
    };
    Ok(BlockEnv {
        number: uint(&env.getattr("number")?)?,
        beneficiary: address(env.getattr("beneficiary")?.extract()?)?,
        timestamp: uint(&env.getattr("timestamp")?)?,
        gas_limit: env.getattr("gas_limit")?.extract()?,
        basefee: env.getattr("base_fee_per_gas")?.extract::<Option<u64>>()?.unwrap_or(0),
        difficulty: U256::ZERO,
        prevrandao: Some(hash(env.getattr("prev_randao")?.extract()?)?),
        blob_excess_gas_and_price: Some(blob),
        slot_num: 0,
    })
}

/// A `types.execution.Call`.
pub fn message(call: &Bound<'_, PyAny>) -> PyResult<CallMessage> {
    let number = |name: &str| uint(&call.getattr(name)?);
    let optional = |name: &str| -> PyResult<Option<U256>> {
        let value = call.getattr(name)?;
        if value.is_none() { Ok(None) } else { uint(&value).map(Some) }
    };
    let to: Option<Vec<u8>> = call.getattr("to")?.extract()?;
    let mut access_list = Vec::new();
    for entry in call.getattr("access_list")?.try_iter()? {
        let (account, keys): (Vec<u8>, Vec<Vec<u8>>) = entry?.extract()?;
        access_list.push((address(&account)?, keys.iter().map(|key| hash(key)).collect::<PyResult<Vec<_>>>()?));
    }
    let mut authorizations = Vec::new();
    for record in call.getattr("authorization_list")?.try_iter()? {
        let record = record?;
        let signing_hash: Vec<u8> = record.getattr("signing_hash")?.extract()?;
        authorizations.push(transaction::recover_authorization(
            revm::context::transaction::Authorization {
                chain_id: uint(&record.getattr("chain_id")?)?,
                address: address(record.getattr("address")?.extract()?)?,
                nonce: record.getattr("nonce")?.extract()?,
            },
            hash(&signing_hash)?,
            record.getattr("y_parity")?.extract().unwrap_or(2),
            uint(&record.getattr("r")?)?,
            uint(&record.getattr("s")?)?,
        ));
    }
    let blob_hashes: Vec<Vec<u8>> = call.getattr("blob_versioned_hashes")?.extract()?;
    Ok(CallMessage {
        sender: address(call.getattr("sender")?.extract()?)?,
        to: to.as_deref().map(address).transpose()?,
        gas: call.getattr("gas")?.extract()?,
        gas_price: number("gas_price")?,
        max_fee: optional("max_fee_per_gas")?,
        max_priority_fee: optional("max_priority_fee_per_gas")?,
        value: number("value")?,
        data: Bytes::copy_from_slice(call.getattr("data")?.extract()?),
        access_list,
        authorizations,
        max_fee_per_blob_gas: number("max_fee_per_blob_gas")?,
        blob_hashes: blob_hashes.iter().map(|bytes| hash(bytes)).collect::<PyResult<_>>()?,
        nonce: call.getattr("nonce")?.extract()?,
    })
}

/// A `types.execution.AccountOverride`.
pub fn override_of(change: &Bound<'_, PyAny>) -> PyResult<Override> {
    let slots = |name: &str| -> PyResult<Option<Vec<(U256, U256)>>> {
        let value = change.getattr(name)?;
        if value.is_none() {
            return Ok(None);
        }
        let mut slots = Vec::new();
        for pair in value.call_method0("items")?.try_iter()? {
            let pair = pair?;
            slots.push((uint(&pair.get_item(0)?)?, uint(&pair.get_item(1)?)?));
        }
        Ok(Some(slots))
    };
    let balance = change.getattr("balance")?;
    let code: Option<Vec<u8>> = change.getattr("code")?.extract()?;
    Ok(Override {
        nonce: change.getattr("nonce")?.extract()?,
        balance: if balance.is_none() { None } else { Some(uint(&balance)?) },
        code: code.map(Bytes::from),
        state: slots("state")?,
        state_diff: slots("state_diff")?,
    })
}

pub fn receipt_tuple<'py>(py: Python<'py>, receipt: &Receipt) -> PyResult<Bound<'py, PyTuple>> {
    let logs = logs_tuple(py, &receipt.logs)?;
    (
        receipt.kind,
        u8::from(receipt.success),
        receipt.cumulative_gas,
        logs,
        receipt.deposit_nonce,
        receipt.deposit_version,
    )
        .into_pyobject(py)
}

pub fn logs_tuple<'py>(py: Python<'py>, logs: &[Log]) -> PyResult<Bound<'py, PyTuple>> {
    let logs: PyResult<Vec<_>> = logs
        .iter()
        .map(|log| {
            let topics = PyTuple::new(py, log.topics().iter().map(|topic| PyBytes::new(py, topic.as_slice())))?;
            (PyBytes::new(py, log.address.as_slice()), topics, PyBytes::new(py, &log.data.data)).into_pyobject(py)
        })
        .collect();
    PyTuple::new(py, logs?)
}
