"""Recursive length prefix with the `rlp` library: byte strings and nested lists of them as bytes, and back.

Only canonical forms are decoded, and refusals are worded as geth's. Source: Yellow Paper, appendix B.
"""

from typing import Any

from rlp import codec
from rlp.exceptions import DecodingError

from l2engine.errors import DecodeError

_SHORT = 56  # up to here the length stands in the first byte
_MAX_DEPTH = 64  # the deepest of a chain's structures, the access list of a block's transaction, has six


def encode(item: Any) -> bytes:
    """The RLP of bytes, or of a list or tuple of items."""
    encoded: bytes = codec.encode_raw(item)
    return encoded


def header(kind: int, length: int) -> bytes:
    """The prefix of the content of a byte string (0x80) or a list (0xC0)."""
    if length < _SHORT:
        return bytes((kind + length,))
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((kind + _SHORT - 1 + len(digits),)) + digits


def decode(data: bytes) -> Any:
    """The bytes, or the list, that `data` encodes: `DecodeError` when it is not canonical, cut short, or followed by more."""
    item, end = _item(data, 0, len(data), 0)
    if end != len(data):
        raise DecodeError("rlp: input contains more than one value")
    return item


def _item(data: bytes, start: int, stop: int, depth: int) -> tuple[Any, int]:
    """The item that begins at `start` and has to end at or before `stop`, and where it ends.

    The library reads each prefix. Its own way from there to the items copies what a list holds
    once for every item and every level, which lets 300 kB of nested lists take a minute.
    """
    try:
        _, kind, length, content = codec.consume_length_prefix(data, start)
    except IndexError as error:
        raise _cut_off(depth) from error
    except DecodingError as error:
        # A length of which no byte is there reads as 0, which no long form may have.
        raise _cut_off(depth) if start + 1 >= stop else DecodeError("rlp: non-canonical size information") from error
    end = content + length
    if end > stop:
        raise _cut_off(depth)
    if kind is bytes:
        return data[content:end], end
    if depth == _MAX_DEPTH:
        raise DecodeError("rlp: nested too deeply")
    items = []
    while content < end:
        item, content = _item(data, content, end, depth + 1)
        items.append(item)
    return items, end


def _cut_off(depth: int) -> DecodeError:
    return DecodeError("rlp: element is larger than containing list" if depth else "rlp: value size exceeds available input length")
