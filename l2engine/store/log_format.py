"""The records of LevelDB's write-ahead logs and manifests, and which log a manifest says is the oldest that is needed.

Both kinds of file are made of blocks of 32 KiB with records: checksum (u32, little-endian), length (u16), type (u8), content. A long
entry is split over records of the types first (2), middle (3) and last (4); a short one is whole (1).
Sources: LevelDB's doc/log_format.md, db/version_edit.cc.
"""

from collections.abc import Iterator

BLOCK = 32_768
HEADER = 7

_WHOLE, _FIRST, _LAST = 1, 2, 4
_COMPARATOR, _LOG_NUMBER, _COMPACT_POINTER, _DELETED_FILE, _NEW_FILE = 1, 2, 5, 6, 7
_FIELDS = {_COMPARATOR: "b", _LOG_NUMBER: "n", 3: "n", 4: "n", _COMPACT_POINTER: "nb", _DELETED_FILE: "nn", _NEW_FILE: "nnnbb", 9: "n"}
"""The fields of each tag: numbers (n), and bytes (b) behind their length."""


def records(block: bytes) -> Iterator[tuple[int, int]]:
    """Offset and length of the records in one block."""
    at = 0
    while at + HEADER <= len(block):
        length = int.from_bytes(block[at + 4 : at + 6], "little")
        yield at, length
        at += HEADER + length


def oldest_log(manifest: bytes) -> int | None:
    """The number of the oldest log that LevelDB reads at the start; None or 0 when there is none, None also for a damaged manifest."""
    number = None
    try:
        for entry in _entries(manifest):
            number = _log_number(entry) or number
    except (IndexError, KeyError):
        return None
    return number


def _entries(content: bytes) -> Iterator[bytes]:
    """The entries without a torn last one."""
    entry = b""
    for start in range(0, len(content), BLOCK):
        block = content[start : start + BLOCK]
        for at, length in records(block):
            kind, part = block[at + 6], block[at + HEADER : at + HEADER + length]
            if len(part) < length:
                return
            entry = part if kind in (_WHOLE, _FIRST) else entry + part
            if kind in (_WHOLE, _LAST):
                yield entry


def _log_number(entry: bytes) -> int | None:
    found, at = None, 0
    while at < len(entry):
        tag, at = _number(entry, at)
        for field in _FIELDS[tag]:
            value, at = _number(entry, at)
            if field == "b":
                at += value
            elif tag == _LOG_NUMBER:
                found = value
    return found


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A varint, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
