"""Recursive length prefix: byte strings and nested lists of them as bytes, and back. Refusals are worded as geth's.

Source: Yellow Paper, appendix B.
"""

from typing import Any

from l2engine.errors import DecodeError

_SHORT = 56  # up to here the length stands in the first byte


def encode(item: Any) -> bytes:
    """The RLP of bytes, or of a list or tuple of items."""
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return header(0x80, len(item)) + item
    payload = b"".join([encode(part) for part in item])
    return header(0xC0, len(payload)) + payload


def header(kind: int, length: int) -> bytes:
    """What stands before the content of a byte string (0x80) or a list (0xC0)."""
    if length < _SHORT:
        return bytes((kind + length,))
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((kind + _SHORT - 1 + len(digits),)) + digits


def decode(data: bytes) -> Any:
    """The bytes, or the list, that `data` encodes: `DecodeError` when it is not canonical, cut short, or followed by more."""
    try:
        item, end = _item(data, 0, len(data))
    except RecursionError as error:
        raise DecodeError("rlp: nested too deeply") from error
    if end != len(data):
        raise DecodeError("rlp: input contains more than one value")
    return item


def _item(data: bytes, start: int, stop: int) -> tuple[Any, int]:
    """The item that begins at `start` and has to end at or before `stop`, and where it ends."""
    if start >= stop:
        raise _cut_off(data, stop)
    first = data[start]
    if first < 0x80:
        return data[start : start + 1], start + 1
    is_list = first >= 0xC0
    length = first - (0xC0 if is_list else 0x80)
    start += 1
    if length >= _SHORT:
        digits = data[start : min(start + length - _SHORT + 1, stop)]
        if len(digits) < length - _SHORT + 1:
            raise _cut_off(data, stop)
        start += len(digits)
        length = int.from_bytes(digits, "big")
        if digits[:1] == b"\0" or length < _SHORT:
            raise DecodeError("rlp: non-canonical size information")
    end = start + length
    if end > stop:
        raise _cut_off(data, stop)
    if not is_list:
        if length == 1 and data[start] < 0x80:
            raise DecodeError("rlp: non-canonical size information")
        return data[start:end], end
    items = []
    while start < end:
        part, start = _item(data, start, end)
        items.append(part)
    return items, end


def _cut_off(data: bytes, stop: int) -> DecodeError:
    inside = stop < len(data)
    return DecodeError("rlp: element is larger than containing list" if inside else "rlp: value size exceeds available input length")
