//! The state of every kept block: one base on disk with its past, and one layer in memory per recent block.
//!
//! The twin of `l2engine/store/state.py`, row for row. One thread changes it; any thread may read: everything a reader needs
//! is in one immutable record that is swapped whole. Each change of the base is one atomic batch.

mod base;
mod load;

use crate::diff::{AccountDiff, StateDiff};
use crate::errors::StateError;
use crate::store::branches::{Link, choose_kept};
use crate::store::cache::RowCache;
use crate::store::kv::{Batch, Read, Snapshot, Store};
use crate::store::layers::{Changes, Layer, LayeredView, MERGE_EVERY, Reach, Replaced, merge};
use crate::store::schema;
use crate::store::trie::{self, EMPTY_ROOT};
use crate::view::Account;
use base::read_base;
use rayon::prelude::*;
use revm::primitives::{Address, B256, B256Map, Bytes, HashMap, keccak256};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

type Result<T> = std::result::Result<T, StateError>;

/// About how many bytes the layers above the base may take; beyond, it follows the head more closely. A start computes the
/// tries of that many bytes again.
const LAYER_BYTES: usize = 128 << 20;

/// How much memory rows of the base may take.
const CACHE_BYTES: usize = 128 << 20;

/// How much is kept; windows count blocks below the base, 0 keeps all.
pub struct Limits {
    pub history_state: u64,
    pub history_proofs: u64,
    pub layers: usize,
    pub side_layers: usize,
    pub side_bytes: usize,
}

/// A diff on top of a block, with its root and new trie nodes.
pub struct Prepared {
    pub root: B256,
    pub parent: B256,
    pub diff: Arc<StateDiff>,
    pub changes: Arc<Changes>,
    pub replaced: Arc<Replaced>,
}

/// Everything that can be read, at one moment.
struct Kept {
    number: u64,
    hash: B256,
    root: B256,
    /// Shows the base after block `number`.
    snapshot: Arc<Snapshot>,
    /// How often the base has moved since the start.
    version: u64,
    layers: B256Map<Arc<Layer>>,
    oldest_state: u64,
    oldest_proofs: u64,
}

pub struct LayeredState {
    store: Store,
    limits: Limits,
    kept: RwLock<Arc<Kept>>,
    cache: Arc<RowCache>,
    /// The view asked for last, and its base: execution and root of a block read the same rows.
    latest_view: Mutex<Option<(Arc<Snapshot>, Arc<LayeredView>)>>,
}

impl LayeredState {
    /// Open the state; gives a description of the stored layers that had to be dropped.
    pub fn open(store: Store, limits: Limits) -> Result<(Self, Vec<String>)> {
        let kept = RwLock::new(Arc::new(read_base(&store, B256Map::default(), 0)?));
        let cache = Arc::new(RowCache::new(CACHE_BYTES));
        let state = Self { store, limits, kept, cache, latest_view: Mutex::new(None) };
        let warnings = state.load_layers()?;
        Ok((state, warnings))
    }

    fn kept(&self) -> Arc<Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn swap(&self, kept: Kept) {
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(kept);
        *self.latest_view.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The block whose state is on disk.
    pub fn base(&self) -> (u64, B256) {
        let kept = self.kept();
        (kept.number, kept.hash)
    }

    /// The lowest canonical blocks whose state, and whose proofs, can be read.
    pub fn oldest(&self) -> (u64, u64) {
        let kept = self.kept();
        (kept.oldest_state, kept.oldest_proofs)
    }

    // ---- reading ----------------------------------------------------------------------------------------------------

    pub fn has(&self, hash: B256) -> Result<bool> {
        let kept = self.kept();
        Ok(kept.layers.contains_key(&hash) || kept.number_on_base(hash)?.is_some())
    }

    pub fn view(&self, hash: B256) -> Result<Arc<LayeredView>> {
        let kept = self.kept();
        let mut latest = self.latest_view.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((snapshot, view)) = latest.as_ref()
            && view.hash == hash
            && Arc::ptr_eq(snapshot, &kept.snapshot)
        {
            return Ok(view.clone());
        }
        let view = Arc::new(self.make_view(&kept, hash)?);
        *latest = Some((kept.snapshot.clone(), view.clone()));
        Ok(view)
    }

    fn make_view(&self, kept: &Kept, hash: B256) -> Result<LayeredView> {
        let (path, anchor) = kept.walk(hash, usize::MAX);
        let Some(number) = kept.number_on_base(anchor)? else { return Err(unavailable(hash)) };
        let at_base = number == kept.number;
        let mut root = kept.root;
        if !at_base {
            let row = kept.snapshot.get(&schema::base_chain_key(number))?.ok_or_else(|| unavailable(hash))?;
            root = B256::from_slice(&row[32..]);
        }
        let top = path.first().map_or((number, hash, root), |layer| (layer.number, hash, layer.root));
        let reach = if at_base {
            Reach::Present(self.cache.clone(), kept.version)
        } else {
            let has_nodes = number >= kept.oldest_proofs;
            Reach::Past { number, hash: anchor, has_nodes, cache: self.cache.clone(), version: kept.version }
        };
        Ok(LayeredView::new(top, path, kept.snapshot.clone(), self.store.clone(), reach))
    }

    // ---- changing ---------------------------------------------------------------------------------------------------

    /// Compute the state root of `diff` on top of the parent. Writes nothing.
    pub fn prepare(&self, parent: B256, diff: Arc<StateDiff>) -> Result<Prepared> {
        let view = self.view(parent)?;
        let touched: Result<Vec<Touched>> = diff
            .accounts
            .par_iter()
            .with_min_len(16)
            .map(|(address, change)| Touched::new(&view, *address, change))
            .collect();
        let (mut changes, mut replaced) = (Changes::default(), Replaced::default());
        let mut leaves: Vec<trie::Item> = Vec::with_capacity(diff.accounts.len());
        for ((address, change), touched) in diff.accounts.iter().zip(touched?) {
            if touched.wiped {
                changes.wiped.insert(*address);
                changes.storage.insert(*address, HashMap::default());
            }
            if touched.after.is_some() && !change.storage.is_empty() {
                changes.storage.insert(*address, change.storage.iter().copied().collect());
            }
            replaced.accounts.push((*address, touched.before));
            changes.accounts.insert(*address, touched.after);
            leaves.push(touched.leaf);
            put_nodes(&mut changes, &mut replaced, touched.storage);
        }
        leaves.par_sort_unstable_by_key(|leaf| leaf.key);
        let update = trie::update(&*view, view.root, None, &leaves)?;
        let root = update.root;
        put_nodes(&mut changes, &mut replaced, update);
        Ok(Prepared { root, parent, diff, changes: Arc::new(changes), replaced: Arc::new(replaced) })
    }

    /// The account's storage root in a prepared state.
    pub fn prepared_storage_root(&self, prepared: &Prepared, address: Address) -> Result<B256> {
        match prepared.changes.accounts.get(&address) {
            Some(account) => Ok(account.map_or(EMPTY_ROOT, |(_, root)| root)),
            None => self.view(prepared.parent)?.storage_root(address),
        }
    }

    /// The rows that keep a prepared state: code, and the block's diff.
    pub fn rows(&self, number: u64, hash: B256, prepared: &Prepared) -> Result<Batch> {
        let codes = &prepared.diff.codes;
        let mut batch: Batch = codes.iter().map(|(hash, code)| (schema::code_key(*hash), Some(code.clone()))).collect();
        if !self.has(hash)? {
            let row = schema::encode_diff(prepared.parent, prepared.root, &prepared.diff);
            batch.push((schema::diff_key(number, hash), Some(row)));
        }
        Ok(batch)
    }

    /// Make a state readable whose rows have been written.
    pub fn attach(&self, number: u64, hash: B256, prepared: &Prepared) -> Result<()> {
        if self.has(hash)? {
            return Ok(());
        }
        let kept = self.kept();
        let mut merged = None;
        if number % MERGE_EVERY == MERGE_EVERY - 1 {
            let (below, _) = kept.walk(prepared.parent, MERGE_EVERY as usize - 1);
            let sets = below.iter().rev().map(|layer| &*layer.changes).chain([&*prepared.changes]);
            merged = Some((Arc::new(merge(sets)), below.len() + 1));
        }
        let size = prepared.changes.weigh();
        let layer = Layer {
            number,
            hash,
            parent: prepared.parent,
            root: prepared.root,
            changes: prepared.changes.clone(),
            replaced: prepared.replaced.clone(),
            size,
            merged,
        };
        let mut layers = kept.layers.clone();
        layers.insert(hash, Arc::new(layer));
        self.swap(kept.with_layers(layers));
        Ok(())
    }

    /// Make the base follow the head: roll it back to the branch, then merge what lies deeper than the kept layers.
    pub fn set_head(&self, head: B256) -> Result<()> {
        let kept = self.kept();
        let (branch, anchor) = kept.walk(head, usize::MAX);
        if branch.is_empty() {
            return if self.has(head)? { Ok(()) } else { Err(unavailable(head)) };
        }
        let Some(fork) = kept.number_on_base(anchor)? else { return Err(unavailable(anchor)) };
        if fork < kept.oldest_proofs {
            return Err(StateError::Unavailable(format!(
                "cannot move the state back to block {fork}: kept from {} on",
                kept.oldest_proofs
            )));
        }
        while self.kept().number > fork {
            self.roll_back()?;
        }
        let mut bytes = 0;
        let affordable = branch.iter().take_while(|layer| {
            bytes += layer.size;
            bytes <= LAYER_BYTES
        });
        let excess = branch.len() - affordable.count().min(self.limits.layers);
        for (left, layer) in branch[branch.len() - excess..].iter().enumerate().rev() {
            self.merge(layer, left == 0)?;
        }
        self.drop_side_layers(head)
    }

    // ---- the layers -------------------------------------------------------------------------------------------------

    /// Drop the layers of side branches that the base has left behind, and of those beyond what is allowed.
    fn drop_side_layers(&self, head: B256) -> Result<()> {
        let kept = self.kept();
        if kept.walk(head, usize::MAX).0.len() == kept.layers.len() {
            return Ok(());
        }
        let links = kept.layers.values().map(|layer| Link {
            number: layer.number,
            hash: layer.hash,
            parent: layer.parent,
            size: layer.size,
        });
        let chosen = choose_kept(
            links.collect(),
            head,
            |parent| Ok(parent == kept.hash),
            self.limits.side_layers,
            self.limits.side_bytes,
        )?;
        let mut layers = kept.layers.clone();
        layers.retain(|hash, _| chosen.contains(hash));
        if layers.len() != kept.layers.len() {
            let dropped = kept.layers.values().filter(|layer| !chosen.contains(&layer.hash));
            self.store
                .write(dropped.map(|layer| (schema::diff_key(layer.number, layer.hash), None)).collect(), false)?;
            self.swap(kept.with_layers(layers));
        }
        Ok(())
    }

    /// The number of blocks above the base.
    pub fn layer_count(&self) -> usize {
        self.kept().layers.len()
    }
}

impl Kept {
    fn with_layers(&self, layers: B256Map<Arc<Layer>>) -> Self {
        Self { snapshot: self.snapshot.clone(), layers, ..*self }
    }

    /// The layers from the block down, newest first, and the hash below the last of them.
    fn walk(&self, mut hash: B256, limit: usize) -> (Vec<Arc<Layer>>, B256) {
        let mut path = Vec::new();
        while path.len() < limit
            && let Some(layer) = self.layers.get(&hash)
        {
            path.push(layer.clone());
            hash = layer.parent;
        }
        (path, hash)
    }

    /// The number of a block on the base's own chain whose state can be read; None for all others.
    fn number_on_base(&self, hash: B256) -> Result<Option<u64>> {
        if hash == self.hash {
            return Ok(Some(self.number));
        }
        let Some(row) = self.snapshot.get(&schema::number_key(hash))? else { return Ok(None) };
        let number = schema::u64_of(&row)?;
        if !(self.oldest_state..=self.number).contains(&number) {
            return Ok(None);
        }
        let entry = self.snapshot.get(&schema::base_chain_key(number))?;
        Ok(entry.filter(|entry| entry[..32] == *hash.as_slice()).map(|_| number))
    }
}

/// A block's change of one account.
struct Touched {
    before: Option<(Account, B256)>,
    after: Option<(Account, B256)>,
    /// Whether there was storage that counts no more.
    wiped: bool,
    leaf: trie::Item,
    storage: trie::Update,
}

impl Touched {
    fn new(view: &LayeredView, address: Address, change: &AccountDiff) -> Result<Self> {
        let before = view.full_account(address)?;
        let old_root = before.map_or(EMPTY_ROOT, |(_, root)| root);
        let wiped = old_root != EMPTY_ROOT && (change.account.is_none() || change.destroyed);
        let owner = keccak256(address);
        let mut slots: Vec<trie::Item> = Vec::new();
        if change.account.is_some() {
            let item = |&(slot, value)| trie::Item {
                key: schema::hash_slot(slot),
                value: schema::slot_leaf(value),
                before: None,
            };
            slots = change.storage.iter().map(item).collect();
            slots.sort_unstable_by_key(|slot| slot.key);
        }
        let storage = trie::update(view, if wiped { EMPTY_ROOT } else { old_root }, Some(owner), &slots)?;
        let after = change.account.map(|account| (account, storage.root));
        let value = |(account, root): (Account, B256)| schema::account_leaf(&account, root);
        let leaf = trie::Item { key: owner, value: after.map_or(Vec::new(), value), before: before.map(value) };
        Ok(Self { before, after, wiped, leaf, storage })
    }
}

/// Take over the rows that an update leaves different.
fn put_nodes(changes: &mut Changes, replaced: &mut Replaced, update: trie::Update) {
    changes.nodes.reserve(update.written.len());
    changes.nodes.extend(update.written.into_iter().map(|(key, row)| (Bytes::from(key), Some(row))));
    for (key, row) in update.replaced {
        let key = Bytes::from(key);
        changes.nodes.entry(key.clone()).or_insert(None);
        replaced.nodes.push((key, row));
    }
}

fn unavailable(hash: B256) -> StateError {
    StateError::Unavailable(format!("state of block {hash} is not available"))
}
