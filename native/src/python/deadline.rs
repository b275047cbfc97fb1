//! The deadline of a call or transaction, as Python sees it (`l2engine/types/execution.py`).

use crate::execute::moment::Moment;
use pyo3::prelude::*;
use std::sync::Arc;

/// A moment that Python may move while the call runs.
#[pyclass(frozen, module = "l2engine_native")]
pub struct Deadline(pub Arc<Moment>);

#[pymethods]
impl Deadline {
    #[new]
    fn new(seconds: f64) -> Self {
        Self(Arc::new(Moment::in_seconds(seconds)))
    }

    /// Move it to so many seconds from now.
    fn set(&self, seconds: f64) {
        self.0.set(seconds);
    }
}
