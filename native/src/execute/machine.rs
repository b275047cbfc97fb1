//! revm, set up for one block: precompiles by fork row, an instruction table that can be stopped and heard, and one frame loop.

use crate::errors::{ExecutionError, StateError};
use crate::execute::deadline;
use crate::execute::precompiles::RowPrecompiles;
use crate::failures::FrameFailure;
use crate::fork::Fork;
use crate::view::{Source, StateView};
use revm::bytecode::opcode;
use revm::context::result::{EVMError, HaltReason, InvalidTransaction};
use revm::context::{
    BlockEnv, CfgEnv, Context, ContextError, Evm, FrameStack, Journal, JournalTr, LocalContextTr, TxEnv,
};
use revm::handler::instructions::EthInstructions;
use revm::handler::{
    EthFrame, EvmTr, FrameResult, Handler, ItemOrResult, PrecompileProvider, post_execution, pre_execution,
};
use revm::interpreter::gas::{JUMPDEST as JUMPDEST_GAS, KECCAK256 as KECCAK256_GAS, calculate_initial_tx_gas_for_tx};
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::interpreter_action::FrameInit;
use revm::interpreter::interpreter_types::{Jumps, LegacyBytecode};
use revm::interpreter::{
    CreateInputs, FrameInput, InitialAndFloorGas, Instruction, InstructionContext, InstructionResult, InstructionTable,
    Interpreter, InterpreterResult,
};
use revm::primitives::hardfork::SpecId;
use revm::primitives::{Address, Bytes, KECCAK_EMPTY};
use std::sync::Arc;

/// Its chain part is who listens.
pub type MachineContext = Context<BlockEnv, TxEnv, CfgEnv, Source, Journal<Source>, Option<Box<Heard>>>;
type Inner =
    Evm<MachineContext, (), EthInstructions<EthInterpreter, MachineContext>, RowPrecompiles, EthFrame<EthInterpreter>>;
pub type MachineError = EVMError<StateError, InvalidTransaction>;

/// How a transaction's frames ended.
pub struct FramesResult {
    pub result: InstructionResult,
    /// The bytes that the outermost frame returned, whether or not its changes were kept.
    pub returned: Bytes,
    pub created: Option<Address>,
    pub gas_used: u64,
    pub gas_refund: u64,
    pub gas_left: u64,
}

impl FramesResult {
    /// Of a transaction that fails before its first frame, and loses its gas.
    pub fn without_frames(gas: u64) -> Self {
        let (result, returned) = (InstructionResult::OutOfFunds, Bytes::new());
        Self { result, returned, created: None, gas_used: gas, gas_refund: 0, gas_left: 0 }
    }

    /// The output that counts: empty when the frame failed without reverting.
    pub fn output(&self) -> Bytes {
        if self.result.is_ok_or_revert() { self.returned.clone() } else { Bytes::new() }
    }
}

/// Hears of what a machine does in one transaction or call. An error of its ends the transaction.
///
/// While it is called, the context has no listener.
pub trait Listener: Send {
    /// The transaction in the context is about to be charged.
    fn begin(&mut self, context: &mut MachineContext, precompiles: &[Address]) -> Heeded;

    /// Everything is charged and refunded; `error` for a deposit that failed before it ran.
    fn end(&mut self, context: &mut MachineContext, gas_used: u64, error: Option<&str>) -> Heeded;

    /// Gas is refunded before the first frame (EIP-7702).
    fn refund(&mut self, refund: i64);

    /// A frame is about to open, or to fail in the attempt.
    fn enter(&mut self, context: &mut MachineContext, frame: &FrameInit) -> Heeded;

    /// The innermost frame has ended.
    fn leave(&mut self, context: &mut MachineContext, result: &FrameResult) -> Heeded;

    /// Run the next step of a frame, whose opcode is `instruction`.
    fn step(
        &mut self,
        context: &mut MachineContext,
        interpreter: &mut Interpreter,
        opcode: u8,
        instruction: MachineInstruction,
    ) -> Heeded;

    /// How the outermost frame failed.
    fn failure(&self) -> Option<&FrameFailure>;
}

pub type Heeded = Result<(), StateError>;
pub type MachineInstruction = Instruction<EthInterpreter, MachineContext>;

/// The tracer, and the opcode table without one.
pub struct Heard {
    listener: Box<dyn Listener>,
    instructions: Box<InstructionTable<EthInterpreter, MachineContext>>,
}

/// The virtual machine of one block. It holds reference-counted buffers that never leave it.
pub struct Machine(Inner);

// SAFETY: every Rc inside belongs to this machine alone, and whoever uses the machine holds it exclusively.
unsafe impl Send for Machine {}

impl Machine {
    pub fn new(view: Arc<dyn StateView>, fork: &Fork, chain_id: u64, block: BlockEnv) -> Self {
        let mut context: MachineContext = Context::new(Source::new(view), fork.spec);
        context.block = block;
        context.cfg.chain_id = chain_id;
        context.cfg.max_blobs_per_tx = fork.blobs.map(|blobs| blobs.max);
        // Transactions are checked before they get here; only what the opcodes ask of the configuration counts.
        context.cfg.disable_block_gas_limit = true;
        context.cfg.tx_gas_limit_cap = Some(u64::MAX);
        Self(Evm {
            ctx: context,
            inspector: (),
            instruction: EthInstructions::new_mainnet_with_spec(fork.spec),
            precompiles: RowPrecompiles::new(fork),
            frame_stack: FrameStack::new_prealloc(8),
        })
    }

    /// Run the transaction in the context, which has been charged: warm what is warm from the start, apply delegations, run the
    /// frames, grant refunds, raise the gas to its floor. `Timeout` past this thread's deadline.
    pub fn run(&mut self, mut initial: InitialAndFloorGas) -> Result<FramesResult, ExecutionError> {
        let evm = &mut self.0;
        let spec = *evm.ctx.cfg.spec();
        pre_execution::load_accounts::<_, MachineError>(evm)?;
        let refund = pre_execution::apply_eip7702_auth_list::<_, MachineError>(&mut evm.ctx, &mut initial)? as i64;
        if let Some(heard) = &mut evm.ctx.chain {
            heard.listener.refund(refund);
        }
        let frame = self.run_frames(&initial);
        if deadline::expired() {
            return Err(ExecutionError::Timeout);
        }
        let mut frame = frame?;
        post_execution::refund(spec, frame.gas_mut(), refund);
        let needed = frame.gas().limit() - frame.gas().remaining();
        if spec.is_enabled_in(SpecId::PRAGUE) {
            post_execution::eip7623_check_gas_floor(frame.gas_mut(), initial);
        }
        let gas = frame.gas();
        let gas_left = gas.remaining() + gas.refunded() as u64;
        let gas_used = gas.limit() - gas_left;
        let gas_refund = needed.saturating_sub(gas_used); // the floor of EIP-7623 takes back some of it
        let unborn = is_unborn(&frame);
        let created = match &frame {
            FrameResult::Create(outcome) => outcome.address,
            FrameResult::Call(_) => None,
        };
        let InterpreterResult { result, output: returned, .. } = frame.into_interpreter_result();
        let result = if unborn { InstructionResult::NonceOverflow } else { result };
        Ok(FramesResult { result, returned, created, gas_used, gas_refund, gas_left })
    }

    /// The gas of the result is the transaction's, without refunds granted yet.
    fn run_frames(&mut self, gas: &InitialAndFloorGas) -> Result<FrameResult, MachineError> {
        let result = FrameLoop.execution(&mut self.0, gas);
        let failed = std::mem::replace(&mut self.0.ctx.error, Ok(()));
        if let Err(error) = failed {
            return Err(error.into());
        }
        result
    }

    pub fn journal(&mut self) -> &mut Journal<Source> {
        &mut self.0.ctx.journaled_state
    }

    pub fn block(&self) -> &BlockEnv {
        &self.0.ctx.block
    }

    /// The transaction that `run` runs.
    pub fn transaction(&self) -> &TxEnv {
        &self.0.ctx.tx
    }

    pub fn set_transaction(&mut self, tx: TxEnv) {
        self.0.ctx.tx = tx;
    }

    /// Its gas before the first frame.
    pub fn initial_gas(&self) -> InitialAndFloorGas {
        calculate_initial_tx_gas_for_tx(&self.0.ctx.tx, *self.0.ctx.cfg.spec())
    }

    /// Let the account at `address` run its own code where a precompile would answer.
    pub fn replace_precompile(&mut self, address: Address) {
        self.0.precompiles.replace(address);
    }

    /// Look at the interpreter of the outermost frame, as its last step left it.
    pub fn look_at_outermost<T>(&mut self, look: impl FnOnce(&Interpreter) -> T) -> T {
        look(&self.0.frame_stack.start_init().get(EthFrame::invalid).interpreter)
    }

    /// Keep what the transaction did.
    pub fn commit(&mut self) {
        self.0.ctx.journaled_state.commit_tx();
        self.clear();
    }

    /// Undo what the transaction did.
    pub fn discard(&mut self) {
        self.0.ctx.journaled_state.discard_tx();
        self.clear();
    }

    fn clear(&mut self) {
        self.0.ctx.local.clear();
        self.0.frame_stack.clear();
    }

    /// Stop what runs past this thread's deadline; see `deadline.rs`.
    pub fn watch_deadline(&mut self) {
        let instructions = &mut self.0.instruction;
        instructions.insert_instruction(opcode::JUMPDEST, Instruction::new(deadline::jumpdest, JUMPDEST_GAS));
        instructions.insert_instruction(opcode::KECCAK256, Instruction::new(deadline::keccak256, KECCAK256_GAS));
    }

    // ---- listening --------------------------------------------------------------------------------------------------

    /// Call the tracer until `stop_listening`.
    pub fn listen(&mut self, listener: Box<dyn Listener>) {
        let table = &mut self.0.instruction.instruction_table;
        let instructions = table.clone();
        **table = [Instruction::new(heard_step, 0); 256];
        self.0.ctx.chain = Some(Box::new(Heard { listener, instructions }));
    }

    pub fn stop_listening(&mut self) {
        if let Some(heard) = self.0.ctx.chain.take() {
            self.0.instruction.instruction_table = heard.instructions;
        }
    }

    pub fn listener(&self) -> Option<&dyn Listener> {
        self.0.ctx.chain.as_deref().map(|heard| &*heard.listener)
    }

    /// Tell that the transaction in the context is about to be charged.
    pub fn begin(&mut self) -> Heeded {
        if self.0.ctx.chain.is_none() {
            return Ok(());
        }
        let precompiles: Vec<_> = PrecompileProvider::<MachineContext>::warm_addresses(&self.0.precompiles).collect();
        tell(&mut self.0.ctx, |listener, context| listener.begin(context, &precompiles))
    }

    /// Tell that everything is charged and refunded; `error` for a deposit that failed before it ran.
    pub fn end(&mut self, gas_used: u64, error: Option<&str>) -> Heeded {
        tell(&mut self.0.ctx, |listener, context| listener.end(context, gas_used, error))
    }
}

/// Whether a frame was to create a contract and did not open, since its creator has the last nonce (EIP-2681): revm calls that a
/// success without an address.
pub fn is_unborn(frame: &FrameResult) -> bool {
    matches!(frame, FrameResult::Create(outcome) if outcome.address.is_none() && outcome.result.result.is_ok())
}

/// Let the listener, if there is one, hear of something.
fn tell(context: &mut MachineContext, event: impl FnOnce(&mut dyn Listener, &mut MachineContext) -> Heeded) -> Heeded {
    let Some(mut heard) = context.chain.take() else { return Ok(()) };
    let told = event(&mut *heard.listener, context);
    context.chain = Some(heard);
    told
}

/// The instruction-table entry of every opcode while a tracer listens.
fn heard_step(step: InstructionContext<'_, MachineContext, EthInterpreter>) {
    let InstructionContext { interpreter, host } = step;
    let Some(mut heard) = host.chain.take() else { return };
    let position = interpreter.bytecode.pc() - 1;
    let opcode = interpreter.bytecode.bytecode_slice().get(position).copied().unwrap_or(opcode::STOP);
    let instruction = heard.instructions[usize::from(opcode)];
    let told = heard.listener.step(host, interpreter, opcode, instruction);
    host.chain = Some(heard);
    if let Err(error) = told {
        host.error = Err(ContextError::Db(error));
        interpreter.halt_fatal();
    }
}

/// revm's own frame loop; what comes before and after a transaction's frames is ours.
struct FrameLoop;

impl Handler for FrameLoop {
    type Evm = Inner;
    type Error = MachineError;
    type HaltReason = HaltReason;

    fn run_exec_loop(&mut self, evm: &mut Inner, first: FrameInit) -> Result<FrameResult, MachineError> {
        if let ItemOrResult::Result(result) = open(evm, first)? {
            return Ok(result);
        }
        loop {
            let result = match evm.frame_run()? {
                ItemOrResult::Result(result) => {
                    tell(&mut evm.ctx, |listener, context| listener.leave(context, &result))?;
                    result
                }
                ItemOrResult::Item(_) if deadline::passed() => return Err(EVMError::Custom("out of time".to_owned())),
                ItemOrResult::Item(next) => match open(evm, next)? {
                    ItemOrResult::Result(result) => result,
                    ItemOrResult::Item(_) => continue,
                },
            };
            if let Some(result) = evm.frame_return_result(result)? {
                return Ok(result);
            }
        }
    }
}

/// Open a frame, and let the listener know.
fn open(evm: &mut Inner, frame: FrameInit) -> Result<ItemOrResult<(), FrameResult>, MachineError> {
    tell(&mut evm.ctx, |listener, context| listener.enter(context, &frame))?;
    let opened = open_unless_occupied(evm, frame)?;
    if let ItemOrResult::Result(result) = &opened {
        tell(&mut evm.ctx, |listener, context| listener.leave(context, result))?;
    }
    Ok(opened)
}

/// A creation at an address with storage fails as at one with code (EIP-7610, which revm leaves out): for that
/// moment the account gets a nonce. Without code and nonce only a genesis leaves storage behind.
fn open_unless_occupied(evm: &mut Inner, frame: FrameInit) -> Result<ItemOrResult<(), FrameResult>, MachineError> {
    let occupied = match &frame.frame_input {
        FrameInput::Create(inputs) => occupied_by_storage(evm, inputs)?,
        _ => None,
    };
    let Some(address) = occupied else {
        return Ok(evm.frame_init(frame)?.map_item(|_| ()));
    };
    evm.ctx.journaled_state.load_account(address)?;
    set_nonce(evm, address, 1);
    let opened = evm.frame_init(frame)?.map_item(|_| ());
    set_nonce(evm, address, 0);
    Ok(opened)
}

/// Change a loaded account's nonce without a trace in the journal.
fn set_nonce(evm: &mut Inner, address: Address, nonce: u64) {
    if let Some(account) = evm.ctx.journaled_state.inner.state.get_mut(&address) {
        account.info.nonce = nonce;
    }
}

/// The address of a creation when nothing but storage is in its way.
fn occupied_by_storage(evm: &Inner, inputs: &CreateInputs) -> Result<Option<Address>, StateError> {
    let (journal, source) = (&evm.ctx.journaled_state.inner, &evm.ctx.journaled_state.database);
    let nonce = journal.state.get(&inputs.caller()).map_or(0, |caller| caller.info.nonce);
    let address = inputs.created_address(nonce);
    if source.gone.contains(&address) || journal.state.get(&address).is_some_and(|account| account.is_created()) {
        return Ok(None);
    }
    let bare = source.view.account(address)?.is_some_and(|found| found.nonce == 0 && found.code_hash == KECCAK_EMPTY);
    Ok((bare && source.view.has_storage(address)?).then_some(address))
}
