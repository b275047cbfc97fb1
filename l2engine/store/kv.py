"""Ordered byte stores: LevelDB on disk, and one in memory for the dev chain and tests.

Both offer `types.storage.KeyValue`: reads, iteration, atomic batches, frozen snapshots. Any thread may read; one writes.
A LevelDB directory must be ours or empty: locked, foreign and newer ones are refused with `StoreError`, since LevelDB itself
notices neither that its own process opens it twice nor that the data belongs to another program.
"""

import itertools
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import plyvel
from sortedcontainers import SortedList

from l2engine.errors import StoreError, StoreUnavailable, StoreUnreadable
from l2engine.store import schema
from l2engine.store.files import IMPORT_AGAIN, refuse_silent_losses
from l2engine.store.leveldb_words import explain
from l2engine.store.room import has_room
from l2engine.store.upgrades import upgrade
from l2engine.types.storage import Batch, KeyValue, Snapshot

_MEGABYTE = 1 << 20
_CHUNK = 256  # rows that one step of an iteration reads while it holds the lock or keeps LevelDB from being closed

A = TypeVar("A")
R = TypeVar("R")

_open_here: set[str] = set()  # real paths open in this process
_open_lock = threading.Lock()


class LevelDB:
    """A LevelDB directory. Snapshots and iterators die with `close` and `reopen`; reading damaged files raises `StoreUnreadable`.

    After a failed write no other write is accepted until the store is reopened: LevelDB itself would go on writing after the torn
    record, and lose all that follows it at the next start.
    """

    get: Callable[[bytes], bytes | None]
    failure: str | None = None

    def __init__(self, path: str | Path, cache_mb: int = 128, write_buffer_mb: int = 32, create: bool = True) -> None:
        self.path = os.path.realpath(path)
        claim_path(self.path)
        try:
            refuse_other_files(self.path)
            refuse_silent_losses(self.path)
            if create:
                os.makedirs(self.path, exist_ok=True)
            self._cache, self._write_buffer = cache_mb * _MEGABYTE, write_buffer_mb * _MEGABYTE
            self._open(create)
        except BaseException:
            release_path(self.path)
            raise
        self._claimed = True
        try:
            claim_schema(self, self.path)
        except BaseException:
            self.close()
            raise

    def _open(self, create: bool) -> None:
        try:
            db = plyvel.DB(
                self.path,
                create_if_missing=create,
                lru_cache_size=self._cache,
                write_buffer_size=self._write_buffer,
                bloom_filter_bits=10,
                max_open_files=512,
                paranoid_checks=True,
            )
        except plyvel.Error as error:
            raise explain(self.path, _text(error)) from error
        self._handle = _Handle(db)
        self.get = self._handle.guarded(partial(db.get, verify_checksums=True))

    def iterate(self, start: bytes, stop: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        return _iterate(self._handle, self._handle.db, start, stop, reverse)

    def batch(self) -> Batch:
        return _LevelDBBatch(self, self._handle)

    def snapshot(self) -> Snapshot:
        return _LevelDBSnapshot(self._handle)

    def has_room(self) -> bool:
        return has_room(self.path)

    def reopen(self) -> None:
        self._handle.close()
        self._open(create=False)
        self.failure = None

    def close(self) -> None:
        """Release the directory; a second call does nothing."""
        self._handle.close()
        if self._claimed:
            self._claimed = False
            release_path(self.path)


class _Handle:
    """An open plyvel database, and the threads that are using it: closing it during a read would crash the process."""

    def __init__(self, db: plyvel.DB) -> None:
        self.db = db
        self.snapshots: weakref.WeakSet[_LevelDBSnapshot] = weakref.WeakSet()
        self._closed = False
        self._inside: set[int] = set()

    def guarded(self, work: Callable[[A], R]) -> Callable[[A], R]:
        """`work` with checks: `StoreUnavailable` once the database is closed, and `StoreUnreadable` for LevelDB's own errors."""
        inside = self._inside

        def run(argument: A) -> R:
            thread = threading.get_ident()
            try:
                inside.add(thread)  # before reading `_closed`; `close` sets `_closed` before it reads `_inside`
                if self._closed:
                    raise StoreUnavailable("the database is closed, or has been reopened since this was begun")
                return work(argument)
            except plyvel.Error as error:
                raise StoreUnreadable(_text(error)) from error
            finally:
                inside.discard(thread)

        return run

    def close(self) -> None:
        """Wait until no other thread uses the database, then close it; a second call does nothing."""
        self._closed = True
        while self._inside - {threading.get_ident()}:
            time.sleep(0.001)
        kept = list(self.snapshots)  # plyvel must not free one of them in another thread meanwhile
        self.db.close()
        del kept


class _LevelDBBatch:
    def __init__(self, store: LevelDB, handle: _Handle) -> None:
        self._store, self._handle = store, handle
        self._batch = handle.guarded(lambda _: handle.db.write_batch())(None)
        self.put = self._batch.put
        self.delete = self._batch.delete

    def write(self, sync: bool = False) -> None:
        """Write the batch. `StoreUnavailable` when this write or an earlier one failed."""
        if self._store.failure is not None:
            raise StoreUnavailable(self._store.failure)
        try:
            self._handle.guarded(self._write)(sync)
        except StoreUnavailable:
            raise
        except StoreError as error:
            self._store.failure = str(error)
            raise StoreUnavailable(str(error)) from error

    def _write(self, sync: bool) -> None:
        batch = self._batch
        if sync:  # plyvel fixes the flag when a batch begins, so its content moves to one that syncs
            batch = self._handle.db.write_batch(sync=True)
            batch.append(self._batch)
        batch.write()


class _LevelDBSnapshot:
    def __init__(self, handle: _Handle) -> None:
        self._handle = handle
        self._snapshot = handle.guarded(lambda _: handle.db.snapshot())(None)
        self.get = handle.guarded(partial(self._snapshot.get, verify_checksums=True))
        handle.snapshots.add(self)

    def iterate(self, start: bytes, stop: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        return _iterate(self._handle, self._snapshot, start, stop, reverse)


class MemoryKeyValue:
    """A sorted dictionary in which each key keeps the versions that open snapshots may still read. Its writes never fail."""

    failure: str | None = None

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

    def has_room(self) -> bool:
        return True

    def reopen(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to release; the content stays, so that tests can open it again."""

    def apply(self, changes: dict[bytes, bytes | None]) -> None:
        """Apply all changes at once; None deletes a key."""
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
        """Up to `count` keys, including deleted ones that a snapshot may still read."""
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


def _iterate(
    handle: _Handle, source: "plyvel.DB | plyvel.Snapshot", start: bytes, stop: bytes, reverse: bool
) -> Iterator[tuple[bytes, bytes]]:
    rows = _rows(source, start, stop, reverse)
    take: Callable[[int], list[tuple[bytes, bytes]]] = handle.guarded(lambda count: list(itertools.islice(rows, count)))
    count = 1  # many callers want only one row
    while chunk := take(count):
        yield from chunk
        count = _CHUNK


def _rows(source: "plyvel.DB | plyvel.Snapshot", start: bytes, stop: bytes, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
    """Rows in ascending or descending order. Uses plyvel's raw iterator: the usual one ends without an error when nothing readable
    follows a damaged block."""
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


def _text(error: plyvel.Error) -> str:
    """LevelDB's message as text; plyvel gives it as bytes."""
    said = error.args[0] if error.args else ""
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


def claim_path(path: str) -> None:
    """Record that this process has opened the database at `path` (a real path); `StoreError` if it is already open here."""
    with _open_lock:
        if path in _open_here:
            raise StoreError(f"database {path} is already open in this process")
        _open_here.add(path)


def release_path(path: str) -> None:
    """Record that this process has closed the database at `path`."""
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
    """`StoreError` when `path` holds something other than a database."""
    if os.path.isdir(path):
        names = os.listdir(path)
        if names and "CURRENT" not in names and any(name not in ("LOCK", "LOG") for name in names):
            raise StoreError(f"{path} is not an l2engine database (it holds {', '.join(sorted(names)[:3])})")
    elif os.path.exists(path):
        raise StoreError(f"{path} is a file, not a database directory")
