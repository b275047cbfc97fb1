"""A process that feeds blocks to an engine on a disk that fills up now and then, and tells what it has acknowledged.

The parent kills it whenever it likes. It lives in a module of its own because a fresh process imports it.
"""

import os
import random
import resource
import shutil
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from l2engine import assembly
from l2engine.chain.engine import Engine
from l2engine.chain.payload import from_block
from l2engine.commands.import_ import read_items
from l2engine.errors import StoreUnavailable
from l2engine.settings import Settings
from l2engine.store import native  # noqa: F401  (loaded once, before the fork)
from l2engine.types.base import ZERO_HASH
from l2engine.types.block import Block, decode_block
from l2engine.types.payload import ForkchoiceState, Status


class LimitedFiles:
    """A limit on the size of files, which needs no rights."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._folder, self._chance = folder, chance

    def fill(self) -> None:
        logs = [path.stat().st_size for path in (self._folder / "chaindata").glob("*.log")]
        resource.setrlimit(resource.RLIMIT_FSIZE, (max(logs, default=0) + self._chance.randrange(60_000), resource.RLIM_INFINITY))

    def free(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class SmallDisk:
    """A file that takes what the small disk below the folder has left."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._filler, self._chance = folder.parent / "filler", chance
        self.free()

    def fill(self) -> None:
        left = shutil.disk_usage(self._filler.parent).free - self._chance.randrange(60_000)
        with self._filler.open("wb") as file, suppress(OSError):  # LevelDB's own thread may have taken room meanwhile
            os.posix_fallocate(file.fileno(), 0, max(left, 1))

    def free(self) -> None:
        self._filler.unlink(missing_ok=True)


def blocks_of(chain: Path) -> list[Block]:
    with chain.open("rb") as file:
        return [decode_block(raw) for raw in read_items(file)]


def feed(
    folder: Path, genesis: Path, chain: Path, evm: str, disk_kind: type[LimitedFiles | SmallDisk], seed: int, tell: Connection
) -> None:
    """Open the chain in `folder` and go on with it to its end. Told are ("head", number), ("failed", reason), ("end", None) and
    ("crashed", traceback)."""
    try:
        _feed(folder, genesis, chain, evm, disk_kind, seed, tell)
    except BaseException:
        tell.send(("crashed", traceback.format_exc()))
        raise


def _feed(
    folder: Path, genesis: Path, chain: Path, evm: str, disk_kind: type[LimitedFiles | SmallDisk], seed: int, tell: Connection
) -> None:
    chance = random.Random(seed)
    disk = disk_kind(folder, chance)
    opened = assembly.open_chain(Settings(datadir=folder, genesis=genesis, evm=evm, cache=16))
    engine = opened.engine
    tell.send(("head", engine.head.number))
    for block in blocks_of(chain)[engine.head.number :]:
        if chance.random() < 0.15:
            disk.fill()
        steps = [lambda: _new_payload(engine, block), lambda: _choose(engine, block)]  # noqa: B023  (called in the same turn)
        while steps:
            try:
                steps[0]()
                steps.pop(0)
            except StoreUnavailable as error:
                tell.send(("failed", str(error)))
                if chance.random() < 0.8:
                    disk.free()
        tell.send(("head", block.number))
    disk.free()
    opened.close()
    tell.send(("end", None))


def _new_payload(engine: Engine, block: Block) -> None:
    status = engine.new_payload(from_block(engine.config, block), (), block.header.parent_beacon_block_root, ())
    assert status.status is Status.VALID, status


def _choose(engine: Engine, block: Block) -> None:
    labels = ForkchoiceState(block.hash, ZERO_HASH, ZERO_HASH)
    assert engine.forkchoice_updated(labels).payload_status.status is Status.VALID
