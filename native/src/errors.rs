//! All errors of the native core; `python/errors.rs` turns them into Python's exceptions.

use crate::refusals::{Reason, Refusal};
use pyo3::PyErr;
use revm::context::result::{EVMError, InvalidTransaction};
use revm::database_interface::DBErrorMarker;
use std::fmt;

/// Why state could not be read or written.
#[derive(Debug)]
pub enum StateError {
    /// The database contradicts itself, or takes no more.
    Store(String),
    /// LevelDB cannot read its files: damaged ones, or a failing disk.
    Unreadable(String),
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
            Self::Store(text) | Self::Unreadable(text) | Self::StoreUnavailable(text) | Self::Unavailable(text) => {
                f.write_str(text)
            }
            Self::Python(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for StateError {}
impl DBErrorMarker for StateError {}

/// Why a transaction or call did not run.
#[derive(Debug)]
pub enum ExecutionError {
    /// The transaction cannot be included.
    Invalid(Refusal),
    /// It is no transaction at all.
    Decode(String),
    /// The whole block is invalid, whoever made it.
    InvalidBlock(String),
    Timeout,
    State(StateError),
}

impl From<Reason> for ExecutionError {
    fn from(reason: Reason) -> Self {
        Self::Invalid(Refusal { reason, facts: Vec::new() })
    }
}

impl From<StateError> for ExecutionError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

/// With all checks made beforehand, revm itself never finds a transaction invalid.
impl From<EVMError<StateError, InvalidTransaction>> for ExecutionError {
    fn from(error: EVMError<StateError, InvalidTransaction>) -> Self {
        match error {
            EVMError::Database(error) => Self::State(error),
            other => Self::State(StateError::Store(other.to_string())),
        }
    }
}

/// `refuse!(NonceTooLow, address = sender, tx = 3, state = 4)`: the error that refuses a transaction.
macro_rules! refuse {
    ($reason:ident $(, $name:ident = $fact:expr)*) => {
        Err($crate::errors::ExecutionError::Invalid($crate::refusals::Refusal {
            reason: $crate::refusals::Reason::$reason,
            facts: vec![$((stringify!($name), $crate::refusals::Fact::from($fact))),*],
        }))
    };
}
pub(crate) use refuse;
