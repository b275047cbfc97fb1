"""Recursive length prefix (RLP): encodes byte strings and nested lists of them, and decodes them again.

Only canonical forms are decoded, and errors have geth's wording. Source: Yellow Paper, appendix B.
"""

from typing import Any

from l2engine.errors import DecodeError

_STRING, _LIST = 0x80, 0xC0  # the first byte of an empty one
_SHORT = 56  # content shorter than this has its length in the first byte
_MAX_DEPTH = 64  # the deepest structure of a chain, the access list of a block's transaction, has six levels


def encode(item: Any) -> bytes:
    """The RLP of bytes, or of a list or tuple of items."""
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < _STRING else header(_STRING, len(item)) + item
    content = b"".join(map(encode, item))
    return header(_LIST, len(content)) + content


def header(kind: int, length: int) -> bytes:
    """The prefix of a byte string (`kind` 0x80) or a list (0xC0) whose content has this length."""
    if length < _SHORT:
        return bytes((kind + length,))
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((kind + _SHORT - 1 + len(digits),)) + digits


def decode(data: bytes) -> Any:
    """The bytes or list that `data` encodes. `DecodeError` when it is not canonical, cut short, or followed by more bytes."""
    item, end = _item(data, 0, len(data), 0)
    if end != len(data):
        raise DecodeError("rlp: input contains more than one value")
    return item


def _item(data: bytes, start: int, stop: int, depth: int) -> tuple[Any, int]:
    """The item that begins at `start` and must end at or before `stop`, and the offset where it ends."""
    if start >= stop:
        raise _cut_off(depth)
    first = data[start]
    if first < _STRING:
        return data[start : start + 1], start + 1
    kind = _STRING if first < _LIST else _LIST
    content, length = _content(data, start, stop, first - kind, depth)
    end = content + length
    if end > stop:
        raise _cut_off(depth)
    if kind == _STRING:
        if length == 1 and data[content] < _STRING:
            raise _not_canonical()
        return data[content:end], end
    if depth == _MAX_DEPTH:
        raise DecodeError("rlp: nested too deeply")
    items = []
    while content < end:
        item, content = _item(data, content, end, depth + 1)
        items.append(item)
    return items, end


def _content(data: bytes, start: int, stop: int, size: int, depth: int) -> tuple[int, int]:
    """Where the content of the item at `start` begins, and its length; `size` is what its first byte says of it."""
    if size < _SHORT:
        return start + 1, size
    content = start + 2 + size - _SHORT
    if content > stop:
        raise _cut_off(depth)
    length = int.from_bytes(data[start + 1 : content], "big")
    if length < _SHORT or data[start + 1] == 0:
        raise _not_canonical()
    return content, length


def _cut_off(depth: int) -> DecodeError:
    return DecodeError("rlp: element is larger than containing list" if depth else "rlp: value size exceeds available input length")


def _not_canonical() -> DecodeError:
    return DecodeError("rlp: non-canonical size information")
