"""A store whose writes fail when told to, as LevelDB's do on a full disk, and a process's limit on the size of its files."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from l2engine.errors import StoreError, StoreUnavailable
from l2engine.store.kv import MemoryKeyValue
from l2engine.types.storage import Batch


class FailingKeyValue(MemoryKeyValue):
    """In memory. The write after `good_writes` more fails; with `torn` False it gets to the disk all the same, as when only the
    wait for the disk fails."""

    def __init__(self) -> None:
        self.good_writes = 1 << 60
        self.torn, self.room, self.opens = True, True, True
        self.reopened = 0
        super().__init__()

    def batch(self) -> Batch:
        return _FailingBatch(self, super().batch())

    def has_room(self) -> bool:
        return self.room

    def reopen(self) -> None:
        if not self.opens:
            raise StoreError("cannot open database: no space")
        self.reopened += 1
        self.failure = None


class _FailingBatch:
    def __init__(self, store: FailingKeyValue, batch: Batch) -> None:
        self._store, self._batch = store, batch
        self.put, self.delete = batch.put, batch.delete

    def write(self, sync: bool = False) -> None:
        store = self._store
        if store.failure is None:
            store.good_writes -= 1
            if store.good_writes >= 0 or not store.torn:
                self._batch.write(sync)
            if store.good_writes >= 0:
                return
            store.failure, store.good_writes = "no space", 1 << 60
        raise StoreUnavailable(store.failure)


@contextmanager
def file_size_limit(size: int, process: int | None = None) -> Iterator[None]:
    """Files of a process (this one) cannot grow beyond so many bytes: a full disk that needs no rights."""
    process = process or os.getpid()
    before = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # it has ended
            resource.prlimit(process, resource.RLIMIT_FSIZE, before)
