//! Errors on their way to Python, where they become those of `l2engine/errors.py`.

use crate::errors::{ExecutionError, StateError};
use crate::python::values::to_python;
use crate::refusals::{Fact, Refusal};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

fn raise(class: &str, text: String) -> PyErr {
    Python::attach(|py| {
        let class = match py.import("l2engine.errors").and_then(|module| module.getattr(class)) {
            Ok(class) => class,
            Err(error) => return error,
        };
        match class.call1((text,)) {
            Ok(error) => PyErr::from_value(error),
            Err(error) => error,
        }
    })
}

/// `InvalidTransaction(Reason(name), **facts)`.
fn raise_refusal(refusal: Refusal) -> PyErr {
    Python::attach(|py| {
        let error = || {
            let facts = PyDict::new(py);
            for (name, fact) in refusal.facts {
                match fact {
                    Fact::Number(number) => facts.set_item(name, to_python(py, number)?)?,
                    Fact::Address(address) => facts.set_item(name, PyBytes::new(py, address.as_slice()))?,
                }
            }
            let reason = py.import("l2engine.refusals")?.getattr("Reason")?.call1((refusal.reason.name(),))?;
            let class = py.import("l2engine.errors")?.getattr("InvalidTransaction")?;
            class.call((reason,), Some(&facts))
        };
        error().map_or_else(|error| error, PyErr::from_value)
    })
}

impl From<StateError> for PyErr {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Store(text) => raise("StoreError", text),
            StateError::Unreadable(text) => raise("StoreUnreadable", text),
            StateError::StoreUnavailable(text) => raise("StoreUnavailable", text),
            StateError::Unavailable(text) => raise("StateUnavailable", text),
            StateError::Python(error) => error,
        }
    }
}

impl From<ExecutionError> for PyErr {
    fn from(error: ExecutionError) -> Self {
        match error {
            ExecutionError::Invalid(refusal) => raise_refusal(refusal),
            ExecutionError::Decode(text) => raise("DecodeError", text),
            ExecutionError::InvalidBlock(text) => raise("InvalidBlock", text),
            ExecutionError::Timeout => raise("ExecutionTimeout", "execution timeout".to_owned()),
            ExecutionError::State(error) => error.into(),
        }
    }
}
