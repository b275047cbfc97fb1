//! A block's matching logs as JSON, from the stored receipts, without the GIL (`rpc/show/logs.py` is its twin).

use crate::errors::ExecutionError;
use crate::rlp::{Reader, Reason};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use revm::primitives::{hex, keccak256};
use std::collections::HashSet;

/// The addresses and topics that a log must have (`types/log_filter.py`).
#[pyclass(frozen, module = "l2engine_native")]
pub struct LogFilter {
    addresses: HashSet<Vec<u8>>,
    topics: Vec<HashSet<Vec<u8>>>,
}

/// The place of a block's logs.
struct Place<'a> {
    block_hash: &'a [u8],
    number: u64,
    timestamp: u64,
    removed: bool,
}

#[pymethods]
impl LogFilter {
    /// Alternatives for the address and for each position of a topic; an empty set takes anything.
    #[new]
    fn new(addresses: Vec<Vec<u8>>, topics: Vec<Vec<Vec<u8>>>) -> Self {
        let topics = topics.into_iter().map(|group| group.into_iter().collect()).collect();
        Self { addresses: addresses.into_iter().collect(), topics }
    }

    /// The number of matching logs, and their JSON objects with commas between them. `receipts` is the row in the store.
    #[allow(clippy::too_many_arguments)]
    fn json<'py>(
        &self,
        py: Python<'py>,
        receipts: &[u8],
        transactions: Vec<Bound<'py, PyBytes>>,
        block_hash: &[u8],
        number: u64,
        timestamp: u64,
        removed: bool,
    ) -> PyResult<(usize, Bound<'py, PyBytes>)> {
        let raws: Vec<&[u8]> = transactions.iter().map(|raw| raw.as_bytes()).collect();
        let place = Place { block_hash, number, timestamp, removed };
        let shown = py.detach(|| self.show(receipts, &raws, &place));
        let (count, json) = shown.map_err(|reason| ExecutionError::Decode(format!("receipts: {reason}")))?;
        Ok((count, PyBytes::new(py, &json)))
    }
}

impl LogFilter {
    fn show(&self, receipts: &[u8], raws: &[&[u8]], place: &Place) -> Result<(usize, Vec<u8>), Reason> {
        let (mut count, mut log_index, mut json) = (0, 0, Vec::new());
        let mut rows = Reader::list(receipts)?;
        for (index, raw) in raws.iter().enumerate() {
            let mut tx_hash = None;
            let mut logs = logs_of(rows.bytes()?)?;
            while !logs.is_empty() {
                let mut log = logs.sublist()?;
                let (address, topics, data) = (log.bytes()?, all(log.sublist()?)?, log.bytes()?);
                if self.matches(address, &topics) {
                    let tx_hash = tx_hash.get_or_insert_with(|| keccak256(raw));
                    if count > 0 {
                        json.push(b',');
                    }
                    count += 1;
                    put_event(&mut json, address, &topics, data);
                    put_place(&mut json, place, tx_hash.as_slice(), index, log_index);
                }
                log_index += 1;
            }
        }
        Ok((count, json))
    }

    fn matches(&self, address: &[u8], topics: &[&[u8]]) -> bool {
        (self.addresses.is_empty() || self.addresses.contains(address))
            && self.topics.len() <= topics.len()
            && self.topics.iter().zip(topics).all(|(group, topic)| group.is_empty() || group.contains(*topic))
    }
}

/// The logs in a receipt's network form.
fn logs_of(receipt: &[u8]) -> Result<Reader<'_>, Reason> {
    let typed = receipt.first().is_some_and(|first| *first < 0xc0);
    let mut fields = Reader::list(&receipt[usize::from(typed)..])?;
    for _ in 0..3 {
        fields.item()?; // status, gas, bloom
    }
    fields.sublist()
}

fn all(mut reader: Reader<'_>) -> Result<Vec<&[u8]>, Reason> {
    let mut items = Vec::new();
    while !reader.is_empty() {
        items.push(reader.bytes()?);
    }
    Ok(items)
}

fn put_event(json: &mut Vec<u8>, address: &[u8], topics: &[&[u8]], data: &[u8]) {
    json.extend_from_slice(b"{\"address\":");
    put_hex(json, address);
    json.extend_from_slice(b",\"topics\":[");
    for (index, topic) in topics.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        put_hex(json, topic);
    }
    json.extend_from_slice(b"],\"data\":");
    put_hex(json, data);
}

fn put_place(json: &mut Vec<u8>, place: &Place, tx_hash: &[u8], tx_index: usize, log_index: usize) {
    let Place { block_hash, number, timestamp, removed } = place;
    json.extend_from_slice(format!(",\"blockNumber\":\"{number:#x}\",\"transactionHash\":").as_bytes());
    put_hex(json, tx_hash);
    json.extend_from_slice(format!(",\"transactionIndex\":\"{tx_index:#x}\",\"blockHash\":").as_bytes());
    put_hex(json, block_hash);
    let rest =
        format!(",\"blockTimestamp\":\"{timestamp:#x}\",\"logIndex\":\"{log_index:#x}\",\"removed\":{removed}}}");
    json.extend_from_slice(rest.as_bytes());
}

fn put_hex(json: &mut Vec<u8>, data: &[u8]) {
    json.extend_from_slice(b"\"0x");
    let start = json.len();
    json.resize(start + 2 * data.len(), 0);
    hex::encode_to_slice(data, &mut json[start..]).expect("two digits a byte");
    json.push(b'"');
}
