"""Reading the base as it was after an earlier block.

When the base moves over block N, the old value of each changed row is kept under N. A row's value after block B is then
the first kept value with N > B, or the base's row if no block above B changed it. Moving the base back one block restores
that block's values; pruning deletes the oldest block's values.
"""

from l2engine.store import schema
from l2engine.types.base import BlockNumber
from l2engine.types.storage import Batch, Snapshot

_LAST = b"\xff" * 8


class PastReader:
    """The base's rows as they were after block `number`, seen in one snapshot."""

    def __init__(self, snapshot: Snapshot, number: BlockNumber) -> None:
        self._snapshot = snapshot
        self._first = schema.u64(number + 1)

    def read(self, key: bytes) -> bytes | None:
        """The row; None when there was none. The result is wrong below the kept window, so callers must check that first."""
        prefix = b"p" + key
        for _, value in self._snapshot.iterate(prefix + self._first, prefix + _LAST):
            return value or None
        return self._snapshot.get(key)


def record(batch: Batch, number: BlockNumber, old: dict[bytes, bytes | None], changed_row: bytes) -> None:
    """Keep the values that block `number` replaces: `old` maps each changed row to its old value; the keys are listed in `changed_row`."""
    tail = schema.u64(number)
    for key, value in old.items():
        batch.put(b"p" + key + tail, value or b"")
    batch.put(changed_row, b"".join(sorted(old)))


def undo(batch: Batch, snapshot: Snapshot, number: BlockNumber, changed_row: bytes) -> None:
    """Restore the values that block `number` replaced, and delete the kept copies."""
    tail = schema.u64(number)
    for key in schema.split_keys(snapshot.get(changed_row) or b""):
        kept = b"p" + key + tail
        value = snapshot.get(kept)
        if value:
            batch.put(key, value)
        else:
            batch.delete(key)
        batch.delete(kept)
    batch.delete(changed_row)


def forget(batch: Batch, snapshot: Snapshot, number: BlockNumber, changed_row: bytes) -> None:
    """Delete the values that block `number` replaced: the state before it can no longer be read."""
    tail = schema.u64(number)
    for key in schema.split_keys(snapshot.get(changed_row) or b""):
        batch.delete(b"p" + key + tail)
    batch.delete(changed_row)
