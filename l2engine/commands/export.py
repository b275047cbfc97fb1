"""Write canonical blocks to an RLP chain file, gzipped when its name ends in .gz.

The file begins with block 1, so that `import` on the same genesis takes it; give FIRST and LAST for a part. It gets its name
when it is whole; an interrupted export leaves none.
"""

import argparse
import gzip
import sys
import time
from pathlib import Path
from typing import IO, cast

from l2engine import assembly, settings
from l2engine.commands.progress import Progress
from l2engine.errors import ConfigError, StoreError, StoreUnreadable
from l2engine.store.blocks import BlockStore


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """FILE [FIRST [LAST]]."""
    block = settings.argument(settings.parse_number)
    parser.add_argument("file", type=Path, metavar="CHAIN.rlp", help="the file to write")
    parser.add_argument("first", type=block, nargs="?", metavar="FIRST", default=1, help="first block (default 1)")
    parser.add_argument("last", type=block, nargs="?", metavar="LAST", help="last block (default: the head)")
    settings.add_flags(parser, "datadir", "cache")


def run(args: argparse.Namespace) -> int:
    kv = assembly.open_database(settings.resolve(args), create=False)
    try:
        blocks = BlockStore(kv)
        head = blocks.header(blocks.head) if blocks.head else None
        if head is None:
            raise ConfigError("the database holds no chain")
        last = head.number if args.last is None else args.last
        if not 0 <= args.first <= last + 1 or last > head.number:
            raise ConfigError(f"cannot export blocks {args.first} to {last}: the chain goes from 0 to {head.number}")
        partial = args.file.with_name(args.file.name + ".partial")
        try:
            _write(partial, args.file.suffix == ".gz", blocks, range(args.first, last + 1))
            partial.replace(args.file)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        print(
            f"exported {last - args.first + 1} blocks to {args.file}" + (f": {args.first} to {last}" if last >= args.first else ""),
            file=sys.stderr,
        )
        return 0
    finally:
        kv.close()


def _write(path: Path, compressed: bool, blocks: BlockStore, numbers: range) -> None:
    start = time.monotonic()
    with Progress("exporting", len(numbers)) as progress, _open(path, compressed) as file:
        for done, number in enumerate(numbers, 1):
            try:
                block = blocks.canonical_block(number)
            except StoreUnreadable as error:
                raise StoreUnreadable(f"block {number} cannot be read: {error}") from error
            if block is None:
                raise StoreError(f"block {number} is missing")
            file.write(block.encode())
            progress.step(number=number, blocks_per_s=round(done / max(time.monotonic() - start, 1e-9)))


def _open(path: Path, compressed: bool) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "wb", compresslevel=6)) if compressed else open(path, "wb")
