//! A block's transactions, decoded once; the twin of `l2engine/types/transactions.py`.

use crate::execute::recovery::Recovery;
use crate::rlp;
use crate::store::trie;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use revm::primitives::{B256, Bytes, keccak256};
use std::sync::{Arc, OnceLock};

/// Raw transactions whose senders are sought from the moment that one of them is decoded.
#[pyclass(frozen, module = "l2engine_native")]
pub struct Transactions {
    raws: Vec<Bytes>,
    recovery: OnceLock<Arc<Recovery>>,
    root: OnceLock<B256>,
}

impl Transactions {
    pub fn recovery(&self) -> &Arc<Recovery> {
        self.recovery.get_or_init(|| Recovery::of(self.raws.clone()))
    }
}

#[pymethods]
impl Transactions {
    #[new]
    fn new(raws: Vec<Bound<'_, PyBytes>>) -> Self {
        let raws = raws.iter().map(|raw| Bytes::copy_from_slice(raw.as_bytes())).collect();
        Self { raws, recovery: OnceLock::new(), root: OnceLock::new() }
    }

    /// The index of the first that does not decode, None when all do.
    fn undecodable(&self, py: Python<'_>) -> Option<usize> {
        py.detach(|| self.recovery().undecodable())
    }

    /// The transactions root.
    #[getter]
    fn root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let root = py.detach(|| self.root.get_or_init(|| trie::ordered_root(&self.raws)));
        PyBytes::new(py, root.as_slice())
    }

    fn hashes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.raws.iter().map(|raw| PyBytes::new(py, keccak256(raw).as_slice())))
    }

    /// The RLP list of a body: typed transactions are strings in it, legacy ones are lists already.
    fn encode<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let mut payload = Vec::with_capacity(self.raws.iter().map(|raw| raw.len() + 4).sum());
        for raw in &self.raws {
            match &raw[..] {
                list @ [(0xc0..), ..] => payload.extend_from_slice(list),
                typed => rlp::put_bytes(&mut payload, typed),
            }
        }
        let mut list = Vec::with_capacity(payload.len() + 5);
        rlp::put_list(&mut list, &payload);
        PyBytes::new(py, &list)
    }
}
