"""Recursive length prefix (RLP) with the `rlp` library: encodes byte strings and nested lists of them, and decodes them again.

Only canonical forms are decoded, and errors have geth's wording. Source: Yellow Paper, appendix B.
The library is imported when it is first needed: with it comes eth-utils, and from its version 5.3 on pydantic, which a command such as
`--version` should not wait for.
"""

from collections.abc import Callable
from typing import Any

from l2engine.errors import DecodeError

_SHORT = 56  # content shorter than this has its length in the first byte
_MAX_DEPTH = 64  # the deepest structure of a chain, the access list of a block's transaction, has six levels


def encode(item: Any) -> bytes:
    """The RLP of bytes, or of a list or tuple of items."""
    from rlp import codec

    encoded: bytes = codec.encode_raw(item)
    return encoded


def header(kind: int, length: int) -> bytes:
    """The prefix of a byte string (`kind` 0x80) or a list (0xC0) whose content has this length."""
    if length < _SHORT:
        return bytes((kind + length,))
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((kind + _SHORT - 1 + len(digits),)) + digits


def decode(data: bytes) -> Any:
    """The bytes or list that `data` encodes. `DecodeError` when it is not canonical, cut short, or followed by more bytes."""
    from rlp.codec import consume_length_prefix

    item, end = _item(data, 0, len(data), 0, consume_length_prefix)
    if end != len(data):
        raise DecodeError("rlp: input contains more than one value")
    return item


def _item(data: bytes, start: int, stop: int, depth: int, read_prefix: Callable[..., Any]) -> tuple[Any, int]:
    """The item that begins at `start` and must end at or before `stop`, and the offset where it ends.

    The library only reads each prefix. Its own decoder copies a list's content once for every item
    and every level, which makes 300 kB of nested lists take a minute.
    """
    try:
        _, kind, length, content = read_prefix(data, start)
    except IndexError as error:
        raise _cut_off(depth) from error
    except _decoding_error() as error:
        # When the bytes of the length are missing, the library reads 0 and calls it non-canonical, although the data is cut off.
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
        item, content = _item(data, content, end, depth + 1, read_prefix)
        items.append(item)
    return items, end


def _decoding_error() -> type[Exception]:
    from rlp.exceptions import DecodingError

    kind: type[Exception] = DecodingError
    return kind


def _cut_off(depth: int) -> DecodeError:
    return DecodeError("rlp: element is larger than containing list" if depth else "rlp: value size exceeds available input length")
