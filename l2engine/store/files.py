"""Finds damage in the files of a LevelDB directory, including the two kinds that LevelDB itself does not report.

LevelDB checks every record of its write-ahead logs (`*.log`) and manifests (`log_format`), and with `paranoid_checks` refuses a log in
which one fails. But a log that is missing it takes for an empty one. And if a record's length reaches past the end of the file, LevelDB assumes that the process died while writing it, and silently drops the
record and all that follows. For a torn end that is right; for a damaged length it would lose acknowledged writes.
The checksum tells the two apart: it fits a shorter content only if the length is wrong.

Tables (`*.ldb`) need no such check: their blocks are checked on every read. Source: LevelDB's doc/log_format.md, db/log_reader.cc.
"""

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from l2engine.errors import StoreError, StoreUnreadable
from l2engine.store.log_format import BLOCK, HEADER, oldest_log, records

IMPORT_AGAIN = "the chain must be imported again into an empty directory"
CUT = "`l2engine db repair` drops what it holds from there on, and the rollup node sends those blocks again"


@dataclass(frozen=True, slots=True)
class Damage:
    """The place from which a file cannot be read, in bytes from its start."""

    file: Path
    offset: int

    def __str__(self) -> str:
        if not self.file.exists():
            what = "is missing"
        else:
            what = "is damaged" if self.file.name == "CURRENT" else f"is damaged at byte {self.offset}"
        return f"{self.file} {what}: {CUT if self.file.suffix == '.log' else IMPORT_AGAIN}"


def refuse_silent_losses(directory: str | Path) -> None:
    """Raise `StoreUnreadable` when LevelDB would silently drop completely written records, or go on without a log. Reads the manifest
    and the last block of each log."""
    if _missing_log(Path(directory)) is not None:
        raise StoreUnreadable(f"database {directory} is damaged: {find_damage(directory)}")
    for file in _logs(Path(directory)):
        with open(file, "rb") as opened:
            size = opened.seek(0, 2)
            start = size - size % BLOCK
            opened.seek(start)
            block = opened.read()
        for at, length in records(block):
            if at + HEADER + length > len(block) and _has_shorter_content(block[at:]):
                raise StoreUnreadable(f"database {directory} is damaged: {Damage(file, start + at)}")


def find_damage(directory: str | Path) -> Damage | None:
    """The first damage in CURRENT, the manifest and the logs, in this order, a missing log included; None if there is none. Reads the whole files, which
    takes seconds for a long log."""
    directory = Path(directory)
    current = directory / "CURRENT"
    if current.exists() and _manifest(directory) is None:
        return Damage(current, 0)
    missing = _missing_log(directory)
    for file in _logs(directory):
        if missing is not None and file.suffix == ".log":
            break
        offset = _first_damage(file.read_bytes())
        if offset is not None:
            return Damage(file, offset)
    return None if missing is None else Damage(missing, 0)


def cut_damaged_logs(directory: str | Path) -> list[str]:
    """Cut the write-ahead logs at the first damaged record and drop all later logs. The result is the database as it was a little
    earlier. Dropped bytes are kept in files beside the logs. Returns a line for each file that was cut. `StoreUnreadable` when files
    other than logs are damaged, `StoreError` when the database is in use."""
    with _locked(Path(directory)):
        return _cut(Path(directory))


def _cut(directory: Path) -> list[str]:
    done: list[str] = []
    while (damage := find_damage(directory)) is not None:
        if damage.file.suffix != ".log":
            raise StoreUnreadable(str(damage))
        if not damage.file.exists():
            done.append(f"{damage.file}: missing, and taken for empty")
            damage.file.touch()
        for file in [log for log in _logs(damage.file.parent) if log.suffix == ".log" and log.name >= damage.file.name]:
            offset = damage.offset if file == damage.file else 0
            content = file.read_bytes()
            if not content:
                continue
            kept = file.with_name(f"{file.name}.dropped")
            kept.write_bytes(content[offset:])
            with open(file, "r+b") as opened:
                opened.truncate(offset)
            done.append(f"{file}: {len(content) - offset} bytes from byte {offset} on dropped, and kept in {kept.name}")
    return done


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold LevelDB's own lock."""
    with open(directory / "LOCK", "ab") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(f"database {directory} is in use by another process") from error
        yield


def _manifest(directory: Path) -> Path | None:
    """The manifest that CURRENT names; None when it does not name an existing manifest."""
    name = (directory / "CURRENT").read_bytes()
    manifest = directory / name[:-1].decode(errors="replace") if re.fullmatch(rb"MANIFEST-\d{6,}\n", name) else None
    return manifest if manifest is not None and manifest.is_file() else None


def _missing_log(directory: Path) -> Path | None:
    """The log that the manifest names as the oldest one needed, if there is no such file."""
    manifest = _manifest(directory) if (directory / "CURRENT").is_file() else None
    number = None if manifest is None else oldest_log(manifest.read_bytes())
    log = directory / f"{number:06}.log" if number else None
    return log if log is not None and not log.exists() else None


def _logs(directory: Path) -> Iterator[Path]:
    """The manifest and the write-ahead logs, oldest first."""
    if (directory / "CURRENT").is_file():
        manifest = _manifest(directory)
        if manifest is not None:
            yield manifest
        yield from sorted(directory.glob("*.log"))


def _first_damage(content: bytes) -> int | None:
    """The offset of the first record whose checksum fails; None if there is none, apart from a torn end."""
    for start in range(0, len(content), BLOCK):
        block = content[start : start + BLOCK]
        for at, length in records(block):
            record = block[at : at + HEADER + length]
            torn = len(record) < HEADER + length and len(block) < BLOCK
            if torn and not _has_shorter_content(record):
                return None
            if record[6] == 0 and length == 0:  # LevelDB skips the rest of such a block
                break
            if torn or len(record) < HEADER + length or _masked(_crc(record[6:])) != record[:4]:
                return start + at
    return None


def _has_shorter_content(record: bytes) -> bool:
    """Whether the checksum in the record's header fits a shorter prefix of its content."""
    state = 0xFFFFFFFF
    for byte in record[6:]:
        state = _TABLE[(state ^ byte) & 0xFF] ^ (state >> 8)
        if _masked(state ^ 0xFFFFFFFF) == record[:4]:
            return True
    return False


def _crc(data: bytes) -> int:
    """CRC-32C."""
    state, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        state = table[(state ^ byte) & 0xFF] ^ (state >> 8)
    return state ^ 0xFFFFFFFF


def _masked(crc: int) -> bytes:
    """A checksum as LevelDB stores it: rotated and shifted, so that checksums of data that contains checksums stay reliable."""
    return ((((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def _entry(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value


_TABLE = tuple(_entry(value) for value in range(256))
