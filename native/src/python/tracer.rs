//! A tracer in Python: `execute/tracing.rs` calls it for frames and steps through the hooks of `l2engine/evm/native/trace.py`.

use crate::errors::StateError;
use crate::execute::machine::{Heeded, Listener, MachineContext};
use crate::execute::tracing::{Before, Beginning, FailedStep, Opening, Session, Tracer};
use crate::failures::{FailureKind, FrameFailure};
use crate::python::tracer_view::{Frame, LiveState, Window};
use crate::python::values::to_python;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use revm::interpreter::Interpreter;
use revm::interpreter::interpreter_types::Jumps;
use revm::primitives::{Address, Log};
use std::sync::Arc;

/// Makes a machine call `hooks`: `hooks.steps` are the opcodes whose steps are reported, `hooks.memory` is whether with the
/// memory. An exception of theirs ends the transaction.
pub fn listener(hooks: &Bound<'_, PyAny>) -> PyResult<Box<dyn Listener>> {
    let mut wanted = [false; 256];
    for opcode in hooks.getattr("steps")?.extract::<Vec<u8>>()? {
        wanted[usize::from(opcode)] = true;
    }
    let with_memory = hooks.getattr("memory")?.extract()?;
    let hooks = hooks.clone().unbind();
    Ok(Box::new(Session::new(PythonTracer { hooks, wanted, with_memory, window: Arc::default() })))
}

struct PythonTracer {
    hooks: Py<PyAny>,
    wanted: [bool; 256],
    with_memory: bool,
    window: Arc<Window>,
}

impl PythonTracer {
    /// Call a hook, which may look at the context meanwhile.
    fn tell<T>(
        &self,
        context: &mut MachineContext,
        event: impl FnOnce(Python<'_>, &Py<PyAny>) -> PyResult<T>,
    ) -> Result<T, StateError> {
        let told = self.window.during(context, || Python::attach(|py| event(py, &self.hooks)));
        told.map_err(StateError::Python)
    }
}

fn bytes<'py>(py: Python<'py>, data: impl AsRef<[u8]>) -> Bound<'py, PyBytes> {
    PyBytes::new(py, data.as_ref())
}

impl Tracer for PythonTracer {
    type Step = Py<Frame>;

    fn wants(&self, opcode: u8) -> bool {
        self.wanted[usize::from(opcode)]
    }

    fn begin(&self, context: &mut MachineContext, tx: Beginning, precompiles: &[Address]) -> Heeded {
        self.tell(context, |py, hooks| {
            let list = |addresses: &[Address]| PyTuple::new(py, addresses.iter().map(|who| bytes(py, who)));
            let state = LiveState(self.window.clone());
            let (authorities, precompiles) = (list(&tx.authorities)?, list(precompiles)?);
            let (sender, target) = (bytes(py, tx.sender), bytes(py, tx.target));
            let event = (sender, target, tx.creates, tx.gas, authorities, precompiles, state);
            hooks.call_method1(py, "begin", event).map(drop)
        })
    }

    fn end(&self, context: &mut MachineContext, gas_used: u64, error: Option<&str>) -> Heeded {
        self.tell(context, |py, hooks| hooks.call_method1(py, "end", (gas_used, error)).map(drop))
    }

    fn enter(&self, context: &mut MachineContext, frame: Opening) -> Heeded {
        self.tell(context, |py, hooks| {
            let (sender, to) = (bytes(py, frame.sender), bytes(py, frame.to));
            let event = (frame.kind, sender, to, to_python(py, frame.value)?, frame.gas, bytes(py, &frame.data));
            hooks.call_method1(py, "enter", event).map(drop)
        })
    }

    fn leave(
        &self,
        context: &mut MachineContext,
        output: &[u8],
        gas_used: u64,
        failure: Option<&FrameFailure>,
    ) -> Heeded {
        self.tell(context, |py, hooks| {
            let event = (bytes(py, output), gas_used, failure.map(named));
            hooks.call_method1(py, "leave", event).map(drop)
        })
    }

    fn log(&self, context: &mut MachineContext, log: &Log) -> Heeded {
        self.tell(context, |py, hooks| {
            let topics = PyTuple::new(py, log.topics().iter().map(|topic| bytes(py, topic)))?;
            let event = (bytes(py, log.address), topics, bytes(py, &log.data.data));
            hooks.call_method1(py, "log", event).map(drop)
        })
    }

    fn step(
        &self,
        context: &mut MachineContext,
        interpreter: &Interpreter,
        depth: usize,
        before: Before,
        opcode: u8,
    ) -> Result<Py<Frame>, StateError> {
        let frame = Frame::next(interpreter, &self.window, depth, before, self.with_memory);
        let position = interpreter.bytecode.pc() - 1;
        self.tell(context, |py, hooks| {
            let frame = Py::new(py, frame)?;
            hooks.call_method1(py, "step", (&frame, position, opcode))?;
            Ok(frame)
        })
    }

    fn step_done(
        &self,
        context: &mut MachineContext,
        step: &Py<Frame>,
        cost: u64,
        error: Option<String>,
        refund: i64,
    ) -> Heeded {
        step.get().set_refund(refund);
        self.tell(context, |py, hooks| hooks.call_method1(py, "step_done", (step, cost, error)).map(drop))
    }

    fn failing(&self, interpreter: &Interpreter, depth: usize, before: Before) -> Result<Py<Frame>, StateError> {
        let frame = Frame::past(interpreter, &self.window, depth, before);
        Python::attach(|py| Py::new(py, frame)).map_err(StateError::Python)
    }

    /// The hooks work it out.
    fn step_failed(
        &self,
        context: &mut MachineContext,
        step: &Py<Frame>,
        opcode: u8,
        failure: Option<FrameFailure>,
    ) -> Result<FailedStep, StateError> {
        self.tell(context, |py, hooks| {
            let event = (step, opcode, failure.as_ref().map(named));
            let (cost, error, (kind, words), refund): (_, _, (String, _), _) =
                hooks.call_method1(py, "failed", event)?.extract(py)?;
            let kind = FailureKind::ALL.iter().find(|known| known.name() == kind);
            let kind = *kind.ok_or_else(|| PyValueError::new_err("not a kind of failure"))?;
            Ok(FailedStep { cost, error, failure: FrameFailure { kind, words }, refund })
        })
    }
}

/// A failure as Python takes it: its kind's name, and its words.
fn named(failure: &FrameFailure) -> (&'static str, Option<&str>) {
    (failure.kind.name(), failure.words.as_deref())
}
