//! revm, set up for one block: precompiles by fork row, an instruction table that can be stopped, and one frame loop.

use crate::fork::Fork;
use crate::tracing::{self, Session};
use crate::view::{Source, StateView};
use revm::bytecode::opcode;
use revm::context::result::{EVMError, HaltReason, InvalidTransaction};
use revm::context::{BlockEnv, CfgEnv, Context, Evm, FrameStack, Journal, JournalTr, LocalContextTr, TxEnv};
use revm::handler::instructions::EthInstructions;
use revm::handler::{
    EthFrame, EvmTr, FrameResult, Handler, ItemOrResult, PrecompileProvider, precompile_output_to_interpreter_result,
};
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::interpreter_action::FrameInit;
use revm::interpreter::{
    CallInputs, CreateInputs, FrameInput, Gas, InitialAndFloorGas, InstructionContext, InstructionResult,
    InterpreterResult,
};
use revm::precompile::Precompiles;
use revm::primitives::hardfork::SpecId;
use revm::primitives::{Address, AddressMap, KECCAK_EMPTY};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use crate::errors::StateError;

/// Its chain part is the tracer that listens.
pub type MachineContext = Context<BlockEnv, TxEnv, CfgEnv, Source, Journal<Source>, Option<Box<Session>>>;
type Inner =
    Evm<MachineContext, (), EthInstructions<EthInterpreter, MachineContext>, RowPrecompiles, EthFrame<EthInterpreter>>;
pub type MachineError = EVMError<StateError, InvalidTransaction>;

/// The virtual machine of one block. It holds reference-counted buffers that never leave it.
pub struct Machine(pub Inner);

// SAFETY: every Rc inside belongs to this machine alone, and whoever uses the machine holds it exclusively.
unsafe impl Send for Machine {}

impl Machine {
    pub fn new(view: Arc<dyn StateView>, fork: &Fork, chain_id: u64, block: BlockEnv) -> Self {
        let mut context: MachineContext = Context::new(Source::new(view), fork.spec);
        context.block = block;
        context.cfg.chain_id = chain_id;
        context.cfg.max_blobs_per_tx = fork.blobs.map(|(max, _)| max);
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

    /// Run the frames of the transaction in the context; the gas of the result is the transaction's, without refunds granted yet.
    pub fn run(&mut self, gas: &InitialAndFloorGas) -> Result<FrameResult, MachineError> {
        let result = Frames.execution(&mut self.0, gas);
        let failed = std::mem::replace(&mut self.0.ctx.error, Ok(()));
        if let Err(error) = failed {
            return Err(error.into());
        }
        result
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

    /// Stop calls that run longer than a moment from now on; see `deadline`.
    pub fn watch_deadline(&mut self) {
        self.0.instruction.insert_instruction(
            opcode::JUMPDEST,
            revm::interpreter::Instruction::new(jumpdest_with_deadline, revm::interpreter::gas::JUMPDEST),
        );
    }
}

/// revm's own frame loop; all that comes before and after a transaction's frames is `execution.rs`'s.
struct Frames;

impl Handler for Frames {
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
                    tracing::leave(&mut evm.ctx, &result)?;
                    result
                }
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

/// Open a frame, and let the tracer know.
fn open(evm: &mut Inner, frame: FrameInit) -> Result<ItemOrResult<(), FrameResult>, MachineError> {
    tracing::enter(&mut evm.ctx, &frame)?;
    let opened = open_unless_occupied(evm, frame)?;
    if let ItemOrResult::Result(result) = &opened {
        tracing::leave(&mut evm.ctx, result)?;
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

thread_local! {
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
    static COUNTDOWN: Cell<u32> = const { Cell::new(0) };
    static EXPIRED: Cell<bool> = const { Cell::new(false) };
}

const JUMPS_BETWEEN_LOOKS: u32 = 2_048;

/// Run `work` with a deadline for this thread; the second answer tells whether it has passed.
pub fn with_deadline<T>(deadline: Option<Instant>, work: impl FnOnce() -> T) -> (T, bool) {
    DEADLINE.set(deadline);
    COUNTDOWN.set(JUMPS_BETWEEN_LOOKS);
    EXPIRED.set(false);
    let result = work();
    DEADLINE.set(None);
    (result, EXPIRED.replace(false))
}

/// Whether the deadline of this thread's work has passed.
pub fn expired() -> bool {
    EXPIRED.get()
}

/// JUMPDEST is in every loop, so this is where a deadline can stop them.
fn jumpdest_with_deadline(context: InstructionContext<'_, MachineContext, EthInterpreter>) {
    let left = COUNTDOWN.get();
    if left > 0 && !EXPIRED.get() {
        COUNTDOWN.set(left - 1);
        return;
    }
    COUNTDOWN.set(JUMPS_BETWEEN_LOOKS);
    if EXPIRED.get() || DEADLINE.get().is_some_and(|deadline| Instant::now() >= deadline) {
        EXPIRED.set(true);
        context.interpreter.halt(InstructionResult::OutOfGas);
    }
}

/// The precompiles of a fork row, with its limits on input lengths and the moves that eth_call's overrides ask for.
pub struct RowPrecompiles {
    table: Arc<Precompiles>,
    limits: Arc<Vec<(Address, usize)>>,
    /// New address to old; an old address that is moved away maps to nothing.
    moved: AddressMap<Option<Address>>,
    spec_was_set: bool,
}

impl RowPrecompiles {
    fn new(fork: &Fork) -> Self {
        Self {
            table: fork.precompiles.clone(),
            limits: fork.input_limits.clone(),
            moved: AddressMap::default(),
            spec_was_set: false,
        }
    }

    /// Let the precompile at `from` answer at `to` instead.
    pub fn relocate(&mut self, from: Address, to: Address) {
        self.moved.insert(from, None);
        self.moved.insert(to, Some(from));
    }

    fn real_address(&self, address: &Address) -> Option<Address> {
        if self.moved.is_empty() {
            return Some(*address);
        }
        self.moved.get(address).copied().unwrap_or(Some(*address))
    }
}

impl PrecompileProvider<MachineContext> for RowPrecompiles {
    type Output = InterpreterResult;

    fn set_spec(&mut self, _: SpecId) -> bool {
        !std::mem::replace(&mut self.spec_was_set, true)
    }

    fn run(&mut self, context: &mut MachineContext, inputs: &CallInputs) -> Result<Option<InterpreterResult>, String> {
        let Some(address) = self.real_address(&inputs.bytecode_address) else { return Ok(None) };
        let Some(precompile) = self.table.get(&address) else { return Ok(None) };
        let input = inputs.input.as_bytes(context);
        if self.limits.iter().any(|(limited, limit)| *limited == address && input.len() > *limit) {
            let mut gas = Gas::new(inputs.gas_limit);
            gas.spend_all();
            return Ok(Some(InterpreterResult {
                result: InstructionResult::PrecompileError,
                gas,
                output: Default::default(),
            }));
        }
        let output =
            precompile.execute(&input, inputs.gas_limit, inputs.reservoir).map_err(|error| error.to_string())?;
        Ok(Some(precompile_output_to_interpreter_result(output, inputs.gas_limit)))
    }

    fn warm_addresses(&self) -> Box<impl Iterator<Item = Address>> {
        let moved = &self.moved;
        let kept = self.table.addresses().copied().filter(|address| !moved.contains_key(address));
        Box::new(kept.chain(moved.iter().filter_map(|(to, from)| from.map(|_| *to))))
    }

    fn contains(&self, address: &Address) -> bool {
        self.real_address(address).is_some_and(|real| self.table.contains(&real))
    }
}
