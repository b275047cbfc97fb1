//! The view that a tracer has while it is called: the state under execution, and the step that is about to run.

use crate::errors::StateError;
use crate::execute::machine::MachineContext;
use crate::execute::tracing::Before;
use crate::python::values::{account_tuple, address, hash, to_python, uint};
use crate::view::{account_now, code_now, storage_now};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use revm::interpreter::Interpreter;
use revm::interpreter::interpreter_types::{InputsTr, MemoryTr, ReturnData, RuntimeFlag};
use revm::primitives::{Address, Bytes, KECCAK_EMPTY, U256};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicPtr, Ordering};

/// Shows a machine's context, as long as a tracer is being called.
#[derive(Default)]
pub struct Window(AtomicPtr<MachineContext>);

impl Window {
    /// Let `work` read the context through this view.
    pub fn during<T>(&self, context: &mut MachineContext, work: impl FnOnce() -> T) -> T {
        self.0.store(context, Ordering::Release);
        let result = work();
        self.0.store(ptr::null_mut(), Ordering::Release);
        result
    }

    fn look<T>(&self, read: impl FnOnce(&MachineContext) -> Result<T, StateError>) -> PyResult<T> {
        let context = self.0.load(Ordering::Acquire);
        // SAFETY: it is set only in `during`, whose caller lends the context to nobody else until `work` has returned; and
        // `work` holds the GIL, as does whoever gets here.
        match unsafe { context.as_ref() } {
            Some(context) => Ok(read(context)?),
            None => Err(PyRuntimeError::new_err("a tracer's view of the state ends with the call of the tracer")),
        }
    }
}

/// The state under execution; answers only while a tracer is being called.
#[pyclass(frozen, module = "l2engine_native")]
pub struct LiveState(pub Arc<Window>);

#[pymethods]
impl LiveState {
    /// (nonce, balance, code hash), None where there is no account.
    fn account<'py>(&self, py: Python<'py>, who: &[u8]) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let who = address(who)?;
        self.0
            .look(|context| account_now(&context.journaled_state, who))?
            .map(|found| account_tuple(py, &found))
            .transpose()
    }

    fn storage<'py>(&self, py: Python<'py>, who: &[u8], slot: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (who, slot) = (address(who)?, uint(slot)?);
        to_python(py, self.0.look(|context| storage_now(&context.journaled_state, who, slot))?)
    }

    fn code<'py>(&self, py: Python<'py>, code_hash: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let code_hash = hash(code_hash)?;
        Ok(PyBytes::new(py, &self.0.look(|context| code_now(&context.journaled_state, code_hash))?))
    }
}

/// One step of a frame, before it runs: a `types.tracing.TracedFrame`, and what its gas depends on.
#[pyclass(frozen, module = "l2engine_native")]
pub struct Frame {
    window: Arc<Window>,
    #[pyo3(get)]
    depth: usize,
    #[pyo3(get)]
    is_static: bool,
    before: Before,
    account: Address,
    stack: Vec<U256>,
    memory: Vec<u8>,
    return_data: Bytes,
    refund: AtomicI64,
}

impl Frame {
    /// The next step of an interpreter, with all of its stack and its memory when asked.
    pub fn next(
        interpreter: &Interpreter,
        window: &Arc<Window>,
        depth: usize,
        before: Before,
        with_memory: bool,
    ) -> Self {
        let memory = if with_memory { interpreter.memory.slice(0..before.memory_size).to_vec() } else { Vec::new() };
        let stack = interpreter.stack.data().clone();
        Self { memory, stack, ..Self::past(interpreter, window, depth, before) }
    }

    /// A step that has run, with what it may have taken from the stack.
    pub fn past(interpreter: &Interpreter, window: &Arc<Window>, depth: usize, before: Before) -> Self {
        Self {
            window: window.clone(),
            depth,
            is_static: interpreter.runtime_flag.is_static(),
            before,
            account: interpreter.input.target_address(),
            stack: before.operands[..before.height.min(before.operands.len())].iter().rev().copied().collect(),
            memory: Vec::new(),
            return_data: interpreter.return_data.buffer().clone(),
            refund: AtomicI64::new(0),
        }
    }

    pub fn set_refund(&self, refund: i64) {
        self.refund.store(refund, Ordering::Relaxed);
    }
}

#[pymethods]
impl Frame {
    #[getter]
    fn address<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.account.as_slice())
    }

    /// Gas left before the step.
    #[getter]
    fn gas(&self) -> u64 {
        self.before.gas
    }

    /// Items on the stack, of which `stack` may hold fewer.
    #[getter]
    fn height(&self) -> usize {
        self.before.height
    }

    #[getter]
    fn memory_size(&self) -> usize {
        self.before.memory_size
    }

    /// The stack as ints, its top last.
    #[getter]
    fn stack<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let items: PyResult<Vec<_>> = self.stack.iter().map(|item| to_python(py, *item)).collect();
        PyList::new(py, items?)
    }

    #[getter]
    fn memory<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.memory)
    }

    #[getter]
    fn return_data<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.return_data)
    }

    /// The refund counter of the whole transaction, once the step is done.
    #[getter]
    fn refund(&self) -> i64 {
        self.refund.load(Ordering::Relaxed)
    }

    /// Whether the transaction has touched an account (EIP-2929).
    fn is_warm(&self, who: &[u8]) -> PyResult<bool> {
        let who = address(who)?;
        self.window.look(|context| {
            let journal = &context.journaled_state.inner;
            let touched = journal.state.get(&who).is_some_and(|a| !a.is_cold_transaction_id(journal.transaction_id));
            Ok(touched || journal.warm_addresses.is_warm(&who))
        })
    }

    fn is_empty(&self, who: &[u8]) -> PyResult<bool> {
        let who = address(who)?;
        self.window.look(|context| Ok(account_now(&context.journaled_state, who)?.is_none_or(|found| found.is_empty())))
    }

    fn balance<'py>(&self, py: Python<'py>, who: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        let who = address(who)?;
        to_python(
            py,
            self.window.look(|context| {
                Ok(account_now(&context.journaled_state, who)?.map_or(U256::ZERO, |found| found.balance))
            })?,
        )
    }

    fn code<'py>(&self, py: Python<'py>, who: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let who = address(who)?;
        let code = self.window.look(|context| match account_now(&context.journaled_state, who)? {
            Some(found) if found.code_hash != KECCAK_EMPTY => code_now(&context.journaled_state, found.code_hash),
            _ => Ok(Bytes::new()),
        })?;
        Ok(PyBytes::new(py, &code))
    }

    /// A slot of the running account: (whether it is warm, its value before the transaction, its value).
    fn slot<'py>(&self, py: Python<'py>, slot: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
        let slot = uint(slot)?;
        let (warm, original, value) = self.window.look(|context| {
            let journal = &context.journaled_state.inner;
            let listed = journal.warm_addresses.is_storage_warm(&self.account, &slot);
            let value = storage_now(&context.journaled_state, self.account, slot)?;
            let loaded = journal.state.get(&self.account).and_then(|account| account.storage.get(&slot));
            Ok(match loaded.filter(|slot| slot.transaction_id == journal.transaction_id) {
                Some(loaded) => (listed || !loaded.is_cold, loaded.original_value, value),
                None => (listed, value, value),
            })
        })?;
        (warm, to_python(py, original)?, to_python(py, value)?).into_pyobject(py)
    }
}
