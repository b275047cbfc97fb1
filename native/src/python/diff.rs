//! A block's changes, as Python sees them.

use crate::diff::StateDiff;
use crate::errors::StateError;
use crate::python::values::{account_tuple, to_python};
use crate::store::schema;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::sync::Arc;

/// A block's state diff, in native form.
#[pyclass(frozen, module = "l2engine_native")]
pub struct Diff(pub Arc<StateDiff>);

#[pymethods]
impl Diff {
    /// Address to (account or None, changed slots, destroyed); an account is (nonce, balance, code hash).
    fn accounts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let all = PyDict::new(py);
        for (address, change) in &self.0.accounts {
            let storage = PyDict::new(py);
            for (slot, value) in &change.storage {
                storage.set_item(to_python(py, *slot)?, to_python(py, *value)?)?;
            }
            let account = change.account.as_ref().map(|account| account_tuple(py, account)).transpose()?;
            all.set_item(PyBytes::new(py, address.as_slice()), (account, storage, change.destroyed))?;
        }
        Ok(all)
    }

    /// Deployed code by its hash.
    fn codes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let all = PyDict::new(py);
        for (hash, code) in &self.0.codes {
            all.set_item(PyBytes::new(py, hash.as_slice()), PyBytes::new(py, code))?;
        }
        Ok(all)
    }
}

/// A diff from its "d" row and the code deployed: how one made in Python comes here.
#[pyfunction]
pub fn diff_from_row(row: &[u8], codes: Vec<(Vec<u8>, Vec<u8>)>) -> PyResult<Diff> {
    let (_, _, StateDiff { accounts, .. }) = schema::decode_diff(row)?;
    let codes: Result<Vec<_>, StateError> = codes
        .into_iter()
        .map(|(hash, code)| {
            let hash =
                hash.as_slice().try_into().map_err(|_| StateError::Store("code hash of wrong length".to_owned()))?;
            Ok((hash, code.into()))
        })
        .collect();
    Ok(Diff(Arc::new(StateDiff { accounts, codes: codes? })))
}
