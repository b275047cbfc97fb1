"""The pool's journal: a file of the transactions that were accepted, so that those that still wait come back after a restart.

Each entry is a line of text, `>CRC32 TIME ORIGIN TRANSACTION` (base64); the first line names the chain. A line is in the file before the
transaction's hash is answered, so that kill -9 loses none. A line that was cut short or damaged costs that entry alone: lines
begin with `>`, which occurs nowhere else, and end with a line feed. `rotate` writes the file anew without what has left the pool.
"""

import fcntl
import logging
import os
import threading
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Container, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from l2engine.chain.events import Origin
from l2engine.errors import ConfigError, JournalUnavailable
from l2engine.types.base import Hash32

log = logging.getLogger(__name__)

ROTATE_BYTES = 64 << 20  # a file of at least this size is written anew when it has doubled since the last time
_FORM = "l2engine-transactions-1"
_LONGEST_LINE = 1 << 20  # a transaction of 128 KiB takes 171 KiB
_COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """An accepted transaction."""

    added_at: float
    """When the pool took it, in unix seconds."""
    origin: Origin
    raw: bytes
    """As it was signed (EIP-2718)."""


class Journal:
    """One journal file, which this process alone has open. Any thread may use it. Nothing can be appended before the first `rotate`."""

    def __init__(self, path: Path, chain: Hash32, sync: bool = False, origins: Container[Origin] = (Origin.LOCAL, Origin.CHAIN)) -> None:
        """`chain` is the hash of block 0. With `sync`, `settle` waits for the disk. Transactions of other `origins` are not written;
        what a reorg takes out of the chain may have been accepted here. `ConfigError` when the folder is missing or cannot be
        written, or another process has the journal."""
        self.path, self._chain, self._sync, self._origins = path, chain, sync, origins
        self._descriptor: int | None = None
        self._end = 0
        """The file's size up to the last whole entry; what a failed write left behind it is overwritten."""
        self._rotate_at = 0
        self._appended = self._settled = 0  # entries since the opening
        self._failure: str | None = None
        """Why the last write failed, until one succeeds."""
        self._unsettled = False
        """Whether waiting for the disk failed: what the file holds is uncertain until it is written anew."""
        self._lock = threading.Lock()  # for all of the above
        self._settling = threading.Lock()  # around waiting for the disk; taken before _lock
        self._rotating = threading.Lock()  # around writing the file anew; taken before both
        try:
            self._claim = _claim(path)
        except OSError as error:
            raise ConfigError(f"cannot open the transaction journal {path}: {error.strerror}") from error

    # ---- reading ----------------------------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """What an earlier run has left, in the order of acceptance. Damaged entries and a torn last one are left out, with a
        warning; another chain's journal is set aside. `ConfigError` when the file is no journal or cannot be read."""
        read = _Read()
        try:
            with open(self.path, "rb") as file:
                for line in iter(lambda: file.readline(_LONGEST_LINE), b""):  # what is longer than any entry comes in pieces
                    read.take(line)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ConfigError(f"cannot read the transaction journal {self.path}: {error.strerror}") from error
        if read.is_foreign:
            raise ConfigError(f"{self.path} is no transaction journal: move it away, or name another file with --txpool.journal")
        if read.head not in (None, self._head):
            self._set_aside()
            return []
        if read.torn:
            log.warning("The transaction journal's last entry was cut short and is dropped", extra={"fields": {"file": self.path}})
        if read.damaged:
            copy = self._keep_damaged()
            said = "The transaction journal is damaged: its other entries are kept"
            log.warning(said, extra={"fields": {"damaged": read.damaged, "kept": len(read.entries), "file": self.path, "copy": copy}})
        return read.entries

    @property
    def _head(self) -> str:
        return f"{_FORM} 0x{self._chain.hex()}"

    def _keep_damaged(self) -> Path:
        """Another name for the file as it is, which it keeps when the next `rotate` puts a new one in its place."""
        copy = self.path.with_name(self.path.name + ".damaged")
        with suppress(OSError):
            copy.unlink(missing_ok=True)
            os.link(self.path, copy)
        return copy

    def _set_aside(self) -> None:
        aside = self.path.with_name(self.path.name + ".other-chain")
        os.replace(self.path, aside)
        log.warning("The transaction journal is of another chain and was set aside", extra={"fields": {"file": aside}})

    # ---- writing ----------------------------------------------------------------------------------------------------

    def append(self, entry: Entry) -> None:
        """Add an entry: once this returns, a killed process does not lose it. `JournalUnavailable` when it cannot be written."""
        if entry.origin not in self._origins:
            return
        line = _framed(_text(entry))
        with self._lock:
            if self._descriptor is None:
                raise JournalUnavailable("the node is stopping")
            if self._unsettled:
                raise JournalUnavailable(f"the transaction journal cannot be written: {self._failure}")
            try:
                _write(self._descriptor, line, self._end)
            except OSError as error:
                raise self._failed(error) from error
            self._end += len(line)
            self._appended += 1
            if self._failure is not None:
                self._failure = None
                log.warning("The transaction journal can be written again: transactions are accepted")

    def settle(self) -> None:
        """With `sync`, wait until all entries so far are on the disk, so that a power failure does not lose them either; threads that
        wait together share one fsync. `JournalUnavailable` when that fails."""
        if not self._sync:
            return
        mine = self._appended
        with self._settling:
            with self._lock:
                if self._settled >= mine or self._descriptor is None:
                    return
                descriptor, appended = self._descriptor, self._appended
                if self._unsettled:
                    raise JournalUnavailable(f"the transaction journal cannot be written: {self._failure}")
            try:
                os.fsync(descriptor)
            except OSError as error:
                with self._lock:
                    self._unsettled = True
                    raise self._failed(error) from error
            self._settled = appended

    def _failed(self, error: OSError) -> JournalUnavailable:
        if self._failure is None:
            fields = {"file": self.path, "err": error.strerror}
            log.error("The transaction journal cannot be written: no transactions are accepted", extra={"fields": fields})
        self._failure = error.strerror
        return JournalUnavailable(f"the transaction journal cannot be written: {error.strerror}")

    @property
    def is_due(self) -> bool:
        """Whether the file has grown so much, or failed so badly, that it should be written anew at once."""
        return self._end >= self._rotate_at or self._unsettled

    def rotate(self, snapshot: Callable[[], Iterable[Entry]], if_due: bool = False) -> None:
        """Write the file anew with what `snapshot` gives and with entries that come meanwhile, and put it in place of the old one in
        one step. With `if_due` only if no other thread has just done so. `JournalUnavailable` when that fails; the old file then
        stays in use."""
        with self._rotating:
            if self._claim.closed or (if_due and not self.is_due):
                return
            since = self._end  # before the snapshot: what comes in between is then written twice, not lost
            temporary = self.path.with_name(self.path.name + ".new")
            try:
                with open(temporary, "wb", opener=_private) as file:
                    file.write(_framed(self._head))
                    file.writelines(_framed(_text(entry)) for entry in snapshot() if entry.origin in self._origins)
                    file.flush()
                    os.fsync(file.fileno())
                self._put_in_place(temporary, since)
                _settle_folder(self.path.parent)
            except OSError as error:
                with suppress(OSError):
                    temporary.unlink()
                self._rotate_at = max(ROTATE_BYTES, 2 * self._end)
                raise JournalUnavailable(f"the transaction journal {self.path} cannot be written anew: {error.strerror}") from error

    def _put_in_place(self, temporary: Path, since: int) -> None:
        """Append what has come after byte `since` of the old file, and go on with the new one."""
        descriptor = os.open(temporary, os.O_RDWR)
        unused: int | None = descriptor
        try:
            with self._settling, self._lock:
                end = os.fstat(descriptor).st_size
                while self._descriptor is not None and since < self._end:
                    part = os.pread(self._descriptor, min(_COPY_BYTES, self._end - since), since)
                    _write(descriptor, part, end)
                    since, end = since + len(part), end + len(part)
                if self._sync:
                    os.fsync(descriptor)
                os.replace(temporary, self.path)
                unused, self._descriptor = self._descriptor, descriptor
                self._end, self._rotate_at = end, max(ROTATE_BYTES, 2 * end)
                self._settled, self._unsettled = self._appended, False
        finally:
            if unused is not None:
                os.close(unused)

    def close(self) -> None:
        """Wait for the disk and let other processes have the file. Later entries are refused."""
        with self._rotating, self._settling, self._lock:
            descriptor, self._descriptor = self._descriptor, None
            try:
                if descriptor is not None:
                    os.fsync(descriptor)
                    os.close(descriptor)
            except OSError as error:
                log.error("The transaction journal may lack its end", extra={"fields": {"file": self.path, "err": error.strerror}})
            finally:
                self._claim.close()


# ---- lines ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Read:
    """What has been read of a journal so far."""

    head: str | None = None
    entries: list[Entry] = field(default_factory=list)
    damaged: int = 0
    torn: bool = False
    """Whether the last line has no end."""

    def take(self, line: bytes) -> None:
        text = _unframed(line)
        entry = None if text is None else _entry(text)
        if entry is not None:
            self.entries.append(entry)
        elif text is not None and text.startswith(_FORM):
            self.head = text
        elif line.endswith(b"\n"):
            self.damaged += 1
        self.torn = not line.endswith(b"\n")

    @property
    def is_foreign(self) -> bool:
        """Whether nothing at all looks like a journal."""
        return self.head is None and not self.entries and (self.damaged > 0 or self.torn)


def _text(entry: Entry) -> str:
    return f"{entry.added_at:.6f} {entry.origin} {b64encode(entry.raw).decode()}"


def _entry(text: str) -> Entry | None:
    """The entry that a line with a right checksum holds; None for one that this program does not write."""
    added_at, _, rest = text.partition(" ")
    origin, _, raw = rest.partition(" ")
    try:
        return Entry(float(added_at), Origin(origin), b64decode(raw, validate=True))
    except ValueError:
        return None


def _framed(text: str) -> bytes:
    content = text.encode()
    return b">%08x %b\n" % (zlib.crc32(content), content)


def _unframed(line: bytes) -> str | None:
    """The text of a line; None when it is damaged. What stands before the last `>` are the remains of others."""
    frame = line.rpartition(b">")[2]
    content = frame[9:-1]
    return content.decode() if frame == b"%08x %b\n" % (zlib.crc32(content), content) else None


# ---- files ----------------------------------------------------------------------------------------------------------


def _claim(path: Path) -> BinaryIO:
    """Hold the lock that keeps other processes, and other nodes in this one, off the journal, until the file is closed."""
    lock = open(path.with_name(path.name + ".lock"), "ab", opener=_private)  # noqa: SIM115 (it stays open)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise ConfigError(f"the transaction journal {path} is in use by another process") from error
    return lock


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)  # what waits in a pool is nobody else's business


def _write(descriptor: int, content: bytes, at: int) -> None:
    while content:
        written = os.pwrite(descriptor, content, at)
        content, at = content[written:], at + written


def _settle_folder(folder: Path) -> None:
    """Wait until a new name in the folder is on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
