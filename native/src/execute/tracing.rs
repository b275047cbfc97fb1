//! Letting a tracer listen (`types.tracing.Tracer`, behind `python/tracer.rs`).
//!
//! While one does, every opcode runs through `Listener::step`, and the tracer hears of those that it asked for. Each step has a
//! checkpoint of its own, so that the cost of a failed step can be computed from the state before it. The order of events is
//! geth's: a step's cost comes before the frame that it opens.

use crate::errors::StateError;
use crate::execute::frame_failure;
use crate::execute::machine::{Heeded, Listener, MachineContext, MachineInstruction, is_unborn};
use crate::failures::{FailureKind, FrameFailure};
use revm::bytecode::opcode::{LOG0, LOG4, SELFDESTRUCT};
use revm::context::JournalTr;
use revm::context::transaction::AuthorizationTr;
use revm::handler::FrameResult;
use revm::interpreter::interpreter_action::FrameInit;
use revm::interpreter::interpreter_types::{InputsTr, LegacyBytecode, LoopControl, MemoryTr};
use revm::interpreter::{
    CallScheme, CreateScheme, FrameInput, InstructionContext, InstructionResult, Interpreter, InterpreterAction,
};
use revm::primitives::{Address, Bytes, Log, U256};

/// A transaction or call that is about to be charged.
pub struct Beginning {
    pub sender: Address,
    /// The account that is called, or the one that is created.
    pub target: Address,
    pub creates: bool,
    pub gas: u64,
    /// The signers of its EIP-7702 tuples.
    pub authorities: Vec<Address>,
}

/// A frame that is about to open.
pub struct Opening {
    /// The opcode that opens it.
    pub kind: &'static str,
    pub sender: Address,
    pub to: Address,
    pub value: U256,
    pub gas: u64,
    pub data: Bytes,
}

/// The cost of a failed step, and how it failed.
pub struct FailedStep {
    pub cost: u64,
    pub error: Option<String>,
    /// How the frame fails with it.
    pub failure: FrameFailure,
    /// Added to the refund counter that a trace shows.
    pub refund: i64,
}

/// A listener to frames and steps, which may read the context meanwhile.
pub trait Tracer: Send {
    /// A step that the tracer has heard of.
    type Step;

    /// Whether it wants to hear of an opcode's steps.
    fn wants(&self, opcode: u8) -> bool;
    fn begin(&self, context: &mut MachineContext, tx: Beginning, precompiles: &[Address]) -> Heeded;
    fn end(&self, context: &mut MachineContext, gas_used: u64, error: Option<&str>) -> Heeded;
    fn enter(&self, context: &mut MachineContext, frame: Opening) -> Heeded;
    fn leave(
        &self,
        context: &mut MachineContext,
        output: &[u8],
        gas_used: u64,
        failure: Option<&FrameFailure>,
    ) -> Heeded;
    fn log(&self, context: &mut MachineContext, log: &Log) -> Heeded;

    /// The next step of a frame.
    fn step(
        &self,
        context: &mut MachineContext,
        interpreter: &Interpreter,
        depth: usize,
        before: Before,
        opcode: u8,
    ) -> Result<Self::Step, StateError>;

    /// The cost of a step; `refund` is the transaction's counter by now.
    fn step_done(
        &self,
        context: &mut MachineContext,
        step: &Self::Step,
        cost: u64,
        error: Option<String>,
        refund: i64,
    ) -> Heeded;

    /// A step that has failed, and of which the tracer has not heard.
    fn failing(&self, interpreter: &Interpreter, depth: usize, before: Before) -> Result<Self::Step, StateError>;

    /// Work out what a failed step was to cost; `failure` is what revm's result means, as far as the step does not matter.
    fn step_failed(
        &self,
        context: &mut MachineContext,
        step: &Self::Step,
        opcode: u8,
        failure: Option<FrameFailure>,
    ) -> Result<FailedStep, StateError>;
}

/// The state of a frame before one of its steps, as far as the step may change it.
#[derive(Clone, Copy)]
pub struct Before {
    pub gas: u64,
    pub height: usize,
    pub memory_size: usize,
    /// The topmost items of the stack, the top first: no opcode takes more.
    pub operands: [U256; 7],
}

impl Before {
    fn of(interpreter: &Interpreter) -> Self {
        let stack = interpreter.stack.data();
        let mut operands = [U256::ZERO; 7];
        operands.iter_mut().zip(stack.iter().rev()).for_each(|(operand, item)| *operand = *item);
        let memory_size = MemoryTr::size(&interpreter.memory);
        Self { gas: interpreter.gas.remaining(), height: stack.len(), memory_size, operands }
    }
}

/// A tracer that listens to one transaction or call.
pub struct Session<T> {
    tracer: T,
    /// The refund counters of the open frames' callers, EIP-7702's before the first.
    refunds: Vec<i64>,
    /// The refund counter at the last step.
    refund: i64,
    /// How the last step failed.
    failed_step: Option<FrameFailure>,
    /// How the outermost frame failed.
    failure: Option<FrameFailure>,
}

impl<T: Tracer> Session<T> {
    pub fn new(tracer: T) -> Self {
        Self { tracer, refunds: Vec::new(), refund: 0, failed_step: None, failure: None }
    }

    /// The refund counter of the whole transaction.
    fn total_refund(&self) -> i64 {
        self.refund + self.refunds.iter().sum::<i64>()
    }

    /// SELFDESTRUCT is reported as a frame of its own.
    fn self_destructed(&self, context: &mut MachineContext, from: Address, to: Address, value: U256) -> Heeded {
        let frame = Opening { kind: "SELFDESTRUCT", sender: from, to, value, gas: 0, data: Bytes::new() };
        self.tracer.enter(context, frame)?;
        self.tracer.leave(context, &[], 0, None)
    }

    fn step_failed(
        &mut self,
        context: &mut MachineContext,
        interpreter: &Interpreter,
        before: Before,
        heard: Option<T::Step>,
        opcode: u8,
        result: InstructionResult,
    ) -> Heeded {
        if result == InstructionResult::FatalExternalError {
            return Ok(());
        }
        self.refund = interpreter.gas.refunded();
        let was_heard = heard.is_some();
        let step = match heard {
            Some(step) => step,
            None => self.tracer.failing(interpreter, self.refunds.len(), before)?,
        };
        let failed = self.tracer.step_failed(context, &step, opcode, frame_failure::of_frame(result, 0))?;
        self.failed_step = Some(failed.failure);
        if was_heard {
            let refund = self.total_refund() + failed.refund;
            self.tracer.step_done(context, &step, failed.cost, failed.error, refund)?;
        }
        Ok(())
    }
}

impl<T: Tracer> Listener for Session<T> {
    fn begin(&mut self, context: &mut MachineContext, precompiles: &[Address]) -> Heeded {
        let (sender, gas, kind) = (context.tx.caller, context.tx.gas_limit, context.tx.kind);
        let authorities = context.tx.authorization_list.iter().filter_map(|item| item.authority()).collect();
        let nonce = context.journaled_state.load_account(sender)?.data.info.nonce;
        let target = kind.to().copied().unwrap_or_else(|| sender.create(nonce));
        let tx = Beginning { sender, target, creates: kind.is_create(), gas, authorities };
        self.tracer.begin(context, tx, precompiles)
    }

    fn end(&mut self, context: &mut MachineContext, gas_used: u64, error: Option<&str>) -> Heeded {
        self.tracer.end(context, gas_used, error)
    }

    fn refund(&mut self, refund: i64) {
        self.refund = refund;
    }

    fn failure(&self) -> Option<&FrameFailure> {
        self.failure.as_ref()
    }

    fn enter(&mut self, context: &mut MachineContext, frame: &FrameInit) -> Heeded {
        let Some(frame) = opening(context, frame)? else { return Ok(()) };
        self.refunds.push(self.refund);
        (self.refund, self.failed_step) = (0, None);
        self.tracer.enter(context, frame)
    }

    fn leave(&mut self, context: &mut MachineContext, result: &FrameResult) -> Heeded {
        let ended = result.interpreter_result();
        let kept = ended.result.is_ok_or_revert();
        self.refunds.pop();
        let failed_step = self.failed_step.take();
        let failure = if is_unborn(result) {
            Some(FailureKind::NonceOverflow.into())
        } else if ended.result.is_ok() {
            None
        } else {
            failed_step.or_else(|| frame_failure::of_frame(ended.result, ended.output.len()))
        };
        let output = if kept { &ended.output[..] } else { &[] };
        let used = if kept { ended.gas.limit() - ended.gas.remaining() } else { ended.gas.limit() };
        self.tracer.leave(context, output, used, failure.as_ref())?;
        self.failure = failure;
        Ok(())
    }

    fn step(
        &mut self,
        context: &mut MachineContext,
        interpreter: &mut Interpreter,
        opcode: u8,
        instruction: MachineInstruction,
    ) -> Heeded {
        let before = Before::of(interpreter);
        let has_code = !interpreter.bytecode.bytecode_slice().is_empty(); // geth runs no step in an account without code
        let heard = match self.tracer.wants(opcode) && has_code {
            true => Some(self.tracer.step(context, interpreter, self.refunds.len(), before, opcode)?),
            false => None,
        };
        let destroyed = match opcode {
            SELFDESTRUCT => {
                let account = interpreter.input.target_address();
                let balance = context.journaled_state.load_account(account)?.data.info.balance;
                Some((account, Address::from_word(before.operands[0].into()), balance))
            }
            _ => None,
        };

        let checkpoint = context.journaled_state.checkpoint();
        if interpreter.gas.record_regular_cost(instruction.static_gas()) {
            instruction.execute(InstructionContext { interpreter: &mut *interpreter, host: &mut *context });
        } else {
            interpreter.halt_oog();
        }
        let mut handed_on = 0;
        match interpreter.bytecode.action() {
            Some(InterpreterAction::Return(ended)) if ended.result.is_error() => {
                let result = ended.result;
                context.journaled_state.checkpoint_revert(checkpoint);
                return self.step_failed(context, interpreter, before, heard, opcode, result);
            }
            // geth takes the gas of a creation only when its frame opens.
            Some(InterpreterAction::NewFrame(FrameInput::Create(inputs))) => handed_on = inputs.gas_limit(),
            _ => {}
        }
        context.journaled_state.checkpoint_commit();
        self.refund = interpreter.gas.refunded();
        if (LOG0..=LOG4).contains(&opcode)
            && let Some(log) = context.journaled_state.inner.logs.last().cloned()
        {
            self.tracer.log(context, &log)?;
        }
        if let Some((from, to, balance)) = destroyed {
            self.self_destructed(context, from, to, balance)?;
        }
        if let Some(step) = heard {
            let cost = before.gas - interpreter.gas.remaining() - handed_on;
            self.tracer.step_done(context, &step, cost, None, self.total_refund())?;
        }
        Ok(())
    }
}

/// The frame's task; None for a frame that does nothing.
fn opening(context: &mut MachineContext, frame: &FrameInit) -> Result<Option<Opening>, StateError> {
    Ok(Some(match &frame.frame_input {
        FrameInput::Call(inputs) => {
            let (kind, sender) = match inputs.scheme {
                CallScheme::Call => ("CALL", inputs.caller),
                CallScheme::CallCode => ("CALLCODE", inputs.caller),
                CallScheme::DelegateCall => ("DELEGATECALL", inputs.target_address),
                CallScheme::StaticCall => ("STATICCALL", inputs.caller),
            };
            let data = inputs.input.bytes(context);
            let (to, value, gas) = (inputs.bytecode_address, inputs.value.get(), inputs.gas_limit);
            Opening { kind, sender, to, value, gas, data }
        }
        FrameInput::Create(inputs) => {
            let kind = if matches!(inputs.scheme(), CreateScheme::Create) { "CREATE" } else { "CREATE2" };
            let sender = inputs.caller();
            let nonce = context.journaled_state.load_account(sender)?.data.info.nonce;
            let (to, value, gas) = (inputs.created_address(nonce), inputs.value(), inputs.gas_limit());
            Opening { kind, sender, to, value, gas, data: inputs.init_code().clone() }
        }
        FrameInput::Empty => return Ok(None),
    }))
}
