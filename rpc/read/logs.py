"""The filter object of eth_getLogs and related methods.
Source: geth eth/filters/api.go.
"""

from dataclasses import dataclass, field
from typing import Any

from l2engine.errors import InvalidParams
from l2engine.types.base import Address, Hash32
from l2engine.types.log_filter import LogFilter
from rpc.read.blocks import BlockTag, block_tag
from rpc.read.values import Mismatch, Struct, any_json, data, hash32, list_of

MAX_TOPICS = 4
MAX_SUB_TOPICS = 1000  # geth's bound on alternatives per position


@dataclass(frozen=True, slots=True)
class LogQuery:
    """A filter for logs, and the block or range of blocks to search."""

    filter: LogFilter = field(default_factory=LogFilter)
    block_hash: Hash32 | None = None
    from_block: BlockTag | None = None
    to_block: BlockTag | None = None


def log_query(value: Any) -> LogQuery:
    """A filter object of eth_getLogs and related methods."""
    raw = _FILTER_FIELDS(value)
    if "blockHash" in raw and ("fromBlock" in raw or "toBlock" in raw):
        raise InvalidParams("cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other")
    topics = raw.get("topics", [])
    if len(topics) > MAX_TOPICS:
        raise InvalidParams("exceed max topics")
    wanted = LogFilter(_addresses(raw.get("address")), tuple(_topic(topic) for topic in topics))
    return LogQuery(wanted, raw.get("blockHash"), raw.get("fromBlock"), raw.get("toBlock"))


_FILTER_FIELDS = Struct(
    "filters.input",
    {
        "blockHash": hash32,
        "fromBlock": block_tag,
        "toBlock": block_tag,
        "address": any_json,
        "topics": list_of(any_json, "interface {}"),
    },
)


def _addresses(value: Any) -> frozenset[Address]:
    if value is None:
        return frozenset()
    if isinstance(value, str):
        try:
            return frozenset((_sized(value, 20, "address"),))
        except InvalidParams as error:
            raise InvalidParams(f"invalid address: {error}") from None
    if not isinstance(value, list):
        raise InvalidParams("invalid addresses in query")
    found = set()
    for index, item in enumerate(value):
        if not isinstance(item, str):
            raise InvalidParams(f"non-string address at index {index}")
        try:
            found.add(_sized(item, 20, "address"))
        except InvalidParams as error:
            raise InvalidParams(f"invalid address at index {index}: {error}") from None
    return frozenset(found)


def _topic(value: Any) -> frozenset[Hash32]:
    if value is None:
        return frozenset()
    if isinstance(value, str):
        return frozenset((_sized(value, 32, "topic"),))
    if not isinstance(value, list) or not all(item is None or isinstance(item, str) for item in value):
        raise InvalidParams("invalid topic(s)")
    if len(value) > MAX_SUB_TOPICS:
        raise InvalidParams("exceed max topics")
    if None in value:
        return frozenset()  # one wildcard makes the position match anything
    return frozenset(_sized(item, 32, "topic") for item in value)


def _sized(text: str, length: int, what: str) -> bytes:
    if not text:
        raise InvalidParams("empty hex string")
    try:
        decoded = data(text)
    except Mismatch as error:
        raise InvalidParams(error.value) from None
    if len(decoded) != length:
        raise InvalidParams(f"hex has invalid length {len(decoded)} after decoding; expected {length} for {what}")
    return decoded
