//! Functions that need no block: senders, roots, hashes, lists.

use crate::execute::fees;
use crate::execute::recovery::Recovery;
use crate::execute::transaction;
use crate::rlp;
use crate::store::trie;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use revm::primitives::{B256, Bytes, keccak256};
use std::sync::{Mutex, PoisonError};

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

/// The place of the first that is no transaction, None when all are. Their senders are sought from now on.
#[pyfunction]
pub fn undecodable(py: Python<'_>, raws: Vec<Bound<'_, PyBytes>>) -> Option<usize> {
    let raws: Vec<Bytes> = raws.iter().map(|raw| Bytes::copy_from_slice(raw.as_bytes())).collect();
    py.detach(|| Recovery::of(raws).undecodable())
}

/// The list asked for last, and its root: a payload's transactions are asked for when its hash is checked and when it is executed.
static LATEST_ROOT: Mutex<Option<(Vec<Bytes>, B256)>> = Mutex::new(None);

/// The root of a list, keyed by the RLP of each index: transactions, receipts, withdrawals.
#[pyfunction]
pub fn ordered_root<'py>(py: Python<'py>, values: Vec<Bound<'py, PyBytes>>) -> Bound<'py, PyBytes> {
    let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
    let root = py.detach(|| {
        let mut latest = LATEST_ROOT.lock().unwrap_or_else(PoisonError::into_inner);
        match latest.as_ref() {
            Some((list, root)) if list.iter().map(|value| &value[..]).eq(values.iter().copied()) => *root,
            _ => {
                let root = trie::ordered_root(&values);
                *latest = Some((values.iter().map(|value| Bytes::copy_from_slice(value)).collect(), root));
                root
            }
        }
    });
    PyBytes::new(py, root.as_slice())
}

/// The hashes of many byte strings.
#[pyfunction]
pub fn keccak_all<'py>(py: Python<'py>, values: Vec<Bound<'py, PyBytes>>) -> PyResult<Bound<'py, PyList>> {
    PyList::new(py, values.iter().map(|value| PyBytes::new(py, keccak256(value.as_bytes()).as_slice())))
}

/// The RLP list of transactions as a block's body has it: typed ones as strings, legacy ones as the lists that they are.
#[pyfunction]
pub fn encode_transactions<'py>(py: Python<'py>, raws: Vec<Bound<'py, PyBytes>>) -> Bound<'py, PyBytes> {
    let mut payload = Vec::with_capacity(raws.iter().map(|raw| raw.as_bytes().len() + 4).sum());
    for raw in &raws {
        match raw.as_bytes() {
            list @ [(0xc0..), ..] => payload.extend_from_slice(list),
            typed => rlp::put_bytes(&mut payload, typed),
        }
    }
    let mut list = Vec::with_capacity(payload.len() + 5);
    rlp::put_list(&mut list, &payload);
    PyBytes::new(py, &list)
}

/// What a post-execution transaction that decodes lists: its block's number, indices, and the gas for each.
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
