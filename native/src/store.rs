//! The byte store and the state as Python sees them.

use crate::convert::{account_tuple, address, hash};
use crate::diff::StateDiff;
use crate::errors::StateError;
use crate::kv::{self, LevelDb, Options, Read};
use crate::layers::LayeredView;
use crate::python::Diff;
use crate::schema;
use crate::state::{LayeredState, Limits};
use crate::trie::ReadNode;
use crate::view::{StateView, to_python, uint};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use revm::primitives::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

const CHUNK: usize = 256;

fn python_bytes<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, bytes)
}

/// An ordered byte store: a LevelDB directory, or memory when no path is given. Implements `types.state.KeyValue`.
#[pyclass(frozen, module = "l2engine_native")]
pub struct KeyValue(pub kv::Store);

#[pymethods]
impl KeyValue {
    #[new]
    #[pyo3(signature = (path=None, cache=134_217_728, write_buffer=33_554_432, create=true))]
    fn new(path: Option<&str>, cache: usize, write_buffer: usize, create: bool) -> PyResult<Self> {
        Ok(Self(match path {
            None => kv::Store::memory(),
            Some(path) => kv::Store::LevelDb(LevelDb::open(path, &Options { cache, write_buffer, create })?),
        }))
    }

    fn get<'py>(&self, py: Python<'py>, key: &[u8]) -> PyResult<Option<Bound<'py, PyBytes>>> {
        Ok(self.0.get(key)?.map(|value| python_bytes(py, &value)))
    }

    #[pyo3(signature = (start, stop, reverse=false))]
    fn iterate(&self, start: &[u8], stop: &[u8], reverse: bool) -> PyResult<Pairs> {
        Ok(Pairs::new(Arc::new(self.0.snapshot()?), start, stop, reverse))
    }

    fn batch(&self) -> Batch {
        Batch { store: self.0.clone(), writes: Mutex::default() }
    }

    fn snapshot(&self) -> PyResult<Snapshot> {
        Ok(Snapshot(Arc::new(self.0.snapshot()?)))
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }

    /// Why a write failed, since when none is taken; None when all is well.
    #[getter]
    fn failure(&self) -> Option<String> {
        self.0.failure()
    }

    fn reopen(&self, py: Python<'_>) -> PyResult<()> {
        Ok(py.detach(|| self.0.reopen())?)
    }
}

/// Implements `types.state.Snapshot`.
#[pyclass(frozen, module = "l2engine_native")]
pub struct Snapshot(Arc<kv::Snapshot>);

#[pymethods]
impl Snapshot {
    fn get<'py>(&self, py: Python<'py>, key: &[u8]) -> PyResult<Option<Bound<'py, PyBytes>>> {
        Ok(self.0.get(key)?.map(|value| python_bytes(py, &value)))
    }

    #[pyo3(signature = (start, stop, reverse=false))]
    fn iterate(&self, start: &[u8], stop: &[u8], reverse: bool) -> Pairs {
        Pairs::new(self.0.clone(), start, stop, reverse)
    }
}

/// Pairs of a snapshot, fetched a chunk at a time, so that no LevelDB iterator outlives a call.
#[pyclass(module = "l2engine_native")]
pub struct Pairs {
    snapshot: Arc<kv::Snapshot>,
    start: Vec<u8>,
    stop: Vec<u8>,
    reverse: bool,
    chunk: VecDeque<kv::Pair>,
    chunk_size: usize,
    ended: bool,
}

impl Pairs {
    fn new(snapshot: Arc<kv::Snapshot>, start: &[u8], stop: &[u8], reverse: bool) -> Self {
        let (start, stop) = (start.to_vec(), stop.to_vec());
        Self { snapshot, start, stop, reverse, chunk: VecDeque::new(), chunk_size: 1, ended: false }
    }
}

#[pymethods]
impl Pairs {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        if self.chunk.is_empty() && !self.ended {
            let pairs = self.snapshot.scan(&self.start, &self.stop, self.reverse, self.chunk_size)?;
            self.ended = pairs.len() < self.chunk_size;
            self.chunk_size = CHUNK; // the first chunk is one pair: many callers want no more
            if let Some((last, _)) = pairs.last() {
                if self.reverse {
                    self.stop = last.to_vec();
                } else {
                    self.start = [last, &[0][..]].concat();
                }
            }
            self.chunk = pairs.into();
        }
        let Some((key, value)) = self.chunk.pop_front() else { return Ok(None) };
        (python_bytes(py, &key), python_bytes(py, &value)).into_pyobject(py).map(Some)
    }
}

/// Implements `types.state.Batch`.
#[pyclass(frozen, module = "l2engine_native")]
pub struct Batch {
    store: kv::Store,
    writes: Mutex<kv::Batch>,
}

#[pymethods]
impl Batch {
    fn put(&self, key: &[u8], value: &[u8]) {
        self.push(key, Some(Bytes::copy_from_slice(value)));
    }

    fn delete(&self, key: &[u8]) {
        self.push(key, None);
    }

    #[pyo3(signature = (sync=false))]
    fn write(&self, py: Python<'_>, sync: bool) -> PyResult<()> {
        let writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(py.detach(|| self.store.write(writes, sync))?)
    }
}

impl Batch {
    fn push(&self, key: &[u8], value: Option<Bytes>) {
        let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        writes.push((Bytes::copy_from_slice(key), value));
    }
}

/// The state of every kept block.
#[pyclass(frozen, module = "l2engine_native")]
pub struct State {
    state: LayeredState,
    /// What opening had to drop, in words.
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
        side_bytes: usize,
    ) -> PyResult<Self> {
        let store = kv.get().0.clone();
        let limits = Limits { history_state, history_proofs, layers, side_bytes };
        let (state, warnings) = py.detach(|| LayeredState::open(store, limits))?;
        Ok(Self { state, warnings })
    }

    /// (number, hash) of the block whose state is on disk.
    fn base<'py>(&self, py: Python<'py>) -> (u64, Bound<'py, PyBytes>) {
        let (number, hash) = self.state.base();
        (number, python_bytes(py, hash.as_slice()))
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
        Ok(python_bytes(py, root.as_slice()))
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
            (python_bytes(py, &key), python_bytes(py, &value.unwrap_or_default()))
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
pub struct Prepared(crate::state::Prepared);

#[pymethods]
impl Prepared {
    #[getter]
    fn root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        python_bytes(py, self.0.root.as_slice())
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
        python_bytes(py, self.0.hash.as_slice())
    }

    #[getter]
    fn state_root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        python_bytes(py, self.0.root.as_slice())
    }

    /// (nonce, balance, code hash), or None.
    fn account<'py>(&self, py: Python<'py>, account: &[u8]) -> PyResult<Option<Bound<'py, PyTuple>>> {
        self.0.account(address(account)?)?.map(|account| account_tuple(py, &account)).transpose()
    }

    fn storage<'py>(&self, py: Python<'py>, account: &[u8], slot: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        to_python(py, self.0.storage(address(account)?, uint(slot)?)?)
    }

    fn code<'py>(&self, py: Python<'py>, code_hash: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        Ok(python_bytes(py, &self.0.code(hash(code_hash)?)?))
    }

    fn block_hash<'py>(&self, py: Python<'py>, number: i64) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let Ok(number) = u64::try_from(number) else { return Ok(None) };
        Ok(self.0.block_hash(number)?.map(|hash| python_bytes(py, hash.as_slice())))
    }

    fn storage_root<'py>(&self, py: Python<'py>, account: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        Ok(python_bytes(py, self.0.storage_root(address(account)?)?.as_slice()))
    }

    /// A trie node by database key.
    fn node<'py>(&self, py: Python<'py>, key: &[u8]) -> PyResult<Option<Bound<'py, PyBytes>>> {
        Ok(self.0.node(key, &|| None)?.map(|raw| python_bytes(py, &raw)))
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
