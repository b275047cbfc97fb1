//! How the base moves: forward over a layer, back by one block, and its past from the far end. Each move is one atomic batch.

use super::{Kept, LayeredState, Result};
use crate::errors::StateError;
use crate::store::kv::{Batch, Read, Store, for_each};
use crate::store::layers::Layer;
use crate::store::schema;
use rayon::prelude::*;
use revm::primitives::{B256, B256Map, Bytes, HashMap, keccak256};
use std::sync::Arc;

/// Blocks forgotten per base move, so that a narrowed window closes without a pause.
const PRUNE_AT_ONCE: usize = 4;

/// A row that a move changes; None where there is none.
struct Row {
    key: Bytes,
    before: Option<Bytes>,
    after: Option<Bytes>,
}

impl LayeredState {
    /// Move the base forward over its child `layer`.
    pub(super) fn merge(&self, layer: &Layer, sync: bool) -> Result<()> {
        let kept = self.kept();
        let number = layer.number;
        if layer.parent != kept.hash {
            return Err(StateError::Store(format!("block {number} is not the child of the base")));
        }
        let mut batch = Batch::with_capacity(2 * layer.changes.nodes.len() + 3 * layer.changes.accounts.len());
        let mut moved = Vec::with_capacity(batch.capacity() / 2);
        for (mut rows, changed_row) in [
            (self.flat_rows(&kept, layer)?, schema::changed_flat_key(number)),
            (node_rows(&kept, layer)?, schema::changed_nodes_key(number)),
        ] {
            rows.retain(|row| row.before != row.after);
            rows.par_sort_unstable_by(|a, b| a.key.cmp(&b.key));
            batch.push((changed_row, Some(rows.iter().flat_map(|row| row.key.iter().copied()).collect())));
            for Row { key, before, after } in rows {
                batch.push((schema::past_key(&key, number), Some(before.unwrap_or_default())));
                batch.push((key.clone(), after.clone()));
                moved.push((key, after));
            }
        }
        let entry: Bytes = [layer.hash.as_slice(), layer.root.as_slice()].concat().into();
        batch.push((schema::diff_key(number, layer.hash), None));
        batch.push((schema::BASE.into(), Some([&number.to_be_bytes()[..], &entry].concat().into())));
        batch.push((schema::base_chain_key(number), Some(entry)));
        self.prune(&kept, &mut batch, number)?;
        let mut layers = kept.layers.clone();
        layers.remove(&layer.hash);
        self.move_base(&kept, batch, sync, &moved, layers)
    }

    /// Move the base back by one block.
    pub(super) fn roll_back(&self) -> Result<()> {
        let kept = self.kept();
        let number = kept.number;
        let Some(row) =
            number.checked_sub(1).map(|below| kept.snapshot.get(&schema::base_chain_key(below))).transpose()?.flatten()
        else {
            return Err(StateError::Store(format!("no record of the block below the base's {number}")));
        };
        let (mut batch, mut moved) = (Batch::new(), Vec::new());
        for changed_row in [schema::changed_flat_key(number), schema::changed_nodes_key(number)] {
            for key in schema::split_keys(&kept.snapshot.get(&changed_row)?.unwrap_or_default())? {
                let past = schema::past_key(key, number);
                let value = kept.snapshot.get(&past)?.filter(|value| !value.is_empty());
                let key = Bytes::copy_from_slice(key);
                batch.push((key.clone(), value.clone()));
                batch.push((past, None));
                moved.push((key, value));
            }
            batch.push((changed_row, None));
        }
        batch.push((schema::base_chain_key(number), None));
        batch.push((schema::BASE.into(), Some([&(number - 1).to_be_bytes()[..], &row].concat().into())));
        self.move_base(&kept, batch, true, &moved, kept.layers.clone())
    }

    /// Write a move and show it; `rows` are those of accounts, slots and nodes that differ after it.
    fn move_base(
        &self,
        kept: &Kept,
        batch: Batch,
        sync: bool,
        rows: &[(Bytes, Option<Bytes>)],
        layers: B256Map<Arc<Layer>>,
    ) -> Result<()> {
        self.store.write(batch, sync)?;
        let version = kept.version + 1;
        self.cache.advance(version, rows.iter().map(|(key, row)| (key.as_ref(), row.as_ref())));
        self.swap(read_base(&self.store, layers, version)?);
        Ok(())
    }

    /// The account and slot rows that the layer changes.
    fn flat_rows(&self, kept: &Kept, layer: &Layer) -> Result<Vec<Row>> {
        let mut slots: HashMap<Bytes, Option<Bytes>> = HashMap::default();
        for (address, changed) in &layer.changes.storage {
            let owner = keccak256(address);
            slots
                .extend(changed.iter().map(|(slot, value)| (schema::slot_key(owner, *slot), schema::slot_row(*value))));
        }
        for address in &layer.changes.wiped {
            let prefix = [b"s", keccak256(address).as_slice()].concat();
            for_each(&*kept.snapshot, &prefix, &schema::prefix_end(&prefix), |key, _| {
                slots.entry(Bytes::copy_from_slice(key)).or_insert(None);
            })?;
        }
        let slots: Vec<_> = slots.into_iter().collect();
        let slots = slots
            .into_par_iter()
            .with_min_len(64)
            .map(|(key, after)| Ok(Row { before: kept.snapshot.get(&key)?, key, after }))
            .collect::<Result<Vec<_>>>()?;
        let accounts = layer.replaced.accounts.par_iter().map(|(address, before)| {
            let row = |(account, root): &_| schema::encode_account(account, *root);
            let after = layer.changes.accounts[address].as_ref().map(row);
            Row { key: schema::account_key(keccak256(address)), before: before.as_ref().map(row), after }
        });
        Ok(accounts.chain(slots).collect())
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
}

/// The trie nodes that the layer changes.
fn node_rows(kept: &Kept, layer: &Layer) -> Result<Vec<Row>> {
    let mut replaced: HashMap<Bytes, Bytes> = layer.replaced.nodes.iter().cloned().collect();
    for address in &layer.changes.wiped {
        let prefix = [b"S", keccak256(address).as_slice()].concat();
        for_each(&*kept.snapshot, &prefix, &schema::prefix_end(&prefix), |key, row| {
            replaced.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(row));
        })?;
    }
    let row = |(key, after): (&Bytes, &Option<Bytes>)| Row {
        key: key.clone(),
        before: replaced.remove(key),
        after: after.clone(),
    };
    let mut rows: Vec<Row> = layer.changes.nodes.iter().map(row).collect();
    rows.extend(replaced.into_iter().map(|(key, before)| Row { key, before: Some(before), after: None }));
    Ok(rows)
}

/// The base as the store has it.
pub fn read_base(store: &Store, layers: B256Map<Arc<Layer>>, version: u64) -> Result<Kept> {
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
        version,
        layers,
        oldest_state,
        oldest_proofs,
    })
}
