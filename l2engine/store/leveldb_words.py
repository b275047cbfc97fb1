"""Interprets LevelDB's error messages, which are its only sign of the cause and depend on the platform."""

import errno
import os

from l2engine.errors import StoreError, StoreUnreadable
from l2engine.store.files import find_damage


def explain(path: str, message: str) -> StoreError:
    """An error for the operator that explains LevelDB's `message` when it did not open `path`."""
    if os.strerror(errno.EAGAIN) in message or "already held" in message:
        return StoreError(f"database {path} is in use by another process")
    if "does not exist" in message:
        return StoreError(f"no database at {path}")
    damage = find_damage(path)
    if damage is not None:
        return StoreUnreadable(f"database {path} is damaged: {damage}")
    return StoreError(f"cannot open database {path}: {message}")
