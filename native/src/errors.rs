//! Errors on their way to Python, where they become those of `l2engine/errors.py`.

use pyo3::prelude::*;
use revm::context::result::{EVMError, InvalidTransaction};
use revm::database_interface::DBErrorMarker;
use std::fmt;

/// Why state could not be read or written.
#[derive(Debug)]
pub enum StateError {
    /// The database is damaged or cannot be read.
    Store(String),
    /// A write failed, or the database is closed: nothing works until it is reopened.
    StoreUnavailable(String),
    /// The state asked for is not kept.
    Unavailable(String),
    /// A Python view raised.
    Python(PyErr),
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(text) | Self::StoreUnavailable(text) | Self::Unavailable(text) => f.write_str(text),
            Self::Python(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for StateError {}
impl DBErrorMarker for StateError {}

/// Why a transaction or call did not run.
#[derive(Debug)]
pub enum ExecutionError {
    /// The transaction cannot stand in this block; geth's wording.
    Invalid(String),
    /// It is no transaction at all.
    Decode(String),
    /// The whole block is invalid, whoever made it.
    InvalidBlock(String),
    Timeout,
    State(StateError),
}

impl From<StateError> for ExecutionError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

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

impl From<StateError> for PyErr {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Store(text) => raise("StoreError", text),
            StateError::StoreUnavailable(text) => raise("StoreUnavailable", text),
            StateError::Unavailable(text) => raise("StateUnavailable", text),
            StateError::Python(error) => error,
        }
    }
}

impl From<ExecutionError> for PyErr {
    fn from(error: ExecutionError) -> Self {
        match error {
            ExecutionError::Invalid(text) => raise("InvalidTransaction", text),
            ExecutionError::Decode(text) => raise("DecodeError", text),
            ExecutionError::InvalidBlock(text) => raise("InvalidBlock", text),
            ExecutionError::Timeout => raise("ExecutionTimeout", "execution timeout".to_owned()),
            ExecutionError::State(error) => error.into(),
        }
    }
}

/// With all checks made beforehand, revm itself never finds a transaction invalid.
impl From<EVMError<StateError, InvalidTransaction>> for ExecutionError {
    fn from(error: EVMError<StateError, InvalidTransaction>) -> Self {
        match error {
            EVMError::Database(error) => Self::State(error),
            EVMError::Transaction(error) => Self::Invalid(error.to_string()),
            other => Self::State(StateError::Store(other.to_string())),
        }
    }
}
