//! Rows of the base and of its past, accounts and slots and trie nodes: the ones read last, in a bounded amount of memory.
//!
//! A view may live on while the base moves under it, so the cache knows which version of the base it shows, and is silent to
//! readers of any other.

use lru::LruCache;
use revm::primitives::Bytes;
use revm::primitives::map::DefaultHashBuilder;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Parts with a lock each, so that threads seldom wait for one another.
const SHARDS: usize = 16;

/// The size of an entry beside its row, in bytes.
const ENTRY: usize = 140;

pub struct RowCache {
    shards: [Mutex<Shard>; SHARDS],
    hasher: DefaultHashBuilder,
    /// How much memory a shard may take.
    shard_bytes: usize,
}

struct Shard {
    version: u64,
    rows: LruCache<Box<[u8]>, Bytes, DefaultHashBuilder>,
    bytes: usize,
}

impl RowCache {
    /// An empty cache of version 0.
    pub fn new(bytes: usize) -> Self {
        let hasher = DefaultHashBuilder::default();
        let shard =
            |_| Mutex::new(Shard { version: 0, rows: LruCache::unbounded_with_hasher(hasher.clone()), bytes: 0 });
        Self { shards: std::array::from_fn(shard), shard_bytes: bytes / SHARDS, hasher }
    }

    fn shard(&self, index: usize) -> MutexGuard<'_, Shard> {
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn index(&self, key: &[u8]) -> usize {
        (self.hasher.hash_one(key) >> 32) as usize % SHARDS // the map inside uses the lowest and the highest bits
    }

    pub fn get(&self, version: u64, key: &[u8]) -> Option<Bytes> {
        let mut shard = self.shard(self.index(key));
        if shard.version == version { shard.rows.get(key).cloned() } else { None }
    }

    pub fn put(&self, version: u64, key: &[u8], row: Bytes) {
        let mut shard = self.shard(self.index(key));
        if shard.version != version {
            return;
        }
        shard.set(key, Some(row));
        while shard.bytes > self.shard_bytes
            && let Some((_, row)) = shard.rows.pop_lru()
        {
            shard.bytes -= row.len() + ENTRY;
        }
    }

    /// The base moved, to its next version: these are the rows that differ there; None when gone.
    pub fn advance<'a>(&self, version: u64, changes: impl Iterator<Item = (&'a [u8], Option<&'a Bytes>)>) {
        let mut shards: Vec<_> = (0..SHARDS).map(|index| self.shard(index)).collect();
        for (key, row) in changes {
            let shard = &mut shards[self.index(key)];
            if shard.rows.contains(key) {
                shard.set(key, row.cloned());
            }
        }
        shards.iter_mut().for_each(|shard| shard.version = version);
    }
}

impl Shard {
    fn set(&mut self, key: &[u8], row: Option<Bytes>) {
        let old = match row {
            Some(row) => {
                self.bytes += row.len() + ENTRY;
                self.rows.put(key.into(), row)
            }
            None => self.rows.pop(key),
        };
        self.bytes -= old.map_or(0, |row| row.len() + ENTRY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(byte: u8) -> Bytes {
        vec![byte; 100].into()
    }

    #[test]
    fn each_version_sees_only_itself() {
        let cache = RowCache::new(1 << 20);
        cache.put(0, b"a", row(1));
        cache.put(0, b"b", row(2));
        cache.put(0, b"c", row(3));
        let changes = [(&b"a"[..], Some(row(4))), (b"b", None), (b"d", Some(row(5)))];
        cache.advance(1, changes.iter().map(|(key, row)| (*key, row.as_ref())));
        cache.put(0, b"e", row(6)); // read by a view that was left behind
        let seen = |version| [b"a", b"b", b"c", b"d", b"e"].map(|key| cache.get(version, key));
        assert_eq!(seen(0), [None, None, None, None, None]);
        assert_eq!(seen(1), [Some(row(4)), None, Some(row(3)), None, None]);
    }

    #[test]
    fn what_was_used_longest_ago_gives_way() {
        let cache = RowCache::new(SHARDS * 10 * (100 + ENTRY));
        for number in 0..1000u32 {
            cache.put(0, &number.to_be_bytes(), row(1));
            assert!(cache.get(0, b"\0\0\0\0").is_some());
        }
        let kept = (0..1000u32).filter(|number| cache.get(0, &number.to_be_bytes()).is_some()).count();
        assert!((100..=160).contains(&kept), "{kept}");
    }
}
