"""From JSON to Python values, as strictly as geth and in its words; `rpc/show` goes the other way.

A parser takes one decoded JSON value and returns the typed one, or raises `InvalidParams`. Go names the struct field or
the type where a value did not fit; `Mismatch` keeps both, so that `struct` can add the field's name on the way out.
Sources: geth common/hexutil, rpc/types.go, eth/filters/api.go; EIP-1898.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import orjson

from l2engine.errors import InvalidParams
from l2engine.types.base import MAX_UINT64, Address, Hash32

T = TypeVar("T")
Parser: TypeAlias = Callable[[Any], T]

TAGS = frozenset(("earliest", "latest", "pending", "safe", "finalized"))
BlockTag: TypeAlias = int | str  # a number, or one of TAGS


class CanonicalHash(bytes):
    """A block hash that must be canonical (EIP-1898 requireCanonical)."""


BlockReference: TypeAlias = int | str | bytes | None  # number, tag or hash; None for an EIP-1898 object that names nothing

_HEX = re.compile(r"[0-9a-fA-F]*\Z")
_DECIMAL = re.compile(r"[0-9]{0,4300}\Z")  # as many digits as int() reads


class Mismatch(InvalidParams):
    """A JSON value of the wrong kind, worded as Go's encoding/json words it."""

    def __init__(self, value: str, kind: str, field: str | None = None) -> None:
        self.value, self.kind = value, kind
        where = f"Go struct field {field}" if field else "Go value"
        super().__init__(f"json: cannot unmarshal {value} into {where} of type {kind}")


# ---- numbers and byte strings ---------------------------------------------------------------------------------------


def uint64(value: Any) -> int:
    """A hex quantity of at most 64 bits."""
    return _quantity(value, 16, "hex number > 64 bits", "hexutil.Uint64")


def uint(value: Any) -> int:
    """A hex quantity used as an index."""
    return _quantity(value, 16, "hex number > 64 bits", "hexutil.Uint")


def uint256(value: Any) -> int:
    """A hex quantity of at most 256 bits."""
    return _quantity(value, 64, "hex number > 256 bits", "*hexutil.Big")


def _quantity(value: Any, digits: int, too_large: str, kind: str) -> int:
    if not isinstance(value, str):
        raise Mismatch("non-string", kind)
    if not value:
        return 0
    if value[:2] not in ("0x", "0X"):
        raise Mismatch("hex string without 0x prefix", kind)
    text = value[2:]
    if not text:
        raise Mismatch('hex string "0x"', kind)
    if text[0] == "0" and len(text) > 1:
        raise Mismatch("hex number with leading zero digits", kind)
    if len(text) > digits:
        raise Mismatch(too_large, kind)
    if not _HEX.match(text):
        raise Mismatch("invalid hex string", kind)
    return int(text, 16)


def data(value: Any) -> bytes:
    """Hex bytes of any length."""
    text = _hex_text(value, "hexutil.Bytes")
    try:
        found = bytes.fromhex(text)
    except ValueError:
        return _not_hex("hexutil.Bytes")
    return found if 2 * len(found) == len(text) else _not_hex("hexutil.Bytes")  # Python's own takes white space between digits


def data_list(value: Any) -> list[bytes]:
    """A list of hex bytes; as `list_of(data, "hexutil.Bytes")`, but quick for the many transactions of a block."""
    try:
        found = [bytes.fromhex(item[2:]) for item in value if item[:2] == "0x"]
        if isinstance(value, list) and len(found) == len(value) and 2 * sum(map(len, found)) == sum(map(len, value)) - 2 * len(value):
            return found
    except (TypeError, ValueError):
        pass
    return _any_data_list(value)  # finds what is wrong


def address(value: Any) -> Address:
    """20 hex bytes."""
    return _fixed(value, 20, "common.Address")


def hash32(value: Any) -> Hash32:
    """32 hex bytes."""
    return _fixed(value, 32, "common.Hash")


def payload_id(value: Any) -> bytes:
    """8 hex bytes."""
    return _fixed(value, 8, "engine.PayloadID")


def _fixed(value: Any, length: int, kind: str) -> bytes:
    text = _hex_text(value, kind)
    if len(text) != 2 * length:
        raise InvalidParams(f"hex string has length {len(text)}, want {2 * length} for {kind}")
    if not _HEX.match(text):
        return _not_hex(kind)
    return bytes.fromhex(text)


def _hex_text(value: Any, kind: str) -> str:
    if not isinstance(value, str):
        raise Mismatch("non-string", kind)
    if not value:
        return ""
    if value[:2] not in ("0x", "0X"):
        raise Mismatch("hex string without 0x prefix", kind)
    if len(value) % 2:
        raise Mismatch("hex string of odd length", kind)
    return value[2:]


def _not_hex(kind: str) -> bytes:
    raise Mismatch("invalid hex string", kind)


def plain_uint64(value: Any) -> int:
    """A JSON number of at most 64 bits; its hex form is taken as well, which op-geth refuses."""
    if isinstance(value, str):
        return uint64(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_UINT64:
        raise Mismatch(_kind(value, shown=True), "uint64")
    return value


def integer(value: Any) -> int:
    """A JSON number without a fraction."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise Mismatch(_kind(value, shown=True), "int")
    return value


def hex_or_decimal(value: Any) -> int:
    """A number, or a string in hex or decimal, of at most 64 bits (geth's HexOrDecimal64)."""
    text = value if isinstance(value, str) else _shown(value)
    if text[:2] in ("0x", "0X"):
        number = int(text[2:], 16) if _HEX.match(text[2:]) and text[2:] else -1
    else:
        number = int(text or "0") if _DECIMAL.match(text) else -1
    if isinstance(value, bool) or not 0 <= number <= MAX_UINT64:
        raise InvalidParams(f'invalid hex or decimal integer "{text}"')
    return number


def boolean(value: Any) -> bool:
    """true or false; null counts as false."""
    if value is None:
        return False
    if not isinstance(value, bool):
        raise Mismatch(_kind(value), "bool")
    return value


def string(value: Any) -> str:
    """A JSON string."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Mismatch(_kind(value), "string")
    return value


def number(value: Any) -> float:
    """A JSON number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Mismatch(_kind(value), "float64")
    return value


def any_json(value: Any) -> Any:
    """Anything: for parameters that are accepted and not read."""
    return value


def _kind(value: Any, shown: bool = False) -> str:
    """What Go calls a JSON value."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return f"number {value}" if shown else "number"
    return "array" if isinstance(value, list) else "object"


def _shown(value: Any) -> str:
    """A JSON value as geth repeats it; only its kind when it is too deep or too large for that."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return _kind(value)


# ---- containers -----------------------------------------------------------------------------------------------------


def list_of(parser: Parser[T], kind: str) -> Parser[list[T]]:
    """A list whose items all parse; null is the empty list. `kind` is Go's name of the item type."""

    def parse(value: Any) -> list[T]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise Mismatch(_kind(value), f"[]{kind}")
        return [parser(item) for item in value]

    return parse


_any_data_list = list_of(data, "hexutil.Bytes")


def struct(name: str, fields: Mapping[str, Parser[Any]], required: tuple[str, ...] = ()) -> Parser[dict[str, Any]]:
    """An object with these fields; unknown ones are ignored, null counts as absent, and as for Go's encoding/json the case of
    a name does not matter. `name` is Go's ("ethapi.TransactionArgs")."""
    short = name.rpartition(".")[2]
    spelled = {key.lower(): key for key in fields}

    def parse(value: Any) -> dict[str, Any]:
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise Mismatch(_kind(value), name)
        if not value.keys() <= fields.keys():
            value = {spelled.get(key.lower(), key): item for key, item in value.items()}
        parsed = {}
        for key, parser in fields.items():
            item = value.get(key)
            if item is not None:
                try:
                    parsed[key] = parser(item)
                except Mismatch as error:
                    raise Mismatch(error.value, error.kind, f"{short}.{key}") from None
        for key in required:
            if key not in parsed:
                raise InvalidParams(f"missing required field '{key}' for {short}")
        return parsed

    return parse


@dataclass(frozen=True, slots=True)
class Optional:
    """A parameter that may be left out or null, which gives the default."""

    parser: Parser[Any]
    default: Any = None

    def __call__(self, value: Any) -> Any:
        return self.default if value is None else self.parser(value)


# ---- blocks ---------------------------------------------------------------------------------------------------------


def block_tag(value: Any) -> BlockTag:
    """A block number or tag."""
    if isinstance(value, str) and value in TAGS:
        return value
    return _block_number(value if isinstance(value, str) else _shown(value), "block number larger than int64")


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
        raise Mismatch(_kind(value), "string")
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


def storage_key(text: str) -> tuple[int, int]:
    """A storage slot in any hex form, and how many bytes it was written with."""
    digits = text[2:] if text[:2] in ("0x", "0X") else text
    if len(digits) > 64:
        raise InvalidParams(f'storage key too long (want at most 32 bytes): "{text}"')
    if not _HEX.match(digits):
        raise InvalidParams(f'invalid hex in storage key: "{text}"')
    return int(digits or "0", 16), (len(digits) + 1) // 2


# ---- log filters ----------------------------------------------------------------------------------------------------

MAX_TOPICS = 4
MAX_SUB_TOPICS = 1000  # geth's bound on alternatives per position


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which logs are wanted."""

    block_hash: Hash32 | None = None
    from_block: BlockTag | None = None
    to_block: BlockTag | None = None
    addresses: frozenset[Address] = frozenset()
    """Empty for any."""
    topics: tuple[frozenset[Hash32], ...] = ()
    """Alternatives per position; an empty set matches anything there."""

    @property
    def size(self) -> int:
        """How many addresses and topics are looked for."""
        return len(self.addresses) + sum(map(len, self.topics))


def log_filter(value: Any) -> LogFilter:
    """A filter object of eth_getLogs and its kin."""
    raw = _FILTER_FIELDS(value)
    if "blockHash" in raw and ("fromBlock" in raw or "toBlock" in raw):
        raise InvalidParams("cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other")
    topics = raw.get("topics", [])
    if len(topics) > MAX_TOPICS:
        raise InvalidParams("exceed max topics")
    return LogFilter(
        raw.get("blockHash"), raw.get("fromBlock"), raw.get("toBlock"), _addresses(raw.get("address")), tuple(_topic(t) for t in topics)
    )


_FILTER_FIELDS = struct(
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
