//! Execution as Python sees it: blocks and calls. Bytes in, tuples and bytes out; long work runs without the GIL.

use crate::call::{self, CallOutcome};
use crate::convert::{account_tuple, address, block_env, logs_tuple, message, override_of, receipt_tuple, view_of};
use crate::diff::StateDiff;
use crate::errors::ExecutionError;
use crate::execution::{BlockExecution, Outcome};
use crate::fork::Fork;
use crate::machine::with_deadline;
use crate::receipt::{BLOOM_BYTES, Receipt};
use crate::rlp;
use crate::schema;
use crate::tracing::Session;
use crate::transaction::{self, Recovered, Recovery};
use crate::trie;
use crate::view::{to_python, uint};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};
use rayon::prelude::*;
use revm::primitives::{Address, B256, Bytes, HashSet, keccak256};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

fn instant(seconds: Option<f64>) -> Option<Instant> {
    seconds.map(|seconds| Instant::now() + Duration::from_secs_f64(seconds.max(0.0)))
}

/// A block under execution.
#[pyclass(frozen, module = "l2engine_native")]
pub struct Block {
    execution: Mutex<BlockExecution>,
    receipts: Mutex<Vec<Receipt>>,
}

impl Block {
    fn lock(&self) -> MutexGuard<'_, BlockExecution> {
        self.execution.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[pymethods]
impl Block {
    #[new]
    fn new(view: &Bound<'_, PyAny>, fork: &Bound<'_, Fork>, chain_id: u64, env: &Bound<'_, PyAny>) -> PyResult<Self> {
        let fork = fork.get().clone();
        let env = block_env(env, &fork)?;
        let execution = BlockExecution::new(view_of(view)?, fork, chain_id, env);
        Ok(Self { execution: Mutex::new(execution), receipts: Mutex::new(Vec::new()) })
    }

    /// Execute one transaction: (receipt, gas used, output, L1 fee, operator fee). `timeout` in seconds; `hooks` of a tracer.
    #[pyo3(signature = (raw, sender=None, timeout=None, hooks=None))]
    fn apply<'py>(
        &self,
        py: Python<'py>,
        raw: &[u8],
        sender: Option<&[u8]>,
        timeout: Option<f64>,
        hooks: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let session = hooks.as_ref().map(Session::new).transpose()?;
        let raw = Bytes::copy_from_slice(raw);
        let known = sender.map(address).transpose()?;
        let deadline = instant(timeout);
        let outcome = py.detach(|| {
            let tx = transaction::decode(raw).map_err(|reason| ExecutionError::Decode(reason.to_owned()))?;
            let mut execution = self.lock();
            execution.check_form(&tx)?;
            let sender = match known {
                Some(sender) => sender,
                None => tx.remembered_sender().map_err(|reason| ExecutionError::Invalid(reason.to_owned()))?,
            };
            apply_in_time(&mut execution, &tx, sender, deadline, session)
        })?;
        let result = (
            receipt_tuple(py, &outcome.receipt)?,
            outcome.gas_used,
            PyBytes::new(py, &outcome.output),
            to_python(py, outcome.l1_fee)?,
            to_python(py, outcome.operator_fee)?,
        );
        self.receipts.lock().unwrap().push(outcome.receipt);
        result.into_pyobject(py)
    }

    /// Execute transactions until one fails: None, or (its place, its error).
    fn apply_all<'py>(
        &self,
        py: Python<'py>,
        raws: Vec<Bound<'py, PyBytes>>,
    ) -> PyResult<Option<(usize, Bound<'py, PyAny>)>> {
        let raws: Vec<Bytes> = raws.iter().map(|raw| Bytes::copy_from_slice(raw.as_bytes())).collect();
        let failure = py.detach(|| {
            let recovery = Recovery::of(raws);
            let mut execution = self.lock();
            let mut receipts = self.receipts.lock().unwrap();
            for place in 0..recovery.len() {
                match apply_recovered(&mut execution, recovery.get(place)) {
                    Ok(outcome) => receipts.push(outcome.receipt),
                    Err(error) => return Some((place, error)),
                }
            }
            None
        });
        Ok(failure.map(|(place, error)| (place, PyErr::from(error).into_value(py).into_bound(py).into_any())))
    }

    fn system_call<'py>(
        &self,
        py: Python<'py>,
        caller: &[u8],
        to: &[u8],
        data: &[u8],
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let (caller, to, data) = (address(caller)?, address(to)?, Bytes::copy_from_slice(data));
        let output = py.detach(|| self.lock().system_call(caller, to, data))?;
        Ok(output.map(|output| PyBytes::new(py, &output)))
    }

    fn set_code(&self, py: Python<'_>, to: &[u8], code: &[u8]) -> PyResult<()> {
        let (to, code) = (address(to)?, Bytes::copy_from_slice(code));
        Ok(py.detach(|| self.lock().set_code(to, code))?)
    }

    /// Add wei to a balance.
    fn pay(&self, py: Python<'_>, to: &[u8], amount: &Bound<'_, PyAny>) -> PyResult<()> {
        let (to, amount) = (address(to)?, uint(amount)?);
        Ok(py.detach(|| self.lock().pay(to, amount))?)
    }

    #[getter]
    fn gas_used(&self) -> u64 {
        self.lock().gas_used
    }

    #[getter]
    fn blob_gas_used(&self) -> u64 {
        self.lock().blob_gas_used
    }

    #[getter]
    fn da_size(&self) -> u64 {
        self.lock().da_size
    }

    /// Wei that the beneficiary has earned so far.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        to_python(py, self.lock().value)
    }

    /// What the block changed so far.
    fn diff(&self, py: Python<'_>) -> PyResult<Diff> {
        Ok(Diff(Arc::new(py.detach(|| self.lock().diff())?)))
    }

    /// All receipts so far.
    fn receipts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        receipt_list(py, &self.receipts.lock().unwrap())
    }

    /// (receipts root, logs bloom, RLP list of the receipts' network forms as strings, the receipts), which the block then
    /// has no more.
    fn seal<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let receipts = std::mem::take(&mut *self.receipts.lock().unwrap());
        let (root, bloom, row) = py.detach(|| {
            let encoded: Vec<_> = receipts
                .par_iter()
                .with_min_len(64)
                .map(|receipt| {
                    let bloom = receipt.bloom();
                    (bloom, receipt.encode(&bloom), receipt.encode_for_root(&bloom))
                })
                .collect();
            let mut all = [0u8; BLOOM_BYTES];
            let (mut payload, mut leaves) = (Vec::new(), Vec::new());
            for (bloom, row, leaf) in encoded {
                all.iter_mut().zip(bloom).for_each(|(all, one)| *all |= one);
                rlp::put_bytes(&mut payload, &row);
                leaves.push(leaf);
            }
            let mut row = Vec::with_capacity(payload.len() + 5);
            rlp::put_list(&mut row, &payload);
            (trie::ordered_root(&leaves), all, row)
        });
        (PyBytes::new(py, root.as_slice()), PyBytes::new(py, &bloom), PyBytes::new(py, &row), Receipts(receipts))
            .into_pyobject(py)
    }
}

/// The receipts of a finished block; they outlive the memory that executing it took.
#[pyclass(frozen, module = "l2engine_native")]
pub struct Receipts(Vec<Receipt>);

#[pymethods]
impl Receipts {
    fn all<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        receipt_list(py, &self.0)
    }

    /// The rows that index the addresses and topics in the logs of block `number`, each once.
    fn log_keys<'py>(&self, py: Python<'py>, number: u64) -> PyResult<Bound<'py, PyList>> {
        let keys: Vec<Bytes> = py.detach(|| {
            let logs = self.0.iter().flat_map(|receipt| &receipt.logs);
            let items: HashSet<&[u8]> = logs
                .flat_map(|log| {
                    std::iter::once(log.address.as_slice()).chain(log.topics().iter().map(|topic| topic.as_slice()))
                })
                .collect();
            items.into_iter().map(|item| schema::log_key(keccak256(item), number)).collect()
        });
        PyList::new(py, keys.iter().map(|key| PyBytes::new(py, key)))
    }
}

fn receipt_list<'py>(py: Python<'py>, receipts: &[Receipt]) -> PyResult<Bound<'py, PyList>> {
    let tuples: PyResult<Vec<_>> = receipts.iter().map(|receipt| receipt_tuple(py, receipt)).collect();
    PyList::new(py, tuples?)
}

fn apply_recovered(execution: &mut BlockExecution, recovered: &Recovered) -> Result<Outcome, ExecutionError> {
    let (tx, sender) = recovered.as_ref().map_err(|reason| ExecutionError::Decode((*reason).to_owned()))?;
    execution.check_form(tx)?;
    let sender = sender.map_err(|reason| ExecutionError::Invalid(reason.to_owned()))?;
    execution.apply(tx, sender)
}

fn apply_in_time(
    execution: &mut BlockExecution,
    tx: &transaction::Transaction,
    sender: Address,
    deadline: Option<Instant>,
    tracer: Option<Session>,
) -> Result<Outcome, ExecutionError> {
    if deadline.is_some() {
        execution.machine.watch_deadline();
    }
    if let Some(session) = tracer {
        execution.machine.watch(session);
    }
    let (outcome, expired) = with_deadline(deadline, || execution.apply_unless(tx, sender, crate::machine::expired));
    execution.machine.unwatch();
    if expired { Err(ExecutionError::Timeout) } else { outcome }
}

/// A block's state diff, in native form.
#[pyclass(frozen, module = "l2engine_native")]
pub struct Diff(pub Arc<StateDiff>);

#[pymethods]
impl Diff {
    /// Address to (account or None, changed slots, destroyed); an account is (nonce, balance, code hash).
    fn accounts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let all = PyDict::new(py);
        for (address, change) in &self.0.accounts {
            let storage = PyDict::new(py);
            for (slot, value) in &change.storage {
                storage.set_item(to_python(py, *slot)?, to_python(py, *value)?)?;
            }
            let account = change.account.as_ref().map(|account| account_tuple(py, account)).transpose()?;
            all.set_item(PyBytes::new(py, address.as_slice()), (account, storage, change.destroyed))?;
        }
        Ok(all)
    }

    /// Deployed code by its hash.
    fn codes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let all = PyDict::new(py);
        for (hash, code) in &self.0.codes {
            all.set_item(PyBytes::new(py, hash.as_slice()), PyBytes::new(py, code))?;
        }
        Ok(all)
    }
}

/// Run one message call: (error or None, output, gas used, gas refund, created or None, logs).
#[pyfunction]
#[allow(clippy::too_many_arguments)]
#[pyo3(name = "call", signature = (view, fork, chain_id, env, call, overrides=None, timeout=None, hooks=None))]
pub fn call_message<'py>(
    py: Python<'py>,
    view: &Bound<'py, PyAny>,
    fork: &Bound<'py, Fork>,
    chain_id: u64,
    env: &Bound<'py, PyAny>,
    call: &Bound<'py, PyAny>,
    overrides: Option<Bound<'py, PyDict>>,
    timeout: Option<f64>,
    hooks: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyTuple>> {
    let session = hooks.as_ref().map(Session::new).transpose()?;
    let fork = fork.get().clone();
    let env = block_env(env, &fork)?;
    let view = view_of(view)?;
    let message = message(call)?;
    let mut changes = Vec::new();
    for (address_, change) in overrides.iter().flatten() {
        changes.push((address(address_.extract()?)?, override_of(&change)?));
    }
    let deadline = instant(timeout);
    let CallOutcome { error, output, gas_used, gas_refund, created, logs } =
        py.detach(|| call::run(view, fork, chain_id, env, message, changes, deadline, session))?;
    (
        error,
        PyBytes::new(py, &output),
        gas_used,
        gas_refund,
        created.map(|created| PyBytes::new(py, created.as_slice()).unbind()),
        logs_tuple(py, &logs)?,
    )
        .into_pyobject(py)
}

/// The senders of many transactions, found in parallel and remembered; None where the signature is not valid.
#[pyfunction]
pub fn recover_senders<'py>(py: Python<'py>, raws: Vec<Bound<'py, PyBytes>>) -> Vec<Option<Bound<'py, PyBytes>>> {
    let raws: Vec<Bytes> = raws.iter().map(|raw| Bytes::copy_from_slice(raw.as_bytes())).collect();
    let recovery = Recovery::of(raws);
    py.detach(|| {
        for index in 0..recovery.len() {
            recovery.get(index);
        }
    });
    (0..recovery.len())
        .map(|index| match recovery.get(index) {
            Ok((_, Ok(sender))) => Some(PyBytes::new(py, sender.as_slice())),
            _ => None,
        })
        .collect()
}

/// The place of the first that is no transaction, None when all are. Their senders are sought from now on.
#[pyfunction]
pub fn undecodable(py: Python<'_>, raws: Vec<Bound<'_, PyBytes>>) -> Option<usize> {
    let raws: Vec<Bytes> = raws.iter().map(|raw| Bytes::copy_from_slice(raw.as_bytes())).collect();
    py.detach(|| Recovery::of(raws).undecodable())
}

/// The list asked for last, and its root: a payload's transactions are asked for when its hash is checked and when it is executed.
static LATEST_ROOT: Mutex<Option<(Vec<Bytes>, B256)>> = Mutex::new(None);

/// The root of a list, keyed by the RLP of each index: transactions, receipts, withdrawals.
#[pyfunction]
pub fn ordered_root<'py>(py: Python<'py>, values: Vec<Bound<'py, PyBytes>>) -> Bound<'py, PyBytes> {
    let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
    let root = py.detach(|| {
        let mut latest = LATEST_ROOT.lock().unwrap_or_else(PoisonError::into_inner);
        match latest.as_ref() {
            Some((list, root)) if list.iter().map(|value| &value[..]).eq(values.iter().copied()) => *root,
            _ => {
                let root = trie::ordered_root(&values);
                *latest = Some((values.iter().map(|value| Bytes::copy_from_slice(value)).collect(), root));
                root
            }
        }
    });
    PyBytes::new(py, root.as_slice())
}

/// The hashes of many byte strings.
#[pyfunction]
pub fn keccak_all<'py>(py: Python<'py>, values: Vec<Bound<'py, PyBytes>>) -> PyResult<Bound<'py, PyList>> {
    PyList::new(py, values.iter().map(|value| PyBytes::new(py, keccak256(value.as_bytes()).as_slice())))
}

/// The RLP list of transactions as a block's body has it: typed ones as strings, legacy ones as the lists that they are.
#[pyfunction]
pub fn encode_transactions<'py>(py: Python<'py>, raws: Vec<Bound<'py, PyBytes>>) -> Bound<'py, PyBytes> {
    let mut payload = Vec::with_capacity(raws.iter().map(|raw| raw.as_bytes().len() + 4).sum());
    for raw in &raws {
        match raw.as_bytes() {
            list @ [(0xc0..), ..] => payload.extend_from_slice(list),
            typed => rlp::put_bytes(&mut payload, typed),
        }
    }
    let mut list = Vec::with_capacity(payload.len() + 5);
    rlp::put_list(&mut list, &payload);
    PyBytes::new(py, &list)
}

/// The length of data after FastLZ compression at level 1.
#[pyfunction]
pub fn fast_lz_length(data: &[u8]) -> u32 {
    crate::fees::fast_lz_length(data)
}
