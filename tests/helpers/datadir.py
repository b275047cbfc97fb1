"""A data directory that no process has open."""

from pathlib import Path

from l2engine.store.blocks import BlockStore
from l2engine.store.kv import LevelDB
from l2engine.store.verify import verify


def verified_head(datadir: Path) -> int:
    """The head's number, after checking that all in the database agrees."""
    kv = LevelDB(datadir / "chaindata")
    try:
        assert list(verify(kv)) == []
        blocks = BlockStore(kv)
        header = blocks.header(blocks.head or b"")
        assert header is not None
        return header.number
    finally:
        kv.close()
