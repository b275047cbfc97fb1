"""Parsers for references to a block: a number, a tag, a hash or an EIP-1898 object.

Sources: geth rpc/types.go; EIP-1898.
"""

from typing import Any, TypeAlias

from l2engine.errors import InvalidParams
from l2engine.types.base import MAX_UINT64
from rpc.read.values import Mismatch, Optional, as_json, boolean, hash32, kind_of, uint64

TAGS = frozenset(("earliest", "latest", "pending", "safe", "finalized"))
BlockTag: TypeAlias = int | str  # a number, or one of TAGS


class CanonicalHash(bytes):
    """A block hash that must be canonical (EIP-1898 requireCanonical)."""


BlockReference: TypeAlias = int | str | bytes | None  # number, tag or hash; None for an EIP-1898 object that names no block


def block_tag(value: Any) -> BlockTag:
    """A block number or tag."""
    if isinstance(value, str) and value in TAGS:
        return value
    return _block_number(value if isinstance(value, str) else as_json(value), "block number larger than int64")


def block_reference(value: Any) -> BlockReference:
    """A block number, tag or hash, or an EIP-1898 object."""
    if value is None:
        return None
    if isinstance(value, dict):
        try:
            number = None if value.get("blockNumber") is None else block_tag(value["blockNumber"])
            block_hash = None if value.get("blockHash") is None else hash32(value["blockHash"])
            canonical = boolean(value.get("requireCanonical"))
        except InvalidParams:
            raise Mismatch("object", "string") from None
        if number is not None and block_hash is not None:
            raise InvalidParams("cannot specify both BlockHash and BlockNumber, choose one or the other")
        if block_hash is not None:
            return CanonicalHash(block_hash) if canonical else block_hash
        return number
    if not isinstance(value, str):
        raise Mismatch(kind_of(value), "string")
    if value in TAGS:
        return value
    if len(value) == 66:
        try:
            return hash32(value)
        except Mismatch as error:
            raise InvalidParams(error.value) from None
    return _block_number(value, "blocknumber too high")


def _block_number(text: str, too_high: str) -> int:
    try:
        if not text:
            raise InvalidParams("empty hex string")
        number = uint64(text)
    except Mismatch as error:
        raise InvalidParams(error.value) from None
    if number > MAX_UINT64 >> 1:
        raise InvalidParams(too_high)
    return number


or_latest = Optional(block_reference, "latest")
