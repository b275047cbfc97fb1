"""Recursive length prefix with the `rlp` library: byte strings and nested lists of them as bytes, and back.

Only canonical forms are decoded, and refusals are worded as geth's. Source: Yellow Paper, appendix B.
"""

from typing import Any

from rlp import codec
from rlp.exceptions import RLPException

from l2engine.errors import DecodeError

_SHORT = 56  # up to here the length stands in the first byte
_CUT_OFF = "value size exceeds available input length"
_WORDS = {
    "RLP string ends with": "input contains more than one value",
    "RLP string too short": _CUT_OFF,
    "Tried to read": _CUT_OFF,
    "List length prefix": "element is larger than containing list",
}


def encode(item: Any) -> bytes:
    """The RLP of bytes, or of a list or tuple of items."""
    encoded: bytes = codec.encode_raw(item)
    return encoded


def header(kind: int, length: int) -> bytes:
    """What stands before the content of a byte string (0x80) or a list (0xC0)."""
    if length < _SHORT:
        return bytes((kind + length,))
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((kind + _SHORT - 1 + len(digits),)) + digits


def decode(data: bytes) -> Any:
    """The bytes, or the list, that `data` encodes: `DecodeError` when it is not canonical, cut short, or followed by more."""
    try:
        return codec.decode_raw(data, True, False)[0]
    except RLPException as error:
        raise DecodeError(f"rlp: {_words(data, str(error))}") from error
    except RecursionError as error:
        raise DecodeError("rlp: nested too deeply") from error


def _words(data: bytes, message: str) -> str:
    if len(data) == 1:  # a length should follow; the library reads its absence as 0
        return _CUT_OFF
    return next((words for start, words in _WORDS.items() if message.startswith(start)), "non-canonical size information")
