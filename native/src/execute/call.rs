//! Message calls that pay nothing: eth_call and eth_estimateGas, with state overrides. Nothing is kept.

use crate::errors::{ExecutionError, refuse};
use crate::execute::block::BlockExecution;
use crate::execute::checks;
use crate::execute::deadline::with_deadline;
use crate::execute::frame_failure;
use crate::execute::machine::{FramesResult, Listener};
use crate::execute::moment::Moment;
use crate::execute::phases::{Phases, Plan, raise_nonce};
use crate::execute::transaction::GAS_PER_BLOB;
use crate::failures::FrameFailure;
use crate::fork::{self, Fork};
use crate::view::{StateView, analyse};
use revm::context::either::Either;
use revm::context::journaled_state::account::JournaledAccountTr;
use revm::context::transaction::{AccessList, AccessListItem, RecoveredAuthorization};
use revm::context::{BlockEnv, JournalTr, TxEnv};
use revm::primitives::hardfork::SpecId;
use revm::primitives::{Address, B256, Bytes, HashMap, Log, TxKind, U256};
use revm::state::EvmStorageSlot;
use std::mem::take;
use std::sync::Arc;

/// A `types.execution.Call`.
pub struct CallMessage {
    pub sender: Address,
    pub to: Option<Address>,
    pub gas: u64,
    pub gas_price: U256,
    pub max_fee: Option<U256>,
    pub max_priority_fee: Option<U256>,
    pub value: U256,
    pub data: Bytes,
    pub access_list: Vec<(Address, Vec<B256>)>,
    pub authorizations: Vec<RecoveredAuthorization>,
    pub max_fee_per_blob_gas: U256,
    pub blob_hashes: Vec<B256>,
    pub nonce: Option<u64>,
}

/// A `types.execution.AccountOverride`.
#[derive(Default)]
pub struct Override {
    pub nonce: Option<u64>,
    pub balance: Option<U256>,
    pub code: Option<Bytes>,
    pub state: Option<Vec<(U256, U256)>>,
    pub state_diff: Option<Vec<(U256, U256)>>,
}

/// How a call ended.
pub struct CallOutcome {
    pub failure: Option<FrameFailure>,
    pub output: Bytes,
    pub gas_used: u64,
    pub gas_refund: u64,
    pub created: Option<Address>,
    pub logs: Vec<Log>,
}

/// Run one call on the state after a block.
#[allow(clippy::too_many_arguments)]
pub fn run(
    view: Arc<dyn StateView>,
    fork: Fork,
    chain_id: u64,
    mut block: BlockEnv,
    message: CallMessage,
    overrides: Vec<(Address, Override)>,
    deadline: Option<Arc<Moment>>,
    listener: Option<Box<dyn Listener>>,
) -> Result<CallOutcome, ExecutionError> {
    let base_fee = U256::from(block.basefee);
    let price = match message.max_fee {
        Some(max_fee) => max_fee.min(base_fee.saturating_add(message.max_priority_fee.unwrap_or_default())),
        None => message.gas_price,
    };
    let fee_cap = message.max_fee.unwrap_or(message.gas_price);
    let tip_cap = message.max_priority_fee.unwrap_or(message.gas_price);
    checks::tip_within_fee(message.sender, tip_cap, fee_cap)?;
    if price.is_zero() {
        block.basefee = 0; // as geth: otherwise a call for free would break what contracts may assume of BASEFEE
    } else {
        checks::fee_covers_base_fee(message.sender, fee_cap, base_fee)?;
    }
    let mut execution = BlockExecution::new(view, fork, chain_id, block, HashMap::default());
    for (address, change) in overrides {
        apply_override(&mut execution, address, change)?;
    }
    execution.machine.commit();
    if deadline.is_some() {
        execution.machine.watch_deadline();
    }
    if let Some(listener) = listener {
        execution.machine.listen(listener);
    }
    let mut phases = Message { message, price, fee_cap, blob_fee: U256::ZERO };
    let (ran, _) = with_deadline(deadline, || execution.run(&mut phases))?;
    let logs = execution.machine.journal().take_logs();
    let success = ran.result.is_ok();
    let failure = match execution.machine.listener() {
        Some(listener) => listener.failure().cloned(),
        None => frame_failure::of_call(&ran, &execution.fork, &mut execution.machine),
    };
    Ok(CallOutcome {
        failure,
        output: ran.output(),
        gas_used: ran.gas_used,
        gas_refund: ran.gas_refund,
        created: ran.created.filter(|_| success),
        logs: if success { logs } else { Vec::new() },
    })
}

/// The phases of one call: it has no signature, and only a tracer sees the final payments.
struct Message {
    message: CallMessage,
    price: U256,
    fee_cap: U256,
    /// What its blobs cost, known when the call is found valid.
    blob_fee: U256,
}

impl Phases for Message {
    fn validate(&mut self, execution: &mut BlockExecution) -> Result<Plan, ExecutionError> {
        let most_for_blobs = self.validate_blobs(execution)?;
        let Self { message, price, fee_cap, .. } = self;
        let (sender, gas, value) = (message.sender, message.gas, message.value);
        let (nonce, balance) = {
            let info = &execution.machine.journal().load_account(sender)?.data.info;
            (info.nonce, info.balance)
        };
        let bought = U256::from(gas).checked_mul(*fee_cap);
        let want = bought.zip(most_for_blobs).and_then(|(gas, blobs)| gas.checked_add(blobs)?.checked_add(value));
        execution.machine.set_transaction(message.take_env(nonce, *price));
        if message.to.is_none() && !execution.machine.transaction().authorization_list.is_empty() {
            return refuse!(AuthorizationsCreate, address = sender);
        }
        checks::funds(sender, balance, want)?;
        let initial = execution.machine.initial_gas();
        checks::enough_gas(gas, &initial)?;
        let data_length = execution.machine.transaction().data.len();
        if checks::too_much_initcode(&execution.fork, message.to.is_none(), data_length) {
            checks::initcode_too_long(data_length)?;
        }
        Ok(Plan { sender, gas, price: *price, initial })
    }

    fn charge(&mut self, execution: &mut BlockExecution, plan: &Plan) -> Result<bool, ExecutionError> {
        let mut account = execution.machine.journal().load_account_mut(plan.sender)?.data;
        let left = *account.balance() - U256::from(plan.gas) * plan.price - self.blob_fee;
        account.set_balance(left);
        if self.message.to.is_some() {
            raise_nonce(&mut account); // a creation's first frame does it
        }
        Ok(true)
    }

    fn settle(
        &mut self,
        execution: &mut BlockExecution,
        plan: &Plan,
        ran: &FramesResult,
    ) -> Result<u64, ExecutionError> {
        if execution.machine.listener().is_some() {
            execution.credit(plan.sender, U256::from(plan.gas - ran.gas_used) * plan.price)?;
            let block = execution.machine.block();
            let (beneficiary, used) = (block.beneficiary, U256::from(ran.gas_used));
            let base_fee = U256::from(block.basefee); // 0 when the call has no price
            execution.credit(beneficiary, used * plan.price.saturating_sub(base_fee))?;
            if execution.fork.is_optimism {
                execution.credit(fork::BASE_FEE_VAULT, used * base_fee)?;
            }
        }
        Ok(ran.gas_used)
    }
}

impl Message {
    /// Check the blobs of a call, and find what they cost; the answer is what they may cost at most. Without a fee they are free.
    fn validate_blobs(&mut self, execution: &BlockExecution) -> Result<Option<U256>, ExecutionError> {
        let (message, fork) = (&self.message, &execution.fork);
        if message.blob_hashes.is_empty() {
            return Ok(Some(U256::ZERO));
        }
        if message.to.is_none() {
            return refuse!(BlobsCreate);
        }
        checks::blob_hashes(fork, &message.blob_hashes)?;
        let most = message.max_fee_per_blob_gas;
        if most.is_zero() || !fork.has(SpecId::CANCUN) {
            return Ok(Some(U256::ZERO));
        }
        checks::fee_covers_blob_fee(message.sender, most, execution.blob_price())?;
        let gas = U256::from(message.blob_hashes.len() as u64 * GAS_PER_BLOB);
        self.blob_fee = gas * execution.blob_price();
        Ok(gas.checked_mul(most))
    }
}

impl CallMessage {
    /// The call as revm sees it, with the long parts moved there.
    fn take_env(&mut self, nonce: u64, price: U256) -> TxEnv {
        let access_list = take(&mut self.access_list).into_iter();
        TxEnv {
            tx_type: if self.authorizations.is_empty() { 2 } else { 4 },
            caller: self.sender,
            gas_limit: self.gas,
            gas_price: price.saturating_to(),
            kind: self.to.map_or(TxKind::Create, TxKind::Call),
            value: self.value,
            data: take(&mut self.data),
            nonce: self.nonce.unwrap_or(nonce),
            chain_id: None,
            access_list: AccessList(
                access_list.map(|(address, storage_keys)| AccessListItem { address, storage_keys }).collect(),
            ),
            gas_priority_fee: None,
            blob_hashes: take(&mut self.blob_hashes),
            max_fee_per_blob_gas: 0,
            authorization_list: take(&mut self.authorizations).into_iter().map(Either::Right).collect(),
        }
    }
}

fn apply_override(execution: &mut BlockExecution, address: Address, change: Override) -> Result<(), ExecutionError> {
    execution.machine.replace_precompile(address);
    let journal = execution.machine.journal();
    {
        let mut account = journal.load_account_mut(address)?.data;
        if let Some(nonce) = change.nonce {
            account.set_nonce(nonce);
        }
        if let Some(balance) = change.balance {
            account.set_balance(balance);
        }
        if let Some(code) = change.code {
            account.set_code_and_hash_slow(analyse(code));
        }
    }
    let id = journal.inner.transaction_id;
    let Some(account) = journal.inner.state.get_mut(&address) else { return Ok(()) };
    if let Some(state) = change.state {
        account.storage.clear();
        account.mark_created(); // so that no slot is looked up below
        account.storage.extend(state.into_iter().map(|(slot, value)| (slot, EvmStorageSlot::new(value, id))));
    }
    let diff = change.state_diff.into_iter().flatten();
    account.storage.extend(diff.map(|(slot, value)| (slot, EvmStorageSlot::new(value, id))));
    Ok(())
}
