//! A block under execution, its receipts and its diff, as Python sees them.

use crate::errors::{ExecutionError, StateError};
use crate::execute::apply::Outcome;
use crate::execute::block::{BlockExecution, RefundRule};
use crate::execute::deadline::with_deadline;
use crate::execute::machine::Listener;
use crate::execute::moment::Moment;
use crate::execute::receipt::{BLOOM_BYTES, Receipt};
use crate::execute::recovery::{Recovered, remembered_sender};
use crate::execute::transaction::{self, Transaction};
use crate::fork::Fork;
use crate::python::convert::{block_env, receipt_tuple};
use crate::python::deadline::Deadline;
use crate::python::diff::Diff;
use crate::python::tracer;
use crate::python::transactions::Transactions;
use crate::python::values::{address, to_python, uint};
use crate::python::view::view_of;
use crate::rlp;
use crate::store::schema;
use crate::store::trie;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use rayon::prelude::*;
use revm::primitives::{Address, Bytes, HashSet, keccak256};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A block under execution; Python knows it as `Block`.
#[pyclass(frozen, name = "Block", module = "l2engine_native")]
pub struct BlockUnderExecution {
    execution: Mutex<BlockExecution>,
    receipts: Mutex<Vec<Receipt>>,
}

impl BlockUnderExecution {
    fn lock(&self) -> MutexGuard<'_, BlockExecution> {
        self.execution.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl BlockUnderExecution {
    #[new]
    fn new(view: &Bound<'_, PyAny>, fork: &Bound<'_, Fork>, chain_id: u64, env: &Bound<'_, PyAny>) -> PyResult<Self> {
        let fork = fork.get().clone();
        let refunds = env.getattr("refunds")?.extract()?;
        let env = block_env(env, &fork)?;
        let execution = BlockExecution::new(view_of(view)?, fork, chain_id, env, refunds);
        Ok(Self { execution: Mutex::new(execution), receipts: Mutex::new(Vec::new()) })
    }

    /// Execute one transaction: (receipt, gas used, output, L1 fee, operator fee). `hooks` of a tracer;
    /// `refund` maps the gas used to the part of it that a block builder refunds.
    #[pyo3(signature = (raw, sender=None, deadline=None, hooks=None, refund=None))]
    fn apply<'py>(
        &self,
        py: Python<'py>,
        raw: &[u8],
        sender: Option<&[u8]>,
        deadline: Option<Bound<'py, Deadline>>,
        hooks: Option<Bound<'py, PyAny>>,
        refund: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let listener = hooks.as_ref().map(tracer::listener).transpose()?;
        let raw = Bytes::copy_from_slice(raw);
        let known = sender.map(address).transpose()?;
        let deadline = deadline.map(|deadline| deadline.get().0.clone());
        let outcome = py.detach(|| {
            let tx = transaction::decode(raw).map_err(|reason| ExecutionError::Decode(reason.to_owned()))?;
            let mut execution = self.lock();
            execution.check_form(&tx)?;
            let sender = match known {
                Some(sender) => sender,
                None => remembered_sender(&tx)?,
            };
            execution.refund_rule = refund.map(refund_rule);
            let outcome = apply_in_time(&mut execution, &tx, sender, deadline, listener);
            execution.refund_rule = None;
            outcome
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

    /// Execute transactions until one is refused: None, or (its index, the reason). Other errors are raised.
    fn apply_all<'py>(
        &self,
        py: Python<'py>,
        transactions: &Bound<'py, Transactions>,
    ) -> PyResult<Option<(usize, Bound<'py, PyAny>)>> {
        let recovery = transactions.get().recovery().clone();
        let failure = py.detach(|| {
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
        match failure {
            None => Ok(None),
            Some((index, error @ (ExecutionError::Invalid(_) | ExecutionError::Decode(_)))) => {
                Ok(Some((index, PyErr::from(error).into_value(py).into_bound(py).into_any())))
            }
            Some((_, error)) => Err(error.into()),
        }
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

    fn has_code(&self, py: Python<'_>, to: &[u8]) -> PyResult<bool> {
        let to = address(to)?;
        Ok(py.detach(|| self.lock().has_code(to))?)
    }

    fn set_code(&self, py: Python<'_>, to: &[u8], code: &[u8]) -> PyResult<()> {
        let (to, code) = (address(to)?, Bytes::copy_from_slice(code));
        Ok(py.detach(|| self.lock().set_code(to, code))?)
    }

    /// Add wei to a balance.
    fn credit(&self, py: Python<'_>, to: &[u8], amount: &Bound<'_, PyAny>) -> PyResult<()> {
        let (to, amount) = (address(to)?, uint(amount)?);
        Ok(py.detach(|| self.lock().pay(to, amount))?)
    }

    #[getter]
    fn gas_used(&self) -> u64 {
        self.lock().gas_used
    }

    #[getter]
    fn gas_before_refunds(&self) -> u64 {
        self.lock().gas_before_refunds
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

    /// The block's changes so far.
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

fn refund_rule(decide: Py<PyAny>) -> RefundRule {
    let ask = move |py: Python<'_>, gas_used: u64| decide.call1(py, (gas_used,))?.extract(py);
    Box::new(move |gas_used| Python::attach(|py| ask(py, gas_used)).map_err(StateError::Python))
}

fn apply_recovered(execution: &mut BlockExecution, recovered: &Recovered) -> Result<Outcome, ExecutionError> {
    let (tx, sender) = recovered.as_ref().map_err(|reason| ExecutionError::Decode((*reason).to_owned()))?;
    execution.check_form(tx)?;
    execution.apply(tx, (*sender)?)
}

fn apply_in_time(
    execution: &mut BlockExecution,
    tx: &Transaction,
    sender: Address,
    deadline: Option<Arc<Moment>>,
    listener: Option<Box<dyn Listener>>,
) -> Result<Outcome, ExecutionError> {
    if deadline.is_some() {
        execution.machine.watch_deadline();
    }
    if let Some(listener) = listener {
        execution.machine.listen(listener);
    }
    let outcome = with_deadline(deadline, || execution.apply(tx, sender));
    execution.machine.stop_listening();
    outcome
}
