//! The native core of l2engine: what must not wait for Python. See README.md.

mod call;
mod errors;
mod execution;
mod fees;
mod fork;
mod machine;
mod python;
mod receipt;
mod rlp;
mod transaction;
mod trie;
mod view;

use pyo3::prelude::*;

#[pymodule]
fn l2engine_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<fork::Fork>()?;
    module.add_class::<python::Block>()?;
    module.add_class::<python::Diff>()?;
    module.add_function(wrap_pyfunction!(python::call_message, module)?)?;
    module.add_function(wrap_pyfunction!(python::recover_senders, module)?)?;
    Ok(())
}
