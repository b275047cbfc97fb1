"""Execute the blocks of an RLP chain file (plain or .gz) and make the last one the head.

Blocks that are there already are skipped, so an interrupted import is continued by running it again. Ctrl-C and SIGTERM
stop after the block at hand. Exit status 0 when the whole file is in.
"""

import argparse
import gzip
import io
import os
import signal
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import BinaryIO, cast

from l2engine import assembly, logs, settings
from l2engine.commands.progress import Progress
from l2engine.errors import ConfigError, DecodeError, InvalidBlock, StoreUnavailable, UnknownBlock, UnknownFork
from l2engine.store.blocks import BlockStore
from l2engine.types.base import Hash32, keccak
from l2engine.types.block import Block, decode_block

INTERRUPTED = 130  # what shells report for SIGINT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The files and all flags of `run`."""
    parser.add_argument("files", nargs="+", type=Path, metavar="CHAIN.rlp", help="concatenated blocks")
    names = (
        "datadir",
        "network",
        "chain-file",
        "genesis",
        "evm",
        "gcmode",
        "history.state",
        "history.proofs",
        "cache",
        "db.sync",
    )
    settings.add_flags(parser, *names)


def run(args: argparse.Namespace) -> int:
    chosen = settings.resolve(args, verbosity=2)
    logs.configure(chosen.log_format, chosen.verbosity)
    chain = assembly.open_chain(chosen)
    stop = _StopSignal()
    try:
        for path in args.files:
            if not _import_file(path, chain, stop):
                print(f"interrupted at block {chain.engine.head.number}; run the command again to go on", file=sys.stderr)
                return INTERRUPTED
        head = chain.engine.head
        print(f"head: {head.number} 0x{head.hash.hex()}")
        return 0
    except StoreUnavailable as error:
        print(f"l2engine: stopped at block {chain.engine.head.number}: {error}; run the command again to go on", file=sys.stderr)
        return 1
    finally:
        chain.close()


def _import_file(path: Path, chain: assembly.Chain, stop: "_StopSignal") -> bool:
    """Whether the whole file is in; False after a signal."""
    known, imported, gas, start = 0, 0, 0, time.monotonic()
    if not path.is_file():
        raise ConfigError(f"no such file: {path}")
    at = 0
    with path.open("rb") as file, Progress("importing", os.path.getsize(path)) as progress:
        for raw in read_items(_unzipped(file)):
            if stop.wanted:
                return False
            if _is_in(raw, chain.blocks):
                known += 1
            else:
                block = decode_block(raw)
                try:
                    chain.engine.import_block(block)
                except InvalidBlock as error:
                    raise InvalidBlock(f"{path}: block {block.number} 0x{block.hash.hex()}: {error}") from error
                except UnknownFork as error:
                    raise ConfigError(f"{path}: block {block.number} 0x{block.hash.hex()}: {error}") from error
                except UnknownBlock as error:
                    raise ConfigError(f"{path}: {_why_it_does_not_fit(block, chain)}") from error
                imported += 1
                gas += block.header.gas_used
            elapsed = max(time.monotonic() - start, 1e-9)
            here = file.tell()  # of the compressed bytes, where there are such
            progress.step(
                here - at, head=chain.engine.head.number, blocks_per_s=round(imported / elapsed), mgas_per_s=round(gas / 1e6 / elapsed, 1)
            )
            at = here
    print(
        f"{path}: imported {imported} blocks, {gas / 1e6:.1f} Mgas in {elapsed if imported else 0:.1f} s"
        + (f"; {known} were there already" if known else ""),
        file=sys.stderr,
    )
    return True


def _why_it_does_not_fit(block: Block, chain: assembly.Chain) -> str:
    parent, head = block.header.parent_hash, chain.engine.head
    if block.number == 1:
        return f"its chain begins with genesis 0x{parent.hex()}, this one with 0x{(chain.blocks.genesis or b'').hex()}"
    return f"block {block.number} follows 0x{parent.hex()}, which is not here: the chain ends at block {head.number} 0x{head.hash.hex()}"


def read_items(file: BinaryIO) -> Iterator[bytes]:
    """The consecutive RLP lists of a stream; `DecodeError` for anything else or a cut-off end."""
    while first := _read(file, 1):
        prefix = first[0]
        if prefix < 0xC0:
            raise DecodeError(f"not an RLP chain file: byte 0x{prefix:02x} where a block should begin")
        size_bytes = _read(file, prefix - 0xF7) if prefix > 0xF7 else b""
        size = int.from_bytes(size_bytes, "big") if prefix > 0xF7 else prefix - 0xC0
        payload = _read(file, size)
        if len(size_bytes) < prefix - 0xF7 or len(payload) < size:
            raise DecodeError("the chain file ends in the middle of a block")
        yield first + size_bytes + payload


def _is_in(raw: bytes, blocks: BlockStore) -> bool:
    """Whether the block is on the canonical chain already; only its header is looked at."""
    block_hash = header_hash(raw)
    number = blocks.number(block_hash)
    return number is not None and blocks.canonical_hash(number) == block_hash


def header_hash(raw: bytes) -> Hash32:
    """The hash of an encoded block, whose first item is the header."""
    start = 1 + (raw[0] - 0xF7 if raw[0] > 0xF7 else 0)
    header = next(read_items(io.BytesIO(raw[start : start + 2048])), b"")  # no header is longer
    return keccak(header)


def _read(file: BinaryIO, size: int) -> bytes:
    try:
        return file.read(size)
    except (EOFError, OSError, zlib.error) as error:
        raise DecodeError(f"the chain file cannot be unpacked: {error}") from error


def _unzipped(file: BinaryIO) -> BinaryIO:
    magic = file.read(2)
    file.seek(0)
    return cast(BinaryIO, gzip.GzipFile(fileobj=file)) if magic == b"\x1f\x8b" else file


class _StopSignal:
    """Notes the first SIGINT or SIGTERM; a second one interrupts at once."""

    def __init__(self) -> None:
        self.wanted = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True
