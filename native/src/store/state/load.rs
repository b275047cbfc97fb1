//! Opening: the layers above the base come back from their stored diffs.
//!
//! The trie of each is computed again. What that reads is fetched first, in the order of the disk: going over a level of
//! the trie once costs a fraction of as many single reads.

use super::{LayeredState, Result};
use crate::diff::StateDiff;
use crate::errors::StateError;
use crate::store::branches::{Link, choose_kept};
use crate::store::kv::{Batch, Read, for_each};
use crate::store::schema;
use rayon::prelude::*;
use revm::primitives::{B256, keccak256};
use std::cmp::Ordering;
use std::sync::Arc;

/// A level of the trie is gone over when at least one in so many of its nodes is wanted.
const WORTH: usize = 4;

/// Rows fetched by one scan.
const CHUNK: usize = 1024;

/// The "d" row of a block: the parent's hash, its own root, and what it changed.
type Stored = (B256, B256, Arc<StateDiff>);

/// A key and its row.
type StoredRow = (Vec<u8>, Vec<u8>);

impl LayeredState {
    /// Rebuild the layers from their stored diffs; a layer that does not give its recorded root is dropped and reported.
    pub(super) fn load_layers(&self) -> Result<Vec<String>> {
        let (rows, mut lost) = self.chosen_rows()?;
        let decode =
            |row: Vec<u8>| schema::decode_diff(&row).map(|(parent, root, diff)| (parent, root, Arc::new(diff)));
        let stored: Vec<(Vec<u8>, Result<Stored>)> =
            rows.into_par_iter().map(|(key, row)| (key, decode(row))).collect();
        // an error here comes again, and is reported, when the row is needed
        let _ = self.prefetch(stored.iter().flat_map(|(_, stored)| stored).map(|(_, _, diff)| &**diff));
        let mut warnings = Vec::new();
        for (key, stored) in stored {
            let number = schema::u64_of(&key[1..9])?;
            let hash = B256::from_slice(&key[9..]);
            let prepared = stored.and_then(|(parent, root, diff)| {
                let prepared = self.prepare(parent, diff)?;
                if prepared.root == root {
                    return Ok(prepared);
                }
                Err(StateError::Store(format!("its root is {}, recorded was {root}", prepared.root)))
            });
            match prepared {
                Ok(prepared) => self.attach(number, hash, &prepared)?,
                // a side branch whose parent the base left behind
                Err(StateError::Unavailable(_)) => lost.push((key.into(), None)),
                Err(error @ StateError::Unreadable(_)) => return Err(error), // says nothing of the diff
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

    /// The "d" rows that become layers, and the deletion of those that do not: of side branches beyond what is allowed.
    fn chosen_rows(&self) -> Result<(Vec<StoredRow>, Batch)> {
        let mut rows: Vec<StoredRow> = Vec::new();
        for_each(&self.store, b"d", b"e", |key, row| rows.push((key.to_vec(), row.to_vec())))?;
        let kept = self.kept();
        let head = self.store.get(schema::HEAD)?.map_or(kept.hash, |head| B256::from_slice(&head));
        let links = rows.iter().map(|(key, row)| {
            let parent = B256::right_padding_from(&row[..row.len().min(32)]);
            Ok(Link { number: schema::u64_of(&key[1..9])?, hash: B256::from_slice(&key[9..]), parent, size: row.len() })
        });
        let can_stand_on = |parent| Ok(kept.number_on_base(parent)?.is_some_and(|number| number >= kept.oldest_proofs));
        let chosen = choose_kept(
            links.collect::<Result<_>>()?,
            head,
            can_stand_on,
            self.limits.side_layers,
            self.limits.side_bytes,
        )?;
        let (rows, others): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|(key, _)| chosen.contains(&B256::from_slice(&key[9..])));
        Ok((rows, others.into_iter().map(|(key, _)| (key.into(), None)).collect()))
    }

    /// Bring into the cache what the base holds of the accounts in these diffs, and of the trie above them.
    fn prefetch<'a>(&self, diffs: impl Iterator<Item = &'a StateDiff>) -> Result<()> {
        let addresses: Vec<_> = diffs.flat_map(|diff| &diff.accounts).map(|(address, _)| *address).collect();
        let mut owners: Vec<B256> = addresses.into_par_iter().map(keccak256).collect();
        owners.par_sort_unstable();
        owners.dedup();
        let kept = self.kept();
        owners.par_iter().with_min_len(CHUNK).try_for_each(|owner| -> Result<()> {
            let key = schema::account_key(*owner);
            if let Some(row) = kept.snapshot.get(&key)? {
                self.cache.put(kept.version, &key, row);
            }
            Ok(())
        })?;
        let by_nibble: Vec<&[B256]> = owners.chunk_by(|a, b| a[0] >> 4 == b[0] >> 4).collect();
        for depth in 1..64 {
            let fetched: Result<Vec<bool>> =
                by_nibble.par_iter().map(|owners| self.prefetch_level(owners, depth)).collect();
            if !fetched?.contains(&true) {
                break;
            }
        }
        Ok(())
    }

    /// Fetch the nodes at `depth` above these hashed addresses, all with the same first nibble; whether it was worth it.
    fn prefetch_level(&self, owners: &[B256], depth: usize) -> Result<bool> {
        let kept = self.kept();
        let prefix = [b'A', depth as u8, owners[0][0] & 0xf0];
        let (mut start, stop) = (prefix.to_vec(), schema::prefix_end(&[b'A', depth as u8, owners[0][0] | 0x0f]));
        let mut wanted = owners.iter().peekable();
        let (mut seen, mut found) = (0, 0);
        loop {
            let rows = kept.snapshot.scan(&start, &stop, false, CHUNK)?;
            for (key, row) in &rows {
                while wanted.next_if(|owner| cut(owner, depth, &key[2..]).is_lt()).is_some() {}
                if wanted.peek().is_some_and(|owner| cut(owner, depth, &key[2..]).is_eq()) {
                    found += 1;
                    self.cache.put(kept.version, key, row.clone());
                }
            }
            seen += rows.len();
            let worth = found > 0 && found * WORTH >= seen;
            match rows.last() {
                Some((last, _)) if worth && rows.len() == CHUNK => start = [last, &[0][..]].concat(),
                _ => return Ok(worth),
            }
        }
    }
}

/// How the first `depth` nibbles of a hashed address relate to a node's path.
fn cut(owner: &B256, depth: usize, path: &[u8]) -> Ordering {
    let whole = depth / 2;
    let last = || if depth.is_multiple_of(2) { Ordering::Equal } else { (owner[whole] & 0xf0).cmp(&path[whole]) };
    owner[..whole].cmp(&path[..whole]).then_with(last)
}
