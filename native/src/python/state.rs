//! The state of kept blocks as Python sees it.

use crate::python::diff::Diff;
use crate::python::kv::KeyValue;
use crate::python::values::{account_tuple, address, hash, to_python, uint};
use crate::store::layers::LayeredView;
use crate::store::state::{self, LayeredState, Limits};
use crate::store::trie::ReadNode;
use crate::view::StateView;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use revm::primitives::Bytes;
use std::sync::Arc;

/// The state of every kept block.
#[pyclass(frozen, module = "l2engine_native")]
pub struct State {
    state: LayeredState,
    /// A description of what opening had to drop.
    #[pyo3(get)]
    warnings: Vec<String>,
}

#[pymethods]
impl State {
    #[new]
    fn new(
        py: Python<'_>,
        kv: &Bound<'_, KeyValue>,
        history_state: u64,
        history_proofs: u64,
        layers: usize,
        side_layers: usize,
        side_bytes: usize,
    ) -> PyResult<Self> {
        let store = kv.get().0.clone();
        let limits = Limits { history_state, history_proofs, layers, side_layers, side_bytes };
        let (state, warnings) = py.detach(|| LayeredState::open(store, limits))?;
        Ok(Self { state, warnings })
    }

    /// (number, hash) of the block whose state is on disk.
    fn base<'py>(&self, py: Python<'py>) -> (u64, Bound<'py, PyBytes>) {
        let (number, hash) = self.state.base();
        (number, PyBytes::new(py, hash.as_slice()))
    }

    fn oldest(&self) -> (u64, u64) {
        self.state.oldest()
    }

    fn layer_count(&self) -> usize {
        self.state.layer_count()
    }

    fn has(&self, block_hash: &[u8]) -> PyResult<bool> {
        Ok(self.state.has(hash(block_hash)?)?)
    }

    fn view(&self, block_hash: &[u8]) -> PyResult<View> {
        Ok(View(self.state.view(hash(block_hash)?)?))
    }

    fn prepare(&self, py: Python<'_>, parent_hash: &[u8], diff: &Bound<'_, Diff>) -> PyResult<Prepared> {
        let (parent, diff) = (hash(parent_hash)?, diff.get().0.clone());
        Ok(Prepared(py.detach(|| self.state.prepare(parent, diff))?))
    }

    fn prepared_storage_root<'py>(
        &self,
        py: Python<'py>,
        prepared: &Bound<'py, Prepared>,
        account: &[u8],
    ) -> PyResult<Bound<'py, PyBytes>> {
        let root = self.state.prepared_storage_root(&prepared.get().0, address(account)?)?;
        Ok(PyBytes::new(py, root.as_slice()))
    }

    /// (key, value) rows that keep the state of a block.
    fn rows<'py>(
        &self,
        py: Python<'py>,
        number: u64,
        block_hash: &[u8],
        prepared: &Bound<'py, Prepared>,
    ) -> PyResult<Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)>> {
        let rows = self.state.rows(number, hash(block_hash)?, &prepared.get().0)?;
        let pair = |(key, value): (Bytes, Option<Bytes>)| {
            (PyBytes::new(py, &key), PyBytes::new(py, &value.unwrap_or_default()))
        };
        Ok(rows.into_iter().map(pair).collect())
    }

    fn attach(&self, py: Python<'_>, number: u64, block_hash: &[u8], prepared: &Bound<'_, Prepared>) -> PyResult<()> {
        let (block_hash, prepared) = (hash(block_hash)?, prepared.get());
        Ok(py.detach(|| self.state.attach(number, block_hash, &prepared.0))?)
    }

    fn set_head(&self, py: Python<'_>, head: &[u8]) -> PyResult<()> {
        let head = hash(head)?;
        Ok(py.detach(|| self.state.set_head(head))?)
    }
}

/// A diff on top of a block, with its root and new trie nodes.
#[pyclass(frozen, module = "l2engine_native")]
pub struct Prepared(state::Prepared);

#[pymethods]
impl Prepared {
    #[getter]
    fn root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.root.as_slice())
    }
}

/// The state after one block.
#[pyclass(frozen, module = "l2engine_native")]
pub struct View(pub Arc<LayeredView>);

#[pymethods]
impl View {
    #[getter]
    fn number(&self) -> u64 {
        self.0.number
    }

    #[getter]
    fn hash<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.hash.as_slice())
    }

    #[getter]
    fn state_root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.root.as_slice())
    }

    /// (nonce, balance, code hash), or None.
    fn account<'py>(&self, py: Python<'py>, account: &[u8]) -> PyResult<Option<Bound<'py, PyTuple>>> {
        self.0.account(address(account)?)?.map(|account| account_tuple(py, &account)).transpose()
    }

    fn storage<'py>(&self, py: Python<'py>, account: &[u8], slot: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        to_python(py, self.0.storage(address(account)?, uint(slot)?)?)
    }

    fn code<'py>(&self, py: Python<'py>, code_hash: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.0.code(hash(code_hash)?)?))
    }

    fn block_hash<'py>(&self, py: Python<'py>, number: i64) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let Ok(number) = u64::try_from(number) else { return Ok(None) };
        Ok(self.0.block_hash(number)?.map(|hash| PyBytes::new(py, hash.as_slice())))
    }

    fn storage_root<'py>(&self, py: Python<'py>, account: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, self.0.storage_root(address(account)?)?.as_slice()))
    }

    /// A trie node by database key.
    fn node<'py>(&self, py: Python<'py>, key: &[u8]) -> PyResult<Option<Bound<'py, PyBytes>>> {
        Ok(self.0.node(key, &|| None)?.map(|raw| PyBytes::new(py, &raw)))
    }
}
