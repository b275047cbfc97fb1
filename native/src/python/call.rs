//! Message calls as Python sees them.

use crate::execute::call::{self, CallOutcome};
use crate::fork::Fork;
use crate::python::convert::{block_env, logs_tuple, message, override_of};
use crate::python::deadline::Deadline;
use crate::python::tracer;
use crate::python::values::address;
use crate::python::view::view_of;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

/// Run one message call: ((kind of failure, words or None) or None, output, gas used, gas refund, created or None, logs).
#[pyfunction]
#[allow(clippy::too_many_arguments)]
#[pyo3(name = "call", signature = (view, fork, chain_id, env, call, overrides=None, deadline=None, hooks=None))]
pub fn call_message<'py>(
    py: Python<'py>,
    view: &Bound<'py, PyAny>,
    fork: &Bound<'py, Fork>,
    chain_id: u64,
    env: &Bound<'py, PyAny>,
    call: &Bound<'py, PyAny>,
    overrides: Option<Bound<'py, PyDict>>,
    deadline: Option<Bound<'py, Deadline>>,
    hooks: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyTuple>> {
    let listener = hooks.as_ref().map(tracer::listener).transpose()?;
    let fork = fork.get().clone();
    let env = block_env(env, &fork)?;
    let view = view_of(view)?;
    let message = message(call)?;
    let mut changes = Vec::new();
    for (address_, change) in overrides.iter().flatten() {
        changes.push((address(address_.extract()?)?, override_of(&change)?));
    }
    let deadline = deadline.map(|deadline| deadline.get().0.clone());
    let CallOutcome { failure, output, gas_used, gas_refund, created, logs } =
        py.detach(|| call::run(view, fork, chain_id, env, message, changes, deadline, listener))?;
    (
        failure.map(|failure| (failure.kind.name(), failure.words)),
        PyBytes::new(py, &output),
        gas_used,
        gas_refund,
        created.map(|created| PyBytes::new(py, created.as_slice()).unbind()),
        logs_tuple(py, &logs)?,
    )
        .into_pyobject(py)
}
