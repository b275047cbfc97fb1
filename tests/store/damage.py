"""A database with blocks, logs and a moved base, on disk, and bits to flip in its files."""

import shutil
from collections.abc import Callable
from pathlib import Path

import plyvel
import pytest

from l2engine.evm.native import machine as native
from l2engine.store.blocks import BlockStore
from l2engine.store.kv import LevelDB
from l2engine.store.native import NativeKeyValue
from l2engine.types.block import Block
from l2engine.types.storage import KeyValue
from tests.helpers.dev_chain import Forge, adopt, document, funded, open_engine

Opening = Callable[[Path], KeyValue]
BLOCKS = 24

needs_native = pytest.mark.skipif(not native.available(), reason="the native core is not installed")
each_store = pytest.mark.parametrize(
    "opening", [pytest.param(LevelDB, id="python"), pytest.param(NativeKeyValue, id="native", marks=needs_native)]
)


def make_blocks() -> tuple[list[Block], Block]:
    """A chain with transfers and logs, and the block that comes next."""
    forge, alice = Forge(document()), funded("alice")
    blocks: list[Block] = []
    parent = forge.genesis
    for number in range(BLOCKS):
        transfers = [alice.sign(to=bytes([number, index]) * 10, value=1 + index) for index in range(3)]
        logs = alice.sign(to=None, data=bytes.fromhex("602a60005260206000a060006000f3"), gas=100_000)
        blocks.append(forge.block(parent, *transfers, logs))
        parent = blocks[-1].header
    return blocks, forge.block(parent, *[alice.sign(to=bytes([number, 0]) * 10, value=1) for number in range(10)])


def make_database(path: Path) -> Block:
    """Two thirds of the blocks are in tables, the rest in the write-ahead log. The block that would come next."""
    blocks, following = make_blocks()
    for part in (blocks[: BLOCKS * 2 // 3], blocks[BLOCKS * 2 // 3 :]):
        kv = LevelDB(path, write_buffer_mb=1)
        adopt(open_engine(document(), kv, layers=5), *part)
        kv.close()
    return following


def settle(path: Path) -> None:
    """Move everything into one table, which LevelDB then has no reason to rewrite while a test damages it."""
    with plyvel.DB(str(path), bloom_filter_bits=10) as db:
        db.compact_range(start=b"", stop=b"\xff" * 40)  # without bounds plyvel compacts nothing


def copy(source: Path, target: Path) -> Path:
    """The directory as kill -9 would leave it."""
    return Path(shutil.copytree(source, target))


def flip(file: Path, bit: int) -> None:
    """Turn one bit of the file over."""
    with open(file, "r+b") as opened:
        opened.seek(bit // 8)
        byte = opened.read(1)[0]
        opened.seek(bit // 8)
        opened.write(bytes([byte ^ 1 << bit % 8]))


def dump(kv: KeyValue) -> list[tuple[bytes, bytes]]:
    """All rows."""
    return list(kv.iterate(b"", b"\xff"))


def head_number(kv: KeyValue) -> int:
    """The head's number."""
    blocks = BlockStore(kv)
    header = blocks.header(blocks.head or b"")
    assert header is not None
    return header.number


def only(path: Path, pattern: str) -> Path:
    """The one file of this kind."""
    (file,) = path.glob(pattern)
    return file
