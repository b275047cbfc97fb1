//! The state of every kept block: one base on disk with its past, and one layer in memory per recent block.
//!
//! The twin of `l2engine/store/state.py`, row for row. One thread changes it; any thread may read: everything a reader needs
//! stands in one immutable record that is swapped whole. Each change of the base is one atomic batch.

use crate::diff::StateDiff;
use crate::errors::StateError;
use crate::kv::{Batch, Read, Snapshot, Store, for_each};
use crate::layers::{Changes, Layer, LayeredView, MERGE_EVERY, merge};
use crate::schema;
use crate::trie::{self, EMPTY_ROOT};
use rayon::prelude::*;
use revm::primitives::{B256, B256Map, Bytes, HashMap, HashSet, keccak256};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

type Result<T> = std::result::Result<T, StateError>;

/// Blocks forgotten per base move, so that a narrowed window closes without a pause.
const PRUNE_AT_ONCE: usize = 4;

/// About how many bytes the layers above the base may take; beyond, it follows the head more closely.
const LAYER_BYTES: usize = 384 << 20;

/// How much is kept; windows count blocks below the base, 0 keeps all.
pub struct Limits {
    pub history_state: u64,
    pub history_proofs: u64,
    pub layers: usize,
    pub side_bytes: usize,
}

/// A diff on top of a block, with its root and new trie nodes.
pub struct Prepared {
    pub root: B256,
    pub parent: B256,
    pub diff: Arc<StateDiff>,
    pub changes: Arc<Changes>,
}

/// What there is to read, at one moment.
struct Kept {
    number: u64,
    hash: B256,
    root: B256,
    /// Shows the base after block `number`.
    snapshot: Arc<Snapshot>,
    layers: B256Map<Arc<Layer>>,
    oldest_state: u64,
    oldest_proofs: u64,
}

pub struct LayeredState {
    store: Store,
    limits: Limits,
    kept: RwLock<Arc<Kept>>,
    /// The view asked for last, and the base that it stands on: execution and root of a block read the same rows.
    latest_view: Mutex<Option<(Arc<Snapshot>, Arc<LayeredView>)>>,
}

impl LayeredState {
    /// Open the state; what had to be dropped from the stored layers is told in words.
    pub fn open(store: Store, limits: Limits) -> Result<(Self, Vec<String>)> {
        let kept = RwLock::new(Arc::new(read_base(&store, B256Map::default())?));
        let state = Self { store, limits, kept, latest_view: Mutex::new(None) };
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
        let as_of = if at_base { None } else { Some(number) };
        let has_nodes = at_base || number >= kept.oldest_proofs;
        Ok(LayeredView::new(top, path, kept.snapshot.clone(), self.store.clone(), as_of, has_nodes))
    }

    // ---- changing ---------------------------------------------------------------------------------------------------

    /// Compute the state root of `diff` on top of the parent. Writes nothing.
    pub fn prepare(&self, parent: B256, diff: Arc<StateDiff>) -> Result<Prepared> {
        let view = self.view(parent)?;
        type Part = (Option<B256>, bool, Vec<(Vec<u8>, Option<Bytes>)>);
        let parts: Result<Vec<Part>> = diff
            .accounts
            .par_iter()
            .with_min_len(16)
            .map(|(address, change)| {
                let owner = keccak256(address);
                let mut root = view.storage_root(*address)?;
                let wiped = root != EMPTY_ROOT && (change.account.is_none() || change.destroyed);
                if wiped {
                    root = EMPTY_ROOT;
                }
                if change.account.is_none() {
                    return Ok((None, wiped, Vec::new()));
                }
                let mut slots: Vec<trie::Item> = change
                    .storage
                    .iter()
                    .map(|(slot, value)| (schema::hash_slot(*slot), schema::slot_leaf(*value)))
                    .collect();
                slots.sort_unstable_by_key(|slot| slot.0);
                let (root, rows) = trie::update(&*view, root, Some(owner), &slots)?;
                Ok((Some(root), wiped, rows))
            })
            .collect();
        let mut changes = Changes::default();
        let mut leaves: Vec<trie::Item> = Vec::with_capacity(diff.accounts.len());
        for ((address, change), (root, wiped, rows)) in diff.accounts.iter().zip(parts?) {
            if wiped {
                changes.wiped.insert(*address);
                changes.storage.insert(*address, HashMap::default());
            }
            let after = change.account.zip(root);
            changes.accounts.insert(*address, after);
            if after.is_some() && !change.storage.is_empty() {
                changes.storage.insert(*address, change.storage.iter().copied().collect());
            }
            changes.nodes.extend(rows.into_iter().map(|(key, row)| (Bytes::from(key), row)));
            let leaf = after.map_or(Vec::new(), |(account, root)| schema::account_leaf(&account, root));
            leaves.push((keccak256(address), leaf));
        }
        leaves.par_sort_unstable_by_key(|leaf| leaf.0);
        let (root, rows) = trie::update(&*view, view.root, None, &leaves)?;
        changes.nodes.extend(rows.into_iter().map(|(key, row)| (Bytes::from(key), row)));
        Ok(Prepared { root, parent, diff, changes: Arc::new(changes) })
    }

    /// The account's storage root in a prepared state.
    pub fn prepared_storage_root(&self, prepared: &Prepared, address: revm::primitives::Address) -> Result<B256> {
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

    // ---- the base ---------------------------------------------------------------------------------------------------

    /// Move the base forward over its child `layer`.
    fn merge(&self, layer: &Layer, sync: bool) -> Result<()> {
        let kept = self.kept();
        let number = layer.number;
        if layer.parent != kept.hash {
            return Err(StateError::Store(format!("block {number} does not stand on the base")));
        }
        let mut flat: HashMap<Bytes, Option<Bytes>> = HashMap::default();
        for (address, account) in &layer.changes.accounts {
            let row = account.as_ref().map(|(account, root)| schema::encode_account(account, *root));
            flat.insert(schema::account_key(keccak256(address)), row);
        }
        for (address, slots) in &layer.changes.storage {
            let owner = keccak256(address);
            flat.extend(slots.iter().map(|(slot, value)| (schema::slot_key(owner, *slot), schema::slot_row(*value))));
        }
        let mut nodes = layer.changes.nodes.clone();
        for address in &layer.changes.wiped {
            let owner = keccak256(address);
            for (rows, kind) in [(&mut flat, b's'), (&mut nodes, b'S')] {
                let prefix = [&[kind], owner.as_slice()].concat();
                for_each(&*kept.snapshot, &prefix, &schema::prefix_end(&prefix), |key, _| {
                    rows.entry(Bytes::copy_from_slice(key)).or_insert(None);
                })?;
            }
        }
        let mut batch = Batch::new();
        for (rows, changed_row) in
            [(flat, schema::changed_flat_key(number)), (nodes, schema::changed_nodes_key(number))]
        {
            let rows: Vec<(Bytes, Option<Bytes>)> = rows.into_iter().collect();
            let old: Result<Vec<_>> = rows
                .into_par_iter()
                .with_min_len(64)
                .map(|(key, value)| Ok((kept.snapshot.get(&key)?, key, value)))
                .collect();
            let mut changed = Vec::new();
            for (before, key, value) in old? {
                if before == value {
                    continue;
                }
                batch.push((schema::past_key(&key, number), Some(before.unwrap_or_default())));
                batch.push((key.clone(), value));
                changed.push(key);
            }
            changed.sort_unstable();
            batch.push((changed_row, Some(changed.concat().into())));
        }
        let entry: Bytes = [layer.hash.as_slice(), layer.root.as_slice()].concat().into();
        batch.push((schema::diff_key(number, layer.hash), None));
        batch.push((schema::BASE.into(), Some([&number.to_be_bytes()[..], &entry].concat().into())));
        batch.push((schema::base_chain_key(number), Some(entry)));
        self.prune(&kept, &mut batch, number)?;
        self.store.write(batch, sync)?;
        let mut layers = kept.layers.clone();
        layers.remove(&layer.hash);
        self.swap(read_base(&self.store, layers)?);
        Ok(())
    }

    /// Move the base back by one block.
    fn roll_back(&self) -> Result<()> {
        let kept = self.kept();
        let number = kept.number;
        let Some(row) =
            number.checked_sub(1).map(|below| kept.snapshot.get(&schema::base_chain_key(below))).transpose()?.flatten()
        else {
            return Err(StateError::Store(format!("no record of the block below the base's {number}")));
        };
        let mut batch = Batch::new();
        for changed_row in [schema::changed_flat_key(number), schema::changed_nodes_key(number)] {
            for key in schema::split_keys(&kept.snapshot.get(&changed_row)?.unwrap_or_default())? {
                let past = schema::past_key(key, number);
                let value = kept.snapshot.get(&past)?.filter(|value| !value.is_empty());
                batch.push((Bytes::copy_from_slice(key), value));
                batch.push((past, None));
            }
            batch.push((changed_row, None));
        }
        batch.push((schema::base_chain_key(number), None));
        batch.push((schema::BASE.into(), Some([&(number - 1).to_be_bytes()[..], &row].concat().into())));
        self.store.write(batch, true)?;
        self.swap(read_base(&self.store, kept.layers.clone())?);
        Ok(())
    }

    /// Forget the past below the windows, as seen from base `number`, but nothing that a finalized block needs.
    fn prune(&self, kept: &Kept, batch: &mut Batch, number: u64) -> Result<()> {
        let finalized = self.finalized_number()?;
        let mut forget = |block: u64, changed_row: Bytes| -> Result<()> {
            for key in schema::split_keys(&kept.snapshot.get(&changed_row)?.unwrap_or_default())? {
                batch.push((schema::past_key(key, block), None));
            }
            batch.push((changed_row, None));
            Ok(())
        };
        let wanted = |window: u64| if window == 0 { 0 } else { number.saturating_sub(window).min(finalized) };
        let (mut state, mut proofs) = (kept.oldest_state, kept.oldest_proofs);
        for _ in 0..PRUNE_AT_ONCE {
            if state < wanted(self.limits.history_state) {
                state += 1;
                forget(state, schema::changed_flat_key(state))?;
            }
            if proofs < wanted(self.limits.history_proofs).max(state) {
                proofs += 1;
                forget(proofs, schema::changed_nodes_key(proofs))?;
            }
        }
        batch.extend((kept.oldest_state..state).map(|block| (schema::base_chain_key(block), None)));
        for (key, before, now) in
            [(schema::PAST_STATE, kept.oldest_state, state), (schema::PAST_PROOFS, kept.oldest_proofs, proofs)]
        {
            if now != before {
                batch.push((key.into(), Some(now.to_be_bytes().into())));
            }
        }
        Ok(())
    }

    fn finalized_number(&self) -> Result<u64> {
        let Some(finalized) = self.store.get(schema::FINALIZED)? else { return Ok(0) };
        let row = self.store.get(&schema::number_key(B256::from_slice(&finalized)))?;
        row.map_or(Ok(0), |row| schema::u64_of(&row))
    }

    // ---- the layers -------------------------------------------------------------------------------------------------

    /// Let go of layers that stand on nothing any more, and of the oldest side branches beyond the allowed memory.
    fn drop_side_layers(&self, head: B256) -> Result<()> {
        let kept = self.kept();
        let Some(top) = kept.layers.get(&head).map(|layer| layer.number) else { return Ok(()) };
        let mut canonical: HashSet<B256> = kept.walk(head, usize::MAX).0.iter().map(|layer| layer.hash).collect();
        let mut sorted: Vec<&Arc<Layer>> = kept.layers.values().collect();
        sorted.sort_unstable_by_key(|layer| layer.number);
        let mut layers: B256Map<Arc<Layer>> = B256Map::default();
        for layer in &sorted {
            let fork = kept.number_on_base(layer.parent)?;
            if layers.contains_key(&layer.parent) || fork.is_some_and(|fork| fork >= kept.oldest_proofs) {
                layers.insert(layer.hash, (*layer).clone());
            }
            if layer.parent == head || (canonical.contains(&layer.parent) && layer.number > top) {
                canonical.insert(layer.hash); // blocks on top of the head may become it next
            }
        }
        let mut spare = self.limits.side_bytes;
        for layer in sorted.iter().rev() {
            if canonical.contains(&layer.hash) || !layers.contains_key(&layer.hash) {
                continue;
            }
            match spare.checked_sub(layer.size) {
                Some(left) => spare = left,
                None => {
                    spare = 0;
                    let mut doomed: HashSet<B256> = HashSet::default();
                    doomed.insert(layer.hash);
                    for other in &sorted {
                        if doomed.contains(&other.parent) {
                            doomed.insert(other.hash);
                        }
                    }
                    layers.retain(|hash, _| !doomed.contains(hash));
                }
            }
        }
        if layers.len() != kept.layers.len() {
            let dropped = sorted.iter().filter(|layer| !layers.contains_key(&layer.hash));
            self.store
                .write(dropped.map(|layer| (schema::diff_key(layer.number, layer.hash), None)).collect(), false)?;
            self.swap(kept.with_layers(layers));
        }
        Ok(())
    }

    /// Rebuild the layers from their stored diffs; what does not give its recorded root is dropped and told.
    fn load_layers(&self) -> Result<Vec<String>> {
        let mut stored = Vec::new();
        for_each(&self.store, b"d", b"e", |key, row| stored.push((key.to_vec(), row.to_vec())))?;
        let (mut lost, mut warnings) = (Batch::new(), Vec::new());
        for (key, row) in stored {
            let number = schema::u64_of(&key[1..9])?;
            let hash = B256::from_slice(&key[9..]);
            let prepared = schema::decode_diff(&row).and_then(|(parent, root, diff)| {
                let prepared = self.prepare(parent, Arc::new(diff))?;
                if prepared.root == root {
                    return Ok(prepared);
                }
                Err(StateError::Store(format!("its root is {}, recorded was {root}", prepared.root)))
            });
            match prepared {
                Ok(prepared) => self.attach(number, hash, &prepared)?,
                // a side branch whose parent the base left behind
                Err(StateError::Unavailable(_)) => lost.push((key.into(), None)),
                Err(error) => {
                    warnings.push(format!("dropped the stored state of block {number} {hash}: {error}"));
                    lost.push((key.into(), None));
                }
            }
        }
        if !lost.is_empty() {
            self.store.write(lost, false)?;
        }
        Ok(warnings)
    }

    /// How many blocks stand above the base.
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

fn read_base(store: &Store, layers: B256Map<Arc<Layer>>) -> Result<Kept> {
    let snapshot = store.snapshot()?;
    let Some(row) = snapshot.get(schema::BASE)? else {
        return Err(StateError::Store("the database has no state: write a genesis first".to_owned()));
    };
    let number = |key| -> Result<u64> { snapshot.get(key)?.map_or(Ok(0), |row| schema::u64_of(&row)) };
    let (oldest_state, oldest_proofs) = (number(schema::PAST_STATE)?, number(schema::PAST_PROOFS)?);
    Ok(Kept {
        number: schema::u64_of(&row[..8])?,
        hash: B256::from_slice(&row[8..40]),
        root: B256::from_slice(&row[40..]),
        snapshot: Arc::new(snapshot),
        layers,
        oldest_state,
        oldest_proofs,
    })
}

fn unavailable(hash: B256) -> StateError {
    StateError::Unavailable(format!("state of block {hash} is not available"))
}
