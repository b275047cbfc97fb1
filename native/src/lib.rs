//! The native core of l2engine: what must not wait for Python. See README.md.
//!
//! Three wings on common ground. The ground and the wings `execute` and `store` know nothing of each other's users:
//! `python` alone sees all of them.

mod diff;
mod errors;
mod failures;
mod fork;
mod named;
mod refusals;
mod rlp;
mod view;

/// Running transactions: decoding, checks, fees, frames, tracing, receipts.
mod execute {
    pub mod apply;
    pub mod block;
    pub mod call;
    pub mod changes;
    pub mod checks;
    pub mod deadline;
    pub mod deposit;
    pub mod fees;
    pub mod frame_failure;
    pub mod machine;
    pub mod moment;
    pub mod phases;
    pub mod post_execution;
    pub mod precompiles;
    pub mod receipt;
    pub mod recovery;
    pub mod signed;
    pub mod tracing;
    pub mod transaction;
}

/// Keeping state: the byte store and its rows, the trie, the base on disk and the layers above it.
mod store {
    pub mod branches;
    pub mod cache;
    pub mod kv;
    pub mod layers;
    pub mod node;
    pub mod schema;
    pub mod state;
    pub mod trie;
}

/// The module that Python sees: bytes in, tuples and bytes out. Long work runs without the GIL.
mod python {
    pub mod block;
    pub mod call;
    pub mod convert;
    pub mod deadline;
    pub mod diff;
    pub mod errors;
    pub mod functions;
    pub mod kv;
    pub mod logs;
    pub mod state;
    pub mod tracer;
    pub mod tracer_view;
    pub mod transactions;
    pub mod values;
    pub mod view;
}

use pyo3::prelude::*;

/// Blocks and tries are many small pieces that come and go: this halves what they cost, and gives memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[pymodule]
fn l2engine_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("REASONS", refusals::Reason::ALL.iter().map(|reason| reason.name()).collect::<Vec<_>>())?;
    module.add("FAILURES", failures::FailureKind::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>())?;
    module.add_class::<fork::Fork>()?;
    module.add_class::<python::block::BlockUnderExecution>()?;
    module.add_class::<python::block::Receipts>()?;
    module.add_class::<python::transactions::Transactions>()?;
    module.add_class::<python::deadline::Deadline>()?;
    module.add_class::<python::diff::Diff>()?;
    module.add_class::<python::logs::LogFilter>()?;
    module.add_class::<python::tracer_view::LiveState>()?;
    module.add_class::<python::tracer_view::Frame>()?;
    module.add_function(wrap_pyfunction!(python::call::call_message, module)?)?;
    module.add_function(wrap_pyfunction!(python::functions::recover_senders, module)?)?;
    module.add_function(wrap_pyfunction!(python::functions::ordered_root, module)?)?;
    module.add_function(wrap_pyfunction!(python::functions::keccak_all, module)?)?;
    module.add_function(wrap_pyfunction!(python::functions::gas_refunds, module)?)?;
    module.add_function(wrap_pyfunction!(python::functions::fast_lz_length, module)?)?;
    module.add_class::<python::kv::KeyValue>()?;
    module.add_class::<python::kv::Snapshot>()?;
    module.add_class::<python::kv::Batch>()?;
    module.add_class::<python::state::State>()?;
    module.add_class::<python::state::Prepared>()?;
    module.add_class::<python::state::View>()?;
    module.add_function(wrap_pyfunction!(python::diff::diff_from_row, module)?)?;
    Ok(())
}
