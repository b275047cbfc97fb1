//! Letting a tracer listen (`types.tracing.Tracer`, behind the hooks of `l2engine/evm/native_trace.py`).
//!
//! While one does, every opcode runs through `traced_step`, and the tracer hears of those that it asked for. Each step has a
//! checkpoint of its own, so that what a failed one was to cost can be told from the state before it. The order of events is
//! geth's: a step's cost is told before the frame that it opens.

use crate::errors::StateError;
use crate::failure;
use crate::live::{Before, Frame, Live, LiveState};
use crate::machine::{Machine, MachineContext, MachineError};
use crate::view::to_python;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use revm::bytecode::opcode::{LOG0, LOG4, SELFDESTRUCT, STOP};
use revm::context::{ContextError, JournalTr};
use revm::handler::FrameResult;
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::interpreter_action::FrameInit;
use revm::interpreter::interpreter_types::{InputsTr, Jumps, LegacyBytecode, LoopControl};
use revm::interpreter::{
    CallScheme, CreateScheme, FrameInput, Instruction, InstructionContext, InstructionResult, InstructionTable,
    Interpreter, InterpreterAction,
};
use revm::primitives::{Address, U256};
use std::sync::Arc;

type Table = InstructionTable<EthInterpreter, MachineContext>;

/// A tracer that listens to one transaction or call.
pub struct Session {
    hooks: Py<PyAny>,
    wanted: [bool; 256],
    with_memory: bool,
    live: Arc<Live>,
    instructions: Option<Box<Table>>,
    /// What the refund counters of the open frames' callers held, EIP-7702's before the first.
    refunds: Vec<i64>,
    /// The refund counter at the last step.
    pub refund: i64,
    /// How the last step failed, in geth's words.
    words: Option<String>,
    /// How the outermost frame failed.
    pub error: Option<String>,
}

impl Session {
    /// `hooks.steps` are the opcodes whose steps are told, `hooks.memory` is whether with the memory.
    pub fn new(hooks: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut wanted = [false; 256];
        for opcode in hooks.getattr("steps")?.extract::<Vec<u8>>()? {
            wanted[usize::from(opcode)] = true;
        }
        Ok(Self {
            wanted,
            with_memory: hooks.getattr("memory")?.extract()?,
            hooks: hooks.clone().unbind(),
            live: Arc::default(),
            instructions: None,
            refunds: Vec::new(),
            refund: 0,
            words: None,
            error: None,
        })
    }

    /// Tell what a step cost; `added` is what the refund counter shows on top.
    fn step_done(
        &self,
        py: Python<'_>,
        frame: &Py<Frame>,
        cost: u64,
        error: Option<String>,
        added: i64,
    ) -> PyResult<()> {
        frame.get().set_refund(self.refund + self.refunds.iter().sum::<i64>() + added);
        self.hooks.call_method1(py, "step_done", (frame, cost, error)).map(drop)
    }
}

impl Machine {
    /// Let a tracer listen until `unwatch`.
    pub fn watch(&mut self, mut session: Session) {
        let table = &mut self.0.instruction.instruction_table;
        session.instructions = Some(table.clone());
        **table = [Instruction::new(traced_step, 0); 256];
        self.0.ctx.chain = Some(Box::new(session));
    }

    /// The tracer hears no more.
    pub fn unwatch(&mut self) {
        if let Some(table) = self.0.ctx.chain.take().and_then(|session| session.instructions) {
            self.0.instruction.instruction_table = table;
        }
    }

    pub fn session(&mut self) -> Option<&mut Session> {
        self.0.ctx.chain.as_deref_mut()
    }
}

/// Tell the tracer something, if one listens; an exception of its ends the transaction.
fn tell<T>(
    context: &mut MachineContext,
    event: impl FnOnce(Python<'_>, &mut Session) -> PyResult<T>,
) -> Result<Option<T>, StateError> {
    let Some(mut session) = context.chain.take() else { return Ok(None) };
    let live = session.live.clone();
    let told = live.during(context, || Python::attach(|py| event(py, &mut session)));
    context.chain = Some(session);
    told.map(Some).map_err(StateError::Python)
}

fn bytes<'py>(py: Python<'py>, data: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, data)
}

/// A transaction or call is about to be charged: its sender, the account it calls or the one it creates, and its gas limit.
pub fn begin(
    context: &mut MachineContext,
    sender: Address,
    to: Option<Address>,
    gas: u64,
    authorities: &[Address],
    precompiles: &[Address],
) -> Result<(), StateError> {
    if context.chain.is_none() {
        return Ok(());
    }
    let nonce = context.journaled_state.load_account(sender)?.data.info.nonce;
    tell(context, |py, session| {
        let list = |addresses: &[Address]| PyTuple::new(py, addresses.iter().map(|who| bytes(py, who.as_slice())));
        let state = LiveState(session.live.clone());
        let target = to.unwrap_or_else(|| sender.create(nonce));
        let who = (bytes(py, sender.as_slice()), bytes(py, target.as_slice()), to.is_none(), gas);
        let event = (who.0, who.1, who.2, who.3, list(authorities)?, list(precompiles)?, state);
        session.hooks.call_method1(py, "begin", event).map(drop)
    })
    .map(drop)
}

/// Everything is charged and refunded; `error` for a deposit that failed before it ran.
pub fn end(context: &mut MachineContext, gas_used: u64, error: Option<&str>) -> Result<(), StateError> {
    tell(context, |py, session| session.hooks.call_method1(py, "end", (gas_used, error)).map(drop)).map(drop)
}

// ---- frames ---------------------------------------------------------------------------------------------------------

/// A frame is about to open, or to fail in the attempt.
pub fn enter(context: &mut MachineContext, frame: &FrameInit) -> Result<(), MachineError> {
    if context.chain.is_none() {
        return Ok(());
    }
    let (kind, sender, to, value, gas, data) = match &frame.frame_input {
        FrameInput::Call(inputs) => {
            let (kind, sender) = match inputs.scheme {
                CallScheme::Call => ("CALL", inputs.caller),
                CallScheme::CallCode => ("CALLCODE", inputs.caller),
                CallScheme::DelegateCall => ("DELEGATECALL", inputs.target_address),
                CallScheme::StaticCall => ("STATICCALL", inputs.caller),
            };
            let data = inputs.input.bytes(context);
            (kind, sender, inputs.bytecode_address, inputs.value.get(), inputs.gas_limit, data)
        }
        FrameInput::Create(inputs) => {
            let kind = if matches!(inputs.scheme(), CreateScheme::Create) { "CREATE" } else { "CREATE2" };
            let nonce = context.journaled_state.load_account(inputs.caller())?.data.info.nonce;
            let address = inputs.created_address(nonce);
            (kind, inputs.caller(), address, inputs.value(), inputs.gas_limit(), inputs.init_code().clone())
        }
        FrameInput::Empty => return Ok(()),
    };
    tell(context, |py, session| {
        session.refunds.push(session.refund);
        (session.refund, session.words) = (0, None);
        let (sender, to) = (bytes(py, sender.as_slice()), bytes(py, to.as_slice()));
        let event = (kind, sender, to, to_python(py, value)?, gas, bytes(py, &data));
        session.hooks.call_method1(py, "enter", event).map(drop)
    })?;
    Ok(())
}

/// The innermost frame has ended.
pub fn leave(context: &mut MachineContext, result: &FrameResult) -> Result<(), MachineError> {
    if context.chain.is_none() {
        return Ok(());
    }
    let ended = result.interpreter_result();
    let kept = ended.result.is_ok_or_revert();
    let unborn = matches!(result, FrameResult::Create(outcome) if outcome.address.is_none()) && ended.result.is_ok();
    tell(context, |py, session| {
        session.refunds.pop();
        let words = session.words.take();
        let error = if unborn {
            Some("nonce uint64 overflow".to_owned())
        } else if ended.result.is_ok() {
            None
        } else {
            words.or_else(|| failure::of_frame(ended.result, ended.output.len()))
        };
        let output = if kept { &ended.output[..] } else { &[] };
        let used = if kept { ended.gas.limit() - ended.gas.remaining() } else { ended.gas.limit() };
        session.hooks.call_method1(py, "leave", (bytes(py, output), used, error.as_deref()))?;
        session.error = error;
        Ok(())
    })?;
    Ok(())
}

// ---- steps ----------------------------------------------------------------------------------------------------------

/// What stands in the instruction table for every opcode while a tracer listens.
fn traced_step(context: InstructionContext<'_, MachineContext, EthInterpreter>) {
    let InstructionContext { interpreter, host } = context;
    if let Err(error) = trace_step(interpreter, host) {
        host.error = Err(ContextError::Db(error));
        interpreter.halt_fatal();
    }
}

fn trace_step(interpreter: &mut Interpreter, host: &mut MachineContext) -> Result<(), StateError> {
    let code = interpreter.bytecode.bytecode_slice();
    let (pc, has_code) = (interpreter.bytecode.pc() - 1, !code.is_empty());
    let opcode = code.get(pc).copied().unwrap_or(STOP);
    let Some(session) = host.chain.as_deref() else { return Ok(()) };
    let Some(instruction) = session.instructions.as_deref().map(|table| table[usize::from(opcode)]) else {
        return Ok(());
    };
    let before = Before::of(interpreter);
    let wanted = session.wanted[usize::from(opcode)] && has_code; // geth runs no step in an account without code
    let frame = if wanted {
        let frame = Frame::next(interpreter, &session.live, session.refunds.len(), before, session.with_memory);
        let frame = Python::attach(|py| Py::new(py, frame)).map_err(StateError::Python)?;
        tell(host, |py, session| session.hooks.call_method1(py, "step", (&frame, pc, opcode)).map(drop))?;
        Some(frame)
    } else {
        None
    };
    let destroyed = match opcode {
        SELFDESTRUCT => {
            let account = interpreter.input.target_address();
            let balance = host.journaled_state.load_account(account)?.data.info.balance;
            Some((account, Address::from_word(before.operands[0].into()), balance))
        }
        _ => None,
    };

    let checkpoint = host.journaled_state.checkpoint();
    if interpreter.gas.record_regular_cost(instruction.static_gas()) {
        instruction.execute(InstructionContext { interpreter: &mut *interpreter, host: &mut *host });
    } else {
        interpreter.halt_oog();
    }
    let mut handed_on = 0;
    match interpreter.bytecode.action() {
        Some(InterpreterAction::Return(ended)) if ended.result.is_error() => {
            let result = ended.result;
            host.journaled_state.checkpoint_revert(checkpoint);
            return step_failed(interpreter, host, before, frame, opcode, result);
        }
        // geth takes the gas of a creation only when its frame opens.
        Some(InterpreterAction::NewFrame(FrameInput::Create(inputs))) => handed_on = inputs.gas_limit(),
        _ => {}
    }
    host.journaled_state.checkpoint_commit();
    let refund = interpreter.gas.refunded();
    if let Some(session) = host.chain.as_deref_mut() {
        session.refund = refund;
    }
    if (LOG0..=LOG4).contains(&opcode) {
        log_emitted(host)?;
    }
    if let Some((from, to, balance)) = destroyed {
        self_destructed(host, from, to, balance)?;
    }
    if let Some(frame) = frame {
        let cost = before.gas - interpreter.gas.remaining() - handed_on;
        tell(host, |py, session| session.step_done(py, &frame, cost, None, 0))?;
    }
    Ok(())
}

fn log_emitted(context: &mut MachineContext) -> Result<(), StateError> {
    let Some(log) = context.journaled_state.inner.logs.last().cloned() else { return Ok(()) };
    tell(context, |py, session| {
        let topics = PyTuple::new(py, log.topics().iter().map(|topic| bytes(py, topic.as_slice())))?;
        let event = (bytes(py, log.address.as_slice()), topics, bytes(py, &log.data.data));
        session.hooks.call_method1(py, "log", event).map(drop)
    })
    .map(drop)
}

/// SELFDESTRUCT is told as a frame of its own.
fn self_destructed(context: &mut MachineContext, from: Address, to: Address, balance: U256) -> Result<(), StateError> {
    tell(context, |py, session| {
        let (from, to) = (bytes(py, from.as_slice()), bytes(py, to.as_slice()));
        let event = ("SELFDESTRUCT", from, to, to_python(py, balance)?, 0, bytes(py, b""));
        session.hooks.call_method1(py, "enter", event)?;
        session.hooks.call_method1(py, "leave", (bytes(py, b""), 0, None::<&str>)).map(drop)
    })
    .map(drop)
}

/// The hooks work out what the step was to cost and how geth words its failure.
fn step_failed(
    interpreter: &Interpreter,
    context: &mut MachineContext,
    before: Before,
    wanted: Option<Py<Frame>>,
    opcode: u8,
    result: InstructionResult,
) -> Result<(), StateError> {
    if result == InstructionResult::FatalExternalError {
        return Ok(());
    }
    tell(context, |py, session| {
        session.refund = interpreter.gas.refunded();
        let told = wanted.is_some();
        let frame = match wanted {
            Some(frame) => frame,
            None => Py::new(py, Frame::past(interpreter, &session.live, session.refunds.len(), before))?,
        };
        let ours = failure::of_frame(result, 0);
        let (cost, step_error, words, added): (u64, Option<String>, String, i64) =
            session.hooks.call_method1(py, "failed", (&frame, opcode, ours))?.extract(py)?;
        session.words = Some(words);
        if told { session.step_done(py, &frame, cost, step_error, added) } else { Ok(()) }
    })
    .map(drop)
}
