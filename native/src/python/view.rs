//! State that execution reads through Python, or past it.

use crate::errors::StateError;
use crate::python::state::View;
use crate::python::values::{to_python, uint};
use crate::view::{Account, StateView};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use revm::primitives::{Address, B256, Bytes, U256};
use std::sync::Arc;

/// A `StateView` of either kind.
pub fn view_of(view: &Bound<'_, PyAny>) -> PyResult<Arc<dyn StateView>> {
    match view.cast::<View>() {
        Ok(native) => Ok(native.get().0.clone()),
        Err(_) => Ok(Arc::new(PythonView(view.clone().unbind()))),
    }
}

/// A `StateView` written in Python; each read takes the GIL.
struct PythonView(Py<PyAny>);

impl StateView for PythonView {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        Python::attach(|py| {
            let found = self.0.bind(py).call_method1("account", (PyBytes::new(py, address.as_slice()),))?;
            if found.is_none() {
                return Ok(None);
            }
            Ok(Some(Account {
                nonce: found.getattr("nonce")?.extract()?,
                balance: uint(&found.getattr("balance")?)?,
                code_hash: B256::from_slice(found.getattr("code_hash")?.extract()?),
            }))
        })
        .map_err(StateError::Python)
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        Python::attach(|py| {
            let view = self.0.bind(py);
            uint(&view.call_method1("storage", (PyBytes::new(py, address.as_slice()), to_python(py, slot)?))?)
        })
        .map_err(StateError::Python)
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        Python::attach(|py| {
            let code = self.0.bind(py).call_method1("code", (PyBytes::new(py, code_hash.as_slice()),))?;
            Ok(Bytes::copy_from_slice(code.extract()?))
        })
        .map_err(StateError::Python)
    }

    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError> {
        Python::attach(|py| {
            let hash = self.0.bind(py).call_method1("block_hash", (number,))?;
            if hash.is_none() { Ok(None) } else { Ok(Some(B256::from_slice(hash.extract()?))) }
        })
        .map_err(StateError::Python)
    }

    fn has_storage(&self, address: Address) -> Result<bool, StateError> {
        Python::attach(|py| {
            self.0.bind(py).call_method1("has_storage", (PyBytes::new(py, address.as_slice()),))?.extract()
        })
        .map_err(StateError::Python)
    }

    /// It may be recording what is read.
    fn shares_code(&self) -> bool {
        false
    }
}
