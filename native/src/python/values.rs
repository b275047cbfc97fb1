//! Numbers, addresses, hashes and accounts, from Python and back.

use crate::view::Account;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use revm::primitives::{Address, B256, U256};

pub fn address(bytes: &[u8]) -> PyResult<Address> {
    Address::try_from(bytes).map_err(|_| PyValueError::new_err("expected 20 bytes"))
}

pub fn hash(bytes: &[u8]) -> PyResult<B256> {
    B256::try_from(bytes).map_err(|_| PyValueError::new_err("expected 32 bytes"))
}

/// A Python int as 256 bits.
pub fn uint(value: &Bound<'_, PyAny>) -> PyResult<U256> {
    if let Ok(small) = value.extract::<u64>() {
        return Ok(U256::from(small));
    }
    let bytes = value.call_method1("to_bytes", (32, "big"))?;
    Ok(U256::from_be_slice(bytes.extract()?))
}

/// 256 bits as a Python int.
pub fn to_python<'py>(py: Python<'py>, value: U256) -> PyResult<Bound<'py, PyAny>> {
    if let Ok(small) = u64::try_from(value) {
        return Ok(small.into_pyobject(py)?.into_any());
    }
    let bytes = PyBytes::new(py, &value.to_be_bytes::<32>());
    py.get_type::<pyo3::types::PyInt>().call_method1("from_bytes", (bytes, "big"))
}

/// (nonce, balance, code hash)
pub fn account_tuple<'py>(py: Python<'py>, account: &Account) -> PyResult<Bound<'py, PyTuple>> {
    (account.nonce, to_python(py, account.balance)?, PyBytes::new(py, account.code_hash.as_slice())).into_pyobject(py)
}
