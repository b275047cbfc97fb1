//! The changes of recent blocks, in memory, and the view through it down to the base or its past; the twin of `l2engine/store/layers.py`.

use crate::errors::StateError;
use crate::store::cache::RowCache;
use crate::store::kv::{Read, Snapshot, Store};
use crate::store::schema;
use crate::store::trie::{EMPTY_ROOT, ReadNode};
use crate::view::{Account, StateView};
use revm::primitives::{Address, AddressMap, AddressSet, B256, Bytes, HashMap, KECCAK_EMPTY, U256, keccak256};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub const MERGE_EVERY: u64 = 16;

/// How many accounts a view remembers at most.
const KNOWN_ACCOUNTS: usize = 65_536;

/// The rows that one block, or several in a row, leave different.
#[derive(Default, Clone)]
pub struct Changes {
    /// Accounts as they are after, with their storage roots; None when gone.
    pub accounts: AddressMap<Option<(Account, B256)>>,
    pub storage: AddressMap<HashMap<U256, U256>>,
    /// Accounts whose storage from before counts no more.
    pub wiped: AddressSet,
    /// Trie nodes by database key; None when gone.
    pub nodes: HashMap<Bytes, Option<Bytes>>,
}

/// The values that a block's changes replaced, from its parent's state: moving the base over the block reads little then.
#[derive(Default)]
pub struct Replaced {
    pub accounts: Vec<(Address, Option<(Account, B256)>)>,
    /// Trie nodes by database key, but not those of storage that was wiped.
    pub nodes: Vec<(Bytes, Bytes)>,
}

impl Changes {
    /// About how much memory a layer takes with what it replaced and its part of a merged set, in bytes: as measured.
    pub fn weigh(&self) -> usize {
        let nodes: usize = self.nodes.values().flatten().map(|raw| raw.len() + 500).sum();
        let slots: usize = self.storage.values().map(|slots| slots.len() + 1).sum();
        nodes + 600 * self.accounts.len() + 150 * slots
    }

    /// Put a later block's changes on top.
    fn overlay(&mut self, later: &Self) {
        self.accounts.extend(later.accounts.iter().map(|(address, account)| (*address, *account)));
        self.nodes.extend(later.nodes.iter().map(|(key, row)| (key.clone(), row.clone())));
        self.wiped.extend(later.wiped.iter().copied());
        for (address, slots) in &later.storage {
            let known = self.storage.entry(*address).or_default();
            if later.wiped.contains(address) {
                known.clear();
            }
            known.extend(slots.iter().map(|(slot, value)| (*slot, *value)));
        }
    }
}

/// One block above the base.
pub struct Layer {
    pub number: u64,
    pub hash: B256,
    pub parent: B256,
    pub root: B256,
    pub changes: Arc<Changes>,
    pub replaced: Arc<Replaced>,
    pub size: usize,
    /// The changes of several blocks, this one the last, and how many they are.
    pub merged: Option<(Arc<Changes>, usize)>,
}

/// The changes of consecutive blocks, oldest first, as one.
pub fn merge<'a>(layers: impl Iterator<Item = &'a Changes>) -> Changes {
    let mut all = Changes::default();
    layers.for_each(|changes| all.overlay(changes));
    all
}

/// How a view reads the base.
pub enum Reach {
    /// As it is: rows may come from the cache, which holds them for this version of the base.
    Present(Arc<RowCache>, u64),
    /// As of a block in its past, with trie nodes or without; the cache holds such rows under the block's hash.
    Past { number: u64, hash: B256, has_nodes: bool, cache: Arc<RowCache>, version: u64 },
}

/// The state after one block.
pub struct LayeredView {
    pub number: u64,
    pub hash: B256,
    pub root: B256,
    path: Vec<Arc<Layer>>,
    /// The fewest sets of changes that cover `path`, newest first.
    stack: Vec<Arc<Changes>>,
    base: Arc<Snapshot>,
    /// Code is looked up in what the store holds now: a layer's code is written after the base's snapshot was taken.
    store: Store,
    reach: Reach,
    /// Accounts read before: executing a block reads what its root needs again.
    known: Mutex<AddressMap<Option<(Account, B256)>>>,
}

impl LayeredView {
    pub fn new(
        (number, hash, root): (u64, B256, B256),
        path: Vec<Arc<Layer>>,
        base: Arc<Snapshot>,
        store: Store,
        reach: Reach,
    ) -> Self {
        let mut stack = Vec::new();
        let mut index = 0;
        while let Some(layer) = path.get(index) {
            // A merged set may reach below the path, into what the base holds by now; its values are the newer ones all the same.
            match &layer.merged {
                Some((changes, count)) => {
                    stack.push(changes.clone());
                    index += count;
                }
                None => {
                    stack.push(layer.changes.clone());
                    index += 1;
                }
            }
        }
        Self { number, hash, root, path, stack, base, store, reach, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, AddressMap<Option<(Account, B256)>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A row of the base as of the viewed block; `guess` is asked before the disk.
    fn row(&self, key: &[u8], guess: &dyn Fn() -> Option<Bytes>) -> Result<Option<Bytes>, StateError> {
        match &self.reach {
            Reach::Present(cache, version) => {
                if let Some(row) = cache.get(*version, key).or_else(guess) {
                    return Ok(Some(row));
                }
                let found = self.base.get(key)?;
                if let Some(row) = &found {
                    cache.put(*version, key, row.clone());
                }
                Ok(found)
            }
            Reach::Past { number, hash, cache, version, .. } => {
                let name = [hash.as_slice(), key].concat(); // what a block's state held never changes
                if let Some(row) = cache.get(*version, &name) {
                    return Ok(Some(row));
                }
                let first = schema::past_key(key, number + 1);
                let last = schema::past_key(key, u64::MAX);
                let found = match self.base.scan(&first, &last, false, 1)?.pop() {
                    Some((_, value)) => Some(value).filter(|value| !value.is_empty()),
                    None => self.base.get(key)?,
                };
                if let Some(row) = &found {
                    cache.put(*version, &name, row.clone());
                }
                Ok(found)
            }
        }
    }

    /// The account with its storage root.
    pub fn full_account(&self, address: Address) -> Result<Option<(Account, B256)>, StateError> {
        for changes in &self.stack {
            if let Some(found) = changes.accounts.get(&address) {
                return Ok(*found);
            }
        }
        if let Some(known) = self.known().get(&address) {
            return Ok(*known);
        }
        let found = self
            .row(&schema::account_key(keccak256(address)), &|| None)?
            .map(|row| schema::decode_account(&row))
            .transpose()?;
        let mut known = self.known();
        if known.len() < KNOWN_ACCOUNTS {
            known.insert(address, found);
        }
        Ok(found)
    }

    /// The root of the account's storage trie; the empty root when there is no such account.
    pub fn storage_root(&self, address: Address) -> Result<B256, StateError> {
        Ok(self.full_account(address)?.map_or(EMPTY_ROOT, |(_, root)| root))
    }
}

impl StateView for LayeredView {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        Ok(self.full_account(address)?.map(|(account, _)| account))
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        for changes in &self.stack {
            if let Some(slots) = changes.storage.get(&address) {
                if let Some(value) = slots.get(&slot) {
                    return Ok(*value);
                }
                if changes.wiped.contains(&address) {
                    return Ok(U256::ZERO);
                }
            }
        }
        let row = self.row(&schema::slot_key(keccak256(address), slot), &|| None)?;
        Ok(row.map_or(U256::ZERO, |row| U256::from_be_slice(&row)))
    }

    fn has_storage(&self, address: Address) -> Result<bool, StateError> {
        Ok(self.storage_root(address)? != EMPTY_ROOT)
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        if code_hash == KECCAK_EMPTY {
            return Ok(Bytes::new());
        }
        self.store
            .get(&schema::code_key(code_hash))?
            .ok_or_else(|| StateError::Store(format!("missing code {code_hash}")))
    }

    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError> {
        if number > self.number {
            return Ok(None);
        }
        if let Some(layer) = self.path.get((self.number - number) as usize) {
            return Ok(Some(layer.hash));
        }
        // forkchoice may have moved the canonical index already, so the base's own chain comes first
        let row = match self.base.get(&schema::base_chain_key(number))? {
            Some(row) => Some(row),
            None => self.base.get(&schema::canonical_key(number))?,
        };
        Ok(row.map(|row| B256::from_slice(&row[..32])))
    }
}

impl ReadNode for LayeredView {
    fn node(&self, key: &[u8], guess: &dyn Fn() -> Option<Bytes>) -> Result<Option<Bytes>, StateError> {
        for changes in &self.stack {
            if let Some(found) = changes.nodes.get(key) {
                return Ok(found.clone());
            }
        }
        if let Reach::Past { has_nodes: false, .. } = self.reach {
            return Err(StateError::Unavailable("the trie nodes of this block are no longer kept".to_owned()));
        }
        self.row(key, guess)
    }
}
