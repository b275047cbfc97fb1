"""Ordered byte stores: LevelDB on disk, and one in memory for the dev chain and tests.

Both offer `types.storage.KeyValue`: reads, iteration, atomic batches, frozen snapshots. Any thread may read; one writes.
A LevelDB directory is ours or empty: locked, foreign and newer ones are refused with `StoreError`, since LevelDB itself
notices neither a second opener in its own process nor whose data it holds.
"""

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import plyvel
from sortedcontainers import SortedList

from l2engine.errors import StoreError, StoreUnreadable
from l2engine.store import schema
from l2engine.store.files import IMPORT_AGAIN, find_damage, refuse_damaged_lengths
from l2engine.store.upgrades import upgrade
from l2engine.types.storage import Batch, KeyValue, Snapshot

_MEGABYTE = 1 << 20
_CHUNK = 256  # keys that one step of an in-memory iteration takes under the lock

_open_here: set[str] = set()  # real paths open in this process
_open_lock = threading.Lock()


class LevelDB:
    """A LevelDB directory. Snapshots and iterators die with `close`; reading damaged files raises `StoreUnreadable`."""

    get: Callable[[bytes], bytes | None]

    def __init__(self, path: str | Path, cache_mb: int = 128, write_buffer_mb: int = 32, create: bool = True) -> None:
        self.path = os.path.realpath(path)
        claim_path(self.path)
        try:
            refuse_other_files(self.path)
            refuse_damaged_lengths(self.path)
            if create:
                os.makedirs(self.path, exist_ok=True)
            self._db = plyvel.DB(
                self.path,
                create_if_missing=create,
                lru_cache_size=cache_mb * _MEGABYTE,
                write_buffer_size=write_buffer_mb * _MEGABYTE,
                bloom_filter_bits=10,
                max_open_files=512,
                paranoid_checks=True,
            )
        except plyvel.Error as error:
            release_path(self.path)
            raise explain(self.path, _text(error)) from error
        except BaseException:
            release_path(self.path)
            raise
        self.get = _guarded(self._db.get)
        try:
            claim_schema(self, self.path)
        except BaseException:
            self.close()
            raise

    def iterate(self, start: bytes, stop: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        return _iterate(self._db, start, stop, reverse)

    def batch(self) -> Batch:
        return _LevelDBBatch(self._db)

    def snapshot(self) -> Snapshot:
        return _LevelDBSnapshot(self._db.snapshot())

    def close(self) -> None:
        """Release the directory; a second call does nothing."""
        if not self._db.closed:
            self._db.close()
            release_path(self.path)


class _LevelDBBatch:
    def __init__(self, db: plyvel.DB) -> None:
        self._db = db
        self._batch = db.write_batch()
        self.put = self._batch.put
        self.delete = self._batch.delete

    def write(self, sync: bool = False) -> None:
        """`StoreError` when the disk takes no more."""
        batch = self._batch
        if sync:  # plyvel fixes the flag when a batch begins, so its content moves to one that syncs
            batch = self._db.write_batch(sync=True)
            batch.append(self._batch)
        try:
            batch.write()
        except plyvel.Error as error:
            raise StoreError(_text(error)) from error


class _LevelDBSnapshot:
    def __init__(self, snapshot: "plyvel.Snapshot") -> None:
        self._snapshot = snapshot
        self.get = _guarded(snapshot.get)

    def iterate(self, start: bytes, stop: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        return _iterate(self._snapshot, start, stop, reverse)


class MemoryKeyValue:
    """A sorted dictionary in which each key keeps the versions that living snapshots may still read."""

    def __init__(self) -> None:
        self._keys: SortedList[bytes] = SortedList()
        self._versions: dict[bytes, tuple[tuple[int, bytes | None], ...]] = {}
        self._sequence = 0
        self._snapshots: weakref.WeakSet[_MemorySnapshot] = weakref.WeakSet()
        self._lock = threading.Lock()
        claim_schema(self, "memory")

    def get(self, key: bytes) -> bytes | None:
        versions = self._versions.get(key)
        return versions[-1][1] if versions else None

    def iterate(self, start: bytes, stop: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        return self.snapshot().iterate(start, stop, reverse)

    def batch(self) -> Batch:
        return _MemoryBatch(self)

    def snapshot(self) -> Snapshot:
        with self._lock:
            snapshot = _MemorySnapshot(self, self._sequence)
            self._snapshots.add(snapshot)
            return snapshot

    def close(self) -> None:
        """Nothing to release; the content stays, so that tests can open it again."""

    def apply(self, changes: dict[bytes, bytes | None]) -> None:
        """All changes at once; None deletes."""
        with self._lock:
            oldest = min((snapshot.sequence for snapshot in self._snapshots), default=None)
            self._sequence += 1
            for key, value in changes.items():
                versions = self._versions.get(key, ())
                needed = () if oldest is None else _still_read(versions, oldest)
                if value is None and not needed:
                    if versions:
                        del self._versions[key]
                        self._keys.remove(key)
                    continue
                if not versions:
                    self._keys.add(key)
                self._versions[key] = (*needed, (self._sequence, value))

    def get_at(self, key: bytes, sequence: int) -> bytes | None:
        """The value of `key` as of the batch with this sequence number."""
        for written, value in reversed(self._versions.get(key, ())):
            if written <= sequence:
                return value
        return None

    def keys_between(self, start: bytes, stop: bytes, reverse: bool, count: int) -> list[bytes]:
        """Up to `count` keys, deleted ones that a snapshot still reads included."""
        with self._lock:
            keys = self._keys.irange(start, stop, (True, False), reverse)
            return [key for key, _ in zip(keys, range(count), strict=False)]


class _MemoryBatch:
    def __init__(self, store: MemoryKeyValue) -> None:
        self._store = store
        self._changes: dict[bytes, bytes | None] = {}

    def put(self, key: bytes, value: bytes) -> None:
        self._changes[key] = value

    def delete(self, key: bytes) -> None:
        self._changes[key] = None

    def write(self, sync: bool = False) -> None:
        self._store.apply(self._changes)


class _MemorySnapshot:
    def __init__(self, store: MemoryKeyValue, sequence: int) -> None:
        self._store, self.sequence = store, sequence

    def get(self, key: bytes) -> bytes | None:
        return self._store.get_at(key, self.sequence)

    def iterate(self, start: bytes, stop: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        while keys := self._store.keys_between(start, stop, reverse, _CHUNK):
            for key in keys:
                value = self.get(key)
                if value is not None:
                    yield key, value
            start, stop = (start, keys[-1]) if reverse else (keys[-1] + b"\0", stop)


def _guarded(get: Callable[..., bytes | None]) -> Callable[[bytes], bytes | None]:
    def read(key: bytes) -> bytes | None:
        try:
            return get(key, verify_checksums=True)
        except plyvel.Error as error:
            raise StoreUnreadable(_text(error)) from error

    return read


def _iterate(source: "plyvel.DB | plyvel.Snapshot", start: bytes, stop: bytes, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
    """Rows in order or against it, over a raw iterator: plyvel's other one ends without an error when nothing readable follows a
    damaged block."""
    try:
        rows = source.raw_iterator(verify_checksums=True)
        rows.seek(stop if reverse else start)
        if reverse:
            if rows.valid():
                rows.prev()
            else:
                rows.seek_to_last()
        step = rows.prev if reverse else rows.next
        while rows.valid():
            row = rows.item()
            if not start <= row[0] < stop:
                break
            yield row
            step()
    except plyvel.Error as error:
        raise StoreUnreadable(_text(error)) from error


def _text(error: plyvel.Error) -> str:
    """What LevelDB said, which plyvel hands on as bytes."""
    said = error.args[0] if error.args else ""
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


def claim_path(path: str) -> None:
    """Note that this process has the database at `path` (a real path) open; `StoreError` when it already has."""
    with _open_lock:
        if path in _open_here:
            raise StoreError(f"database {path} is already open in this process")
        _open_here.add(path)


def release_path(path: str) -> None:
    """The database is closed."""
    with _open_lock:
        _open_here.discard(path)


def claim_schema(kv: KeyValue, name: str) -> None:
    """Mark an empty store as ours and upgrade an older one; `StoreError` for one that is foreign or newer than this program."""
    try:
        row = next(iter(kv.iterate(schema.SCHEMA, schema.SCHEMA + b"\0")), None)
    except StoreUnreadable as error:
        raise StoreUnreadable(f"database {name} is damaged ({error}): {IMPORT_AGAIN}") from error
    if row is None:
        if next(iter(kv.iterate(b"", b"\xff")), None) is not None:
            raise StoreError(f"database {name} holds data of another program")
        batch = kv.batch()
        batch.put(schema.SCHEMA, schema.schema_row(schema.VERSION))
        batch.write(sync=True)
        return
    found = row[1]
    if found[: len(schema.MAGIC)] != schema.MAGIC:
        raise StoreError(f"database {name} holds data of another program")
    version = int.from_bytes(found[len(schema.MAGIC) :], "big")
    if version > schema.VERSION:
        raise StoreError(f"database {name} has schema version {version}; this program knows versions up to {schema.VERSION}")
    upgrade(kv, name, version)


def _still_read(versions: tuple[tuple[int, bytes | None], ...], oldest: int) -> tuple[tuple[int, bytes | None], ...]:
    """The versions that a snapshot taken at `oldest` or later can still see."""
    for index in range(len(versions) - 1, -1, -1):
        if versions[index][0] <= oldest:
            return versions[index:] if versions[index][1] is not None else versions[index + 1 :]
    return versions


def refuse_other_files(path: str) -> None:
    """`StoreError` when there is something at `path` that is no database."""
    if os.path.isdir(path):
        names = os.listdir(path)
        if names and "CURRENT" not in names and any(name not in ("LOCK", "LOG") for name in names):
            raise StoreError(f"{path} is no l2engine database (it holds {', '.join(sorted(names)[:3])})")
    elif os.path.exists(path):
        raise StoreError(f"{path} is a file, not a database directory")


def explain(path: str, message: str) -> StoreError:
    """Why LevelDB did not open `path`, in the operator's words, from its own `message`."""
    if "lock" in message.lower():
        return StoreError(f"database {path} is in use by another process")
    if "does not exist" in message:
        return StoreError(f"no database at {path}")
    damage = find_damage(path)
    if damage is not None:
        return StoreUnreadable(f"database {path} is damaged: {damage}")
    return StoreError(f"cannot open database {path}: {message}")
