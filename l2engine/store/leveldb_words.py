"""LevelDB says why it fails in words alone, and those depend on the platform: they are read here and nowhere else."""

from l2engine.errors import StoreError, StoreUnreadable
from l2engine.store.files import find_damage


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
