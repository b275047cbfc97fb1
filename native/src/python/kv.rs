//! The byte store as Python sees it.

use crate::store::kv::{self, LevelDb, Options, Read};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use revm::primitives::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

const CHUNK: usize = 256;

/// An ordered byte store: a LevelDB directory, or memory when no path is given. Implements `types.storage.KeyValue`.
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
        Ok(self.0.get(key)?.map(|value| PyBytes::new(py, &value)))
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

/// Implements `types.storage.Snapshot`.
#[pyclass(frozen, module = "l2engine_native")]
pub struct Snapshot(Arc<kv::Snapshot>);

#[pymethods]
impl Snapshot {
    fn get<'py>(&self, py: Python<'py>, key: &[u8]) -> PyResult<Option<Bound<'py, PyBytes>>> {
        Ok(self.0.get(key)?.map(|value| PyBytes::new(py, &value)))
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
        (PyBytes::new(py, &key), PyBytes::new(py, &value)).into_pyobject(py).map(Some)
    }
}

/// Implements `types.storage.Batch`.
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
