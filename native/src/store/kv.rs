//! The byte store: a LevelDB directory whose only handle lives here, or memory. The twin of `l2engine/store/kv.py`.
//!
//! LevelDB's lock does not see a second opener in its own process; the Python wrapper's registry of open paths does.

use crate::errors::StateError;
use imbl::OrdMap;
use leveldb_sys::*;
use rayon::prelude::*;
use revm::primitives::Bytes;
use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr;
use std::sync::{Arc, Mutex, Once, PoisonError, RwLock, RwLockReadGuard};

type Content = OrdMap<Bytes, Bytes>;
pub type Pair = (Bytes, Bytes);
type Result<T> = std::result::Result<T, StateError>;

/// Tables of 2 MB whose index stays in memory; with too few, each read of a large state opens one anew.
const OPEN_FILES: i32 = 2_048;

/// How a directory is opened; sizes in bytes.
#[derive(Clone)]
pub struct Options {
    pub cache: usize,
    pub write_buffer: usize,
    pub create: bool,
}

/// An ordered byte store. Cheap to clone; all clones are the same store.
#[derive(Clone)]
pub enum Store {
    LevelDb(Arc<LevelDb>),
    Memory(Arc<RwLock<Content>>),
}

/// A frozen picture of a store.
#[derive(Clone)]
pub enum Snapshot {
    LevelDb(Arc<LevelDbSnapshot>),
    Memory(Content),
}

/// Writes that become durable together or not at all. None deletes.
pub type Batch = Vec<(Bytes, Option<Bytes>)>;

/// Anything that rows can be read from.
pub trait Read: Send + Sync {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>>;
    /// Up to `limit` pairs with start <= key < stop, in key order or against it.
    fn scan(&self, start: &[u8], stop: &[u8], reverse: bool, limit: usize) -> Result<Vec<Pair>>;
}

impl Store {
    pub fn memory() -> Self {
        Self::Memory(Arc::default())
    }

    pub fn snapshot(&self) -> Result<Snapshot> {
        Ok(match self {
            Self::LevelDb(db) => Snapshot::LevelDb(LevelDbSnapshot::new(db)?),
            Self::Memory(content) => Snapshot::Memory(read(content).clone()),
        })
    }

    pub fn write(&self, batch: Batch, sync: bool) -> Result<()> {
        match self {
            Self::LevelDb(db) => db.write(&batch, sync),
            Self::Memory(content) => {
                let mut content = content.write().unwrap_or_else(PoisonError::into_inner);
                for (key, value) in batch {
                    match value {
                        Some(value) => content.insert(key, value),
                        None => content.remove(&key),
                    };
                }
                Ok(())
            }
        }
    }

    /// Release the directory. Whoever still holds the store or a snapshot gets errors from then on.
    pub fn close(&self) {
        if let Self::LevelDb(db) = self {
            db.close();
        }
    }

    /// Why a write failed, since when none is taken.
    pub fn failure(&self) -> Option<String> {
        if let Self::LevelDb(db) = self { db.failure() } else { None }
    }

    /// Close the directory and open it again. Snapshots taken before answer with errors.
    pub fn reopen(&self) -> Result<()> {
        if let Self::LevelDb(db) = self { db.reopen() } else { Ok(()) }
    }
}

impl Read for Store {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        match self {
            Self::LevelDb(db) => db.get(None, key),
            Self::Memory(content) => Ok(read(content).get(key).cloned()),
        }
    }

    fn scan(&self, start: &[u8], stop: &[u8], reverse: bool, limit: usize) -> Result<Vec<Pair>> {
        match self {
            Self::LevelDb(db) => db.scan(None, start, stop, reverse, limit),
            Self::Memory(content) => Ok(scan_memory(&read(content), start, stop, reverse, limit)),
        }
    }
}

impl Read for Snapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        match self {
            Self::LevelDb(snapshot) => snapshot.db.get(Some(snapshot), key),
            Self::Memory(content) => Ok(content.get(key).cloned()),
        }
    }

    fn scan(&self, start: &[u8], stop: &[u8], reverse: bool, limit: usize) -> Result<Vec<Pair>> {
        match self {
            Self::LevelDb(snapshot) => snapshot.db.scan(Some(snapshot), start, stop, reverse, limit),
            Self::Memory(content) => Ok(scan_memory(content, start, stop, reverse, limit)),
        }
    }
}

/// All pairs in a range, a chunk at a time.
pub fn for_each(read: &dyn Read, start: &[u8], stop: &[u8], mut each: impl FnMut(&[u8], &[u8])) -> Result<()> {
    let mut start = start.to_vec();
    loop {
        let pairs = read.scan(&start, stop, false, 1024)?;
        for (key, value) in &pairs {
            each(key, value);
        }
        let Some((last, _)) = pairs.last() else { return Ok(()) };
        start = [last, &[0][..]].concat();
    }
}

fn read(content: &RwLock<Content>) -> RwLockReadGuard<'_, Content> {
    content.read().unwrap_or_else(PoisonError::into_inner)
}

fn scan_memory(content: &Content, start: &[u8], stop: &[u8], reverse: bool, limit: usize) -> Vec<Pair> {
    if start >= stop {
        return Vec::new();
    }
    let range = content.range(Bytes::copy_from_slice(start)..Bytes::copy_from_slice(stop));
    let pair = |(key, value): (&Bytes, &Bytes)| (key.clone(), value.clone());
    if reverse { range.rev().take(limit).map(pair).collect() } else { range.take(limit).map(pair).collect() }
}

/// An open LevelDB directory. After a failed write it takes no other until it is reopened: LevelDB itself would go on behind the
/// torn record, and lose all that follows it at the next start.
pub struct LevelDb {
    handle: RwLock<Handle>,
    name: CString,
    options: Options,
    failure: Mutex<Option<String>>,
}

/// The open database and what it was opened with; `db` is null once closed.
struct Handle {
    /// How often the directory has been opened: a snapshot belongs to one of these times.
    opening: u64,
    db: *mut leveldb_t,
    options: *mut leveldb_options_t,
    cache: *mut leveldb_cache_t,
    filter: *mut leveldb_filterpolicy_t,
    plain_read: *mut leveldb_readoptions_t,
}

// SAFETY: LevelDB's handles may be used from any thread; closing is exclusive through the lock.
unsafe impl Send for Handle {}
unsafe impl Sync for Handle {}

/// Tables that LevelDB maps into memory. On its own it maps a thousand, 2 GB that count as the process's memory; beyond these,
/// tables are read through the block cache, which takes no more than it may.
const MAPPED_TABLES: i32 = 64;

static LIMIT_MAPPED_TABLES: Once = Once::new();

unsafe extern "C" {
    /// The only way to say so: LevelDB's options have no such thing.
    #[link_name = "_ZN7leveldb18EnvPosixTestHelper20SetReadOnlyMMapLimitEi"]
    fn limit_mapped_tables(limit: i32);
}

impl Handle {
    fn open(name: &CString, options: &Options) -> Result<Self> {
        // SAFETY: called before LevelDB opens its first file, which is when the limit must be known.
        LIMIT_MAPPED_TABLES.call_once(|| unsafe { limit_mapped_tables(MAPPED_TABLES) });
        // SAFETY: all pointers come from LevelDB and are freed in `release`, after the database that uses them.
        unsafe {
            let handle = leveldb_options_create();
            let cache = leveldb_cache_create_lru(options.cache);
            let filter = leveldb_filterpolicy_create_bloom(10);
            leveldb_options_set_create_if_missing(handle, u8::from(options.create));
            leveldb_options_set_cache(handle, cache);
            leveldb_options_set_filter_policy(handle, filter);
            leveldb_options_set_write_buffer_size(handle, options.write_buffer);
            leveldb_options_set_max_open_files(handle, OPEN_FILES);
            leveldb_options_set_compression(handle, Compression::Snappy);
            leveldb_options_set_paranoid_checks(handle, 1);
            let db = checked(|error| leveldb_open(handle, name.as_ptr(), error));
            let plain_read = leveldb_readoptions_create();
            leveldb_readoptions_set_verify_checksums(plain_read, 1);
            let db_or_null = *db.as_ref().unwrap_or(&ptr::null_mut());
            let mut opened = Self { opening: 0, db: db_or_null, options: handle, cache, filter, plain_read };
            if db.is_err() {
                opened.release();
            }
            db.map(|_| opened)
        }
    }

    /// Close the database and free what it was opened with.
    ///
    /// SAFETY: nobody else may be inside LevelDB.
    unsafe fn release(&mut self) {
        unsafe {
            if !self.db.is_null() {
                leveldb_close(self.db);
            }
            leveldb_readoptions_destroy(self.plain_read);
            leveldb_options_destroy(self.options);
            leveldb_cache_destroy(self.cache);
            leveldb_filterpolicy_destroy(self.filter);
        }
        self.db = ptr::null_mut();
    }
}

impl LevelDb {
    pub fn open(path: &str, options: &Options) -> Result<Arc<Self>> {
        let name = CString::new(path).map_err(|_| StateError::Store("path with a zero byte".to_owned()))?;
        let handle = RwLock::new(Handle::open(&name, options)?);
        Ok(Arc::new(Self { handle, name, options: options.clone(), failure: Mutex::default() }))
    }

    fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn reopen(&self) -> Result<()> {
        self.close();
        // No reader waits for the lock meanwhile: reads fail at once with "closed".
        let mut opened = Handle::open(&self.name, &Options { create: false, ..self.options })?;
        let mut handle = self.handle.write().unwrap_or_else(PoisonError::into_inner);
        opened.opening = handle.opening + 1;
        *handle = opened;
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    /// The open database; errors for a snapshot of an earlier opening.
    fn lock_at(&self, snapshot: Option<&LevelDbSnapshot>) -> Result<RwLockReadGuard<'_, Handle>> {
        let handle = self.lock()?;
        match snapshot {
            Some(snapshot) if snapshot.opening != handle.opening => {
                Err(StateError::StoreUnavailable("the database has been reopened since this was begun".to_owned()))
            }
            _ => Ok(handle),
        }
    }

    fn lock(&self) -> Result<RwLockReadGuard<'_, Handle>> {
        let handle = self.handle.read().unwrap_or_else(PoisonError::into_inner);
        if handle.db.is_null() {
            return Err(StateError::StoreUnavailable("the database is closed".to_owned()));
        }
        Ok(handle)
    }

    fn get(&self, snapshot: Option<&LevelDbSnapshot>, key: &[u8]) -> Result<Option<Bytes>> {
        let handle = self.lock_at(snapshot)?;
        // SAFETY: the database is open while the lock is held; LevelDB allocates the value, we copy and free it.
        unsafe {
            let options = ReadOptions::new(&handle, snapshot);
            let mut length = 0;
            let value = checked(|error| {
                leveldb_get(handle.db, options.raw, key.as_ptr().cast::<c_char>(), key.len(), &mut length, error)
            })
            .map_err(unreadable)?;
            if value.is_null() {
                return Ok(None);
            }
            let copy = Bytes::copy_from_slice(std::slice::from_raw_parts(value.cast::<u8>(), length));
            leveldb_free(value.cast::<c_void>());
            Ok(Some(copy))
        }
    }

    fn scan(
        &self,
        snapshot: Option<&LevelDbSnapshot>,
        start: &[u8],
        stop: &[u8],
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<Pair>> {
        let handle = self.lock_at(snapshot)?;
        let mut pairs = Vec::new();
        // SAFETY: as in `get`; the iterator dies before the lock is given up.
        unsafe {
            let options = ReadOptions::new(&handle, snapshot);
            let iterator = leveldb_create_iterator(handle.db, options.raw);
            let from = if reverse { stop } else { start };
            leveldb_iter_seek(iterator, from.as_ptr().cast::<c_char>(), from.len());
            if reverse {
                if leveldb_iter_valid(iterator) == 0 {
                    leveldb_iter_seek_to_last(iterator);
                }
                while leveldb_iter_valid(iterator) != 0 && part(iterator, leveldb_iter_key) >= stop {
                    leveldb_iter_prev(iterator);
                }
            }
            while pairs.len() < limit && leveldb_iter_valid(iterator) != 0 {
                let key = part(iterator, leveldb_iter_key);
                if key < start || key >= stop {
                    break;
                }
                let value = part(iterator, leveldb_iter_value);
                pairs.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
                if reverse { leveldb_iter_prev(iterator) } else { leveldb_iter_next(iterator) }
            }
            let mut error: *mut c_char = ptr::null_mut();
            leveldb_iter_get_error(iterator, (&raw mut error).cast());
            leveldb_iter_destroy(iterator);
            take_error(error).map_err(unreadable)?; // LevelDB skips a damaged block: the pairs may have a gap
        }
        Ok(pairs)
    }

    fn write(&self, batch: &Batch, sync: bool) -> Result<()> {
        let handle = self.lock()?;
        if let Some(reason) = self.failure() {
            return Err(StateError::StoreUnavailable(reason));
        }
        let mut batch: Vec<_> = batch.iter().collect();
        batch.par_sort_by(|a, b| a.0.cmp(&b.0)); // neighbours go into LevelDB's list faster; of equal keys the last still wins
        // SAFETY: as in `get`; LevelDB copies keys and values into its own batch.
        unsafe {
            let raw = leveldb_writebatch_create();
            for (key, value) in batch {
                let (at, length) = (key.as_ptr().cast::<c_char>(), key.len());
                match value {
                    Some(value) => {
                        leveldb_writebatch_put(raw, at, length, value.as_ptr().cast::<c_char>(), value.len())
                    }
                    None => leveldb_writebatch_delete(raw, at, length),
                }
            }
            let options = leveldb_writeoptions_create();
            leveldb_writeoptions_set_sync(options, u8::from(sync));
            let result = checked(|error| leveldb_write(handle.db, options, raw, error));
            leveldb_writeoptions_destroy(options);
            leveldb_writebatch_destroy(raw);
            result.map_err(|error| {
                let reason = error.to_string();
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.clone());
                StateError::StoreUnavailable(reason)
            })
        }
    }

    fn close(&self) {
        let mut handle = self.handle.write().unwrap_or_else(PoisonError::into_inner);
        if handle.db.is_null() {
            return;
        }
        // SAFETY: nobody else is inside LevelDB while the lock is held exclusively, and nobody enters a null database.
        unsafe { handle.release() };
    }
}

impl Drop for LevelDb {
    fn drop(&mut self) {
        self.close();
    }
}

/// A LevelDB snapshot; it keeps the database from being dropped, not from being closed.
pub struct LevelDbSnapshot {
    db: Arc<LevelDb>,
    opening: u64,
    handle: *const leveldb_snapshot_t,
}

// SAFETY: LevelDB's snapshots are immutable.
unsafe impl Send for LevelDbSnapshot {}
unsafe impl Sync for LevelDbSnapshot {}

impl LevelDbSnapshot {
    fn new(db: &Arc<LevelDb>) -> Result<Arc<Self>> {
        let handle = db.lock()?;
        // SAFETY: the database is open while the lock is held.
        let snapshot = unsafe { leveldb_create_snapshot(handle.db) };
        let opening = handle.opening;
        drop(handle);
        Ok(Arc::new(Self { db: db.clone(), opening, handle: snapshot }))
    }
}

impl Drop for LevelDbSnapshot {
    fn drop(&mut self) {
        if let Ok(handle) = self.db.lock_at(Some(self)) {
            // SAFETY: the database is still open as it was, so the snapshot is alive.
            unsafe { leveldb_release_snapshot(handle.db, self.handle) };
        }
    }
}

/// The plain read options, or ones made for a snapshot.
struct ReadOptions {
    raw: *mut leveldb_readoptions_t,
    own: bool,
}

impl ReadOptions {
    unsafe fn new(handle: &Handle, snapshot: Option<&LevelDbSnapshot>) -> Self {
        let Some(snapshot) = snapshot else {
            return Self { raw: handle.plain_read, own: false };
        };
        unsafe {
            let raw = leveldb_readoptions_create();
            leveldb_readoptions_set_verify_checksums(raw, 1);
            leveldb_readoptions_set_snapshot(raw, snapshot.handle);
            Self { raw, own: true }
        }
    }
}

impl Drop for ReadOptions {
    fn drop(&mut self) {
        if self.own {
            // SAFETY: made by `new`, used by nobody else.
            unsafe { leveldb_readoptions_destroy(self.raw) };
        }
    }
}

type Part = unsafe extern "C" fn(*const leveldb_iterator_t, *const usize) -> *const c_char;

unsafe fn part<'a>(iterator: *mut leveldb_iterator_t, get: Part) -> &'a [u8] {
    let mut length = 0usize;
    unsafe {
        let start = get(iterator, &raw mut length);
        std::slice::from_raw_parts(start.cast::<u8>(), length)
    }
}

unsafe fn checked<T>(work: impl FnOnce(*mut *mut c_char) -> T) -> Result<T> {
    let mut error: *mut c_char = ptr::null_mut();
    let result = work(&mut error);
    unsafe { take_error(error) }?;
    Ok(result)
}

/// An error of LevelDB that came while reading.
fn unreadable(error: StateError) -> StateError {
    match error {
        StateError::Store(text) => StateError::Unreadable(text),
        other => other,
    }
}

unsafe fn take_error(error: *mut c_char) -> Result<()> {
    if error.is_null() {
        return Ok(());
    }
    unsafe {
        let text = CStr::from_ptr(error).to_string_lossy().into_owned();
        leveldb_free(error.cast::<c_void>());
        Err(StateError::Store(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each kind; `name` keeps the databases of tests that run at once apart.
    fn stores(name: &str) -> Vec<Store> {
        let path = std::env::temp_dir().join(format!("l2engine-native-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        let options = Options { cache: 1 << 20, write_buffer: 1 << 20, create: true };
        vec![Store::memory(), Store::LevelDb(LevelDb::open(path.to_str().unwrap(), &options).unwrap())]
    }

    fn b(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    #[test]
    fn snapshots_and_scans() {
        for store in stores("scans") {
            store.write(vec![(b("a"), Some(b("1"))), (b("b"), Some(b("2"))), (b("d"), Some(b("4")))], false).unwrap();
            let before = store.snapshot().unwrap();
            store.write(vec![(b("a"), None), (b("c"), Some(b("")))], true).unwrap();
            assert_eq!(before.get(b"a").unwrap(), Some(b("1")));
            assert_eq!(store.get(b"a").unwrap(), None);
            assert_eq!(store.get(b"c").unwrap(), Some(b("")));
            let keys = |pairs: Vec<Pair>| pairs.into_iter().map(|pair| pair.0).collect::<Vec<_>>();
            assert_eq!(keys(store.scan(b"a", b"d", false, 9).unwrap()), [b("b"), b("c")]);
            assert_eq!(keys(store.scan(b"a", b"z", true, 2).unwrap()), [b("d"), b("c")]);
            assert_eq!(keys(before.scan(b"", b"\xff", true, 9).unwrap()), [b("d"), b("b"), b("a")]);
        }
    }

    #[test]
    fn a_reopened_database_goes_on_and_old_snapshots_are_refused() {
        let store = stores("reopened").remove(1);
        store.write(vec![(b("a"), Some(b("1")))], false).unwrap();
        let before = store.snapshot().unwrap();
        store.reopen().unwrap();
        assert!(before.get(b"a").is_err());
        assert!(before.scan(b"", b"z", false, 9).is_err());
        drop(before);
        store.write(vec![(b("b"), Some(b("2")))], false).unwrap();
        assert_eq!(store.snapshot().unwrap().get(b"a").unwrap(), Some(b("1")));
        assert_eq!(store.get(b"b").unwrap(), Some(b("2")));
    }

    #[test]
    fn a_closed_database_answers_with_errors() {
        let store = stores("closed").remove(1);
        let snapshot = store.snapshot().unwrap();
        store.close();
        assert!(store.get(b"a").is_err());
        assert!(snapshot.get(b"a").is_err());
    }
}
