//! The signers of many transactions: recovered in parallel, remembered across blocks.

use crate::execute::transaction::{Transaction, decode};
use crate::refusals::Reason as Refused;
use crate::rlp::Reason;
use lru::LruCache;
use revm::primitives::{Address, B256, Bytes};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

/// Senders found before, by transaction hash, so that a block does not pay again for what the pool has checked.
static KNOWN_SENDERS: LazyLock<Mutex<LruCache<B256, Address>>> =
    LazyLock::new(|| Mutex::new(LruCache::new(NonZeroUsize::new(65_536).unwrap())));

/// A transaction's sender, remembered across blocks.
pub fn remembered_sender(tx: &Transaction) -> Result<Address, Refused> {
    if !tx.is_signed() {
        return tx.sender();
    }
    let hash = tx.hash();
    if let Some(known) = KNOWN_SENDERS.lock().unwrap().get(&hash) {
        return Ok(*known);
    }
    let sender = tx.sender()?;
    KNOWN_SENDERS.lock().unwrap().put(hash, sender);
    Ok(sender)
}

/// The result for one raw transaction: the transaction and its sender, or why it has none.
pub type Recovered = Result<(Transaction, Result<Address, Refused>), Reason>;

/// Transactions being decoded and their senders being sought, by whoever has time: threads of the pool from the moment that a
/// block is known, and whoever waits for one of them. In order, so that execution can follow closely.
pub struct Recovery {
    raws: Vec<Bytes>,
    next: AtomicUsize,
    found: Vec<OnceLock<Recovered>>,
    /// The first that does not decode; found when it is first asked for.
    undecodable: OnceLock<Option<usize>>,
}

impl Recovery {
    /// The recovery of these transactions, which goes on in the background from now on.
    pub fn of(raws: Vec<Bytes>) -> Arc<Self> {
        let found = raws.iter().map(|_| OnceLock::new()).collect();
        let recovery = Arc::new(Self { raws, next: AtomicUsize::new(0), found, undecodable: OnceLock::new() });
        if recovery.raws.len() > 4 {
            for _ in 0..rayon::current_num_threads() {
                let worker = recovery.clone();
                rayon::spawn(move || while worker.step() {});
            }
        }
        recovery
    }

    pub fn len(&self) -> usize {
        self.raws.len()
    }

    /// The place of the first that is no transaction.
    pub fn undecodable(&self) -> Option<usize> {
        *self.undecodable.get_or_init(|| self.raws.iter().position(|raw| decode(raw.clone()).is_err()))
    }

    /// The result for one; waits for it, or computes it.
    pub fn get(&self, index: usize) -> &Recovered {
        loop {
            if let Some(found) = self.found[index].get() {
                return found;
            }
            if !self.step() {
                std::thread::yield_now(); // another thread is recovering it
            }
        }
    }

    /// Do the next one; false when none is left to begin.
    fn step(&self) -> bool {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(raw) = self.raws.get(index) else { return false };
        let recovered = decode(raw.clone()).map(|tx| {
            let sender = remembered_sender(&tx);
            (tx, sender)
        });
        let _ = self.found[index].set(recovered);
        true
    }
}
