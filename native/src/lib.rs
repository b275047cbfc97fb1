//! The native core of l2engine: what must not wait for Python. See README.md.

mod cache;
mod call;
mod checks;
mod convert;
mod diff;
mod errors;
mod execution;
mod failure;
mod fees;
mod fork;
mod kv;
mod layers;
mod live;
mod machine;
mod node;
mod python;
mod receipt;
mod rlp;
mod schema;
mod state;
mod store;
mod tracing;
mod transaction;
mod trie;
mod view;

use pyo3::prelude::*;

/// Blocks and tries are many small pieces that come and go: this halves what they cost, and gives memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[pymodule]
fn l2engine_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<fork::Fork>()?;
    module.add_class::<python::Block>()?;
    module.add_class::<python::Receipts>()?;
    module.add_class::<python::Diff>()?;
    module.add_class::<live::LiveState>()?;
    module.add_class::<live::Frame>()?;
    module.add_function(wrap_pyfunction!(python::call_message, module)?)?;
    module.add_function(wrap_pyfunction!(python::recover_senders, module)?)?;
    module.add_function(wrap_pyfunction!(python::undecodable, module)?)?;
    module.add_function(wrap_pyfunction!(python::ordered_root, module)?)?;
    module.add_function(wrap_pyfunction!(python::keccak_all, module)?)?;
    module.add_function(wrap_pyfunction!(python::encode_transactions, module)?)?;
    module.add_function(wrap_pyfunction!(python::fast_lz_length, module)?)?;
    module.add_class::<store::KeyValue>()?;
    module.add_class::<store::Snapshot>()?;
    module.add_class::<store::Batch>()?;
    module.add_class::<store::State>()?;
    module.add_class::<store::Prepared>()?;
    module.add_class::<store::View>()?;
    module.add_function(wrap_pyfunction!(store::diff_from_row, module)?)?;
    Ok(())
}
