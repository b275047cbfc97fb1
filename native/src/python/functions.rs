//! Functions that need no block: senders, roots, hashes, lists.

use crate::execute::fees;
use crate::execute::recovery::Recovery;
use crate::execute::transaction;
use crate::store::trie;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use revm::primitives::{Bytes, keccak256};

/// The senders of many transactions, found in parallel and remembered; None where the signature is not valid.
#[pyfunction]
pub fn recover_senders<'py>(py: Python<'py>, raws: Vec<Bound<'py, PyBytes>>) -> Vec<Option<Bound<'py, PyBytes>>> {
    let raws: Vec<Bytes> = raws.iter().map(|raw| Bytes::copy_from_slice(raw.as_bytes())).collect();
    let recovery = Recovery::of(raws);
    py.detach(|| {
        for index in 0..recovery.len() {
            recovery.get(index);
        }
    });
    (0..recovery.len())
        .map(|index| match recovery.get(index) {
            Ok((_, Ok(sender))) => Some(PyBytes::new(py, sender.as_slice())),
            _ => None,
        })
        .collect()
}

/// The root of a list, keyed by the RLP of each index: transactions, receipts, withdrawals.
#[pyfunction]
pub fn ordered_root<'py>(py: Python<'py>, values: Vec<Bound<'py, PyBytes>>) -> Bound<'py, PyBytes> {
    let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
    let root = py.detach(|| trie::ordered_root(&values));
    PyBytes::new(py, root.as_slice())
}

/// The hashes of many byte strings.
#[pyfunction]
pub fn keccak_all<'py>(py: Python<'py>, values: Vec<Bound<'py, PyBytes>>) -> PyResult<Bound<'py, PyList>> {
    PyList::new(py, values.iter().map(|value| PyBytes::new(py, keccak256(value.as_bytes()).as_slice())))
}

/// The contents of a post-execution transaction: its block's number, indices, and the gas for each.
#[pyfunction]
pub fn gas_refunds(raw: &[u8]) -> Option<(u64, Vec<u64>, Vec<u64>)> {
    let refunds = transaction::gas_refunds(raw).ok()?;
    Some((refunds.block_number, refunds.indices, refunds.gas))
}

/// The length of data after FastLZ compression at level 1.
#[pyfunction]
pub fn fast_lz_length(data: &[u8]) -> u32 {
    fees::fast_lz_length(data)
}
