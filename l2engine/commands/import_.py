"""Execute the blocks of an RLP chain file (plain or .gz), or of a pipe, and make the last one the head.

Blocks that are there already are skipped, so an interrupted import is continued by running it again. Ctrl-C, SIGTERM and SIGHUP
stop after the block at hand, with exit status 130. Exit status 0 when the whole file is in.
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
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import BinaryIO, cast

from l2engine import assembly, logs, settings
from l2engine.commands.progress import Progress
from l2engine.commands.run import stop_signals
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
            _import_file(path, chain, stop)
        head = chain.engine.head
        print(f"head: {head.number} 0x{head.hash.hex()}")
        return 0
    except KeyboardInterrupt:
        print(f"interrupted at block {chain.engine.head.number}; run the command again to go on", file=sys.stderr)
        return INTERRUPTED
    except StoreUnavailable as error:
        print(f"l2engine: stopped at block {chain.engine.head.number}: {error}; run the command again to go on", file=sys.stderr)
        return 1
    finally:
        chain.close()


def _import_file(path: Path, chain: assembly.Chain, stop: "_StopSignal") -> None:
    """Execute one file; `KeyboardInterrupt` after a signal, between two blocks."""
    known, imported, gas, start = 0, 0, 0, time.monotonic()
    at = 0
    with _open(path, stop) as file, Progress("importing", _size(file)) as progress:
        for raw in _blocks(path, file, stop):
            if _is_in(raw, chain.blocks):
                known += 1
            else:
                block = _execute(path, raw, chain)
                imported += 1
                gas += block.header.gas_used
            elapsed = max(time.monotonic() - start, 1e-9)
            here = file.tell() if file.seekable() else 0  # of the compressed bytes, where there are such
            progress.step(
                here - at, head=chain.engine.head.number, blocks_per_s=round(imported / elapsed), mgas_per_s=round(gas / 1e6 / elapsed, 1)
            )
            at = here
    print(
        f"{path}: imported {imported} blocks, {gas / 1e6:.1f} Mgas in {elapsed if imported else 0:.1f} s"
        + (f"; {known} were there already" if known else ""),
        file=sys.stderr,
    )


def _open(path: Path, stop: "_StopSignal") -> BinaryIO:
    """A file or a pipe, to be read from its beginning."""
    try:
        with stop.at_once():  # a pipe waits for its writer
            return path.open("rb")
    except FileNotFoundError:
        raise ConfigError(f"no such file: {path}") from None


def _size(file: BinaryIO) -> int:
    """Bytes in all; 0 where that is not known, as of a pipe."""
    return os.fstat(file.fileno()).st_size if file.seekable() else 0


def _blocks(path: Path, file: BinaryIO, stop: "_StopSignal") -> Iterator[bytes]:
    """The encoded blocks; the error for a damaged place says how many came before it."""
    count = 0
    try:
        with stop.at_once():
            items = read_items(_unzipped(file))
        while True:
            with stop.at_once():
                raw = next(items, None)
            if raw is None:
                return
            yield raw
            count += 1
    except DecodeError as error:
        raise DecodeError(f"{path}, after {count} blocks: {error}") from error


def _execute(path: Path, raw: bytes, chain: assembly.Chain) -> Block:
    """Decode one block, run it and make it the head; every error names the file and the block."""
    try:
        block = decode_block(raw)
    except DecodeError as error:
        raise DecodeError(f"{path}: the block after {chain.engine.head.number} does not decode: {error}") from error
    where = f"{path}: block {block.number} 0x{block.hash.hex()}"
    try:
        chain.engine.import_block(block)
    except InvalidBlock as error:
        raise InvalidBlock(f"{where}: {error}") from error
    except UnknownFork as error:
        raise ConfigError(f"{where}: {error}") from error
    except UnknownBlock as error:
        raise ConfigError(f"{path}: {_why_it_does_not_fit(block, chain)}") from error
    return block


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
    try:
        block_hash = header_hash(raw)
    except DecodeError:
        return False  # decoding all of it will say why
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
    """The content of a file that may be gzipped; nothing is read twice, so that a pipe serves as well."""
    buffered = cast(io.BufferedReader, file)
    return cast(BinaryIO, gzip.GzipFile(fileobj=file)) if buffered.peek(1)[:1] == b"\x1f" else file  # no block begins so


class _StopSignal:
    """Notes the first signal to stop, so that a block is finished; a second one, or one while nothing is executed, interrupts."""

    def __init__(self) -> None:
        self._wanted = self._idle = False
        for number in stop_signals():
            signal.signal(number, self._note)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Here, where the command may have to wait for its input, a signal interrupts at once."""
        self._idle = True
        try:
            if self._wanted:
                raise KeyboardInterrupt
            yield
        finally:
            self._idle = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._wanted or self._idle:
            raise KeyboardInterrupt
        self._wanted = True
