"""Parsers for numbers, byte strings and containers in JSON, as strict as geth and with its error texts; `rpc/read` is built from them.

A parser takes one decoded JSON value and returns the typed one, or raises `InvalidParams`. Go names the struct field or
the type where a value did not fit; `Mismatch` keeps both, so that `Struct` can add the field's name on the way out.
Source: geth common/hexutil.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar

import orjson

from l2engine.errors import InvalidParams
from l2engine.types.base import MAX_UINT64, Address, Hash32
from rpc.errors import SERVER_ERROR, RpcError

T = TypeVar("T")
Parser: TypeAlias = Callable[[Any], T]

_HEX = re.compile(r"[0-9a-fA-F]*\Z")
_DECIMAL = re.compile(r"[0-9]{0,4300}\Z")  # 4300 digits is the most that int() reads


class Mismatch(InvalidParams):
    """A JSON value of the wrong kind, worded as Go's encoding/json words it."""

    def __init__(self, value: str, kind: str, field: str | None = None) -> None:
        self.value, self.kind = value, kind
        where = f"Go struct field {field}" if field else "Go value"
        super().__init__(f"json: cannot unmarshal {value} into {where} of type {kind}")


# ---- numbers and byte strings ---------------------------------------------------------------------------------------


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


uint64: Parser[int] = partial(_quantity, digits=16, too_large="hex number > 64 bits", kind="hexutil.Uint64")
"""A hex quantity of at most 64 bits."""


def data(value: Any) -> bytes:
    """Hex bytes of any length."""
    text = _hex_text(value, "hexutil.Bytes")
    try:
        found = bytes.fromhex(text)
    except ValueError:
        return _not_hex("hexutil.Bytes")
    return found if 2 * len(found) == len(text) else _not_hex("hexutil.Bytes")  # bytes.fromhex allows white space between digits


def data_list(value: Any) -> list[bytes]:
    """A list of hex bytes: the same as `list_of(data, "hexutil.Bytes")`, but fast for the many transactions of a block."""
    try:
        found = [bytes.fromhex(item[2:]) for item in value if item[:2] == "0x"]
        if isinstance(value, list) and len(found) == len(value) and 2 * sum(map(len, found)) == sum(map(len, value)) - 2 * len(value):
            return found
    except (TypeError, ValueError):
        pass
    return _any_data_list(value)  # raises the exact error


def address(value: Any) -> Address:
    """20 hex bytes."""
    return _fixed(value, 20, "common.Address")


def payload_id(value: Any) -> bytes:
    """8 hex bytes."""
    return _fixed(value, 8, "PayloadID")


def _fixed(value: Any, length: int, kind: str) -> bytes:
    is_plain = isinstance(value, str) and len(value) == 2 * length + 2 and value[:2] == "0x"
    text = value[2:] if is_plain else _hex_text(value, kind)
    if len(text) != 2 * length:
        raise InvalidParams(f"hex string has length {len(text)}, want {2 * length} for {kind}")
    if not _HEX.match(text):
        return _not_hex(kind)
    return bytes.fromhex(text)


hash32: Parser[Hash32] = partial(_fixed, length=32, kind="common.Hash")
"""32 hex bytes."""


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
    """A JSON number of at most 64 bits. A hex string is accepted as well, although op-geth refuses it."""
    if isinstance(value, str):
        return uint64(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_UINT64:
        raise Mismatch(kind_of(value, shown=True), "uint64")
    return value


def integer(value: Any) -> int:
    """A JSON number without a fraction."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise Mismatch(kind_of(value, shown=True), "int")
    return value


def hex_or_decimal(value: Any) -> int:
    """A number, or a string in hex or decimal, of at most 64 bits (geth's HexOrDecimal64)."""
    text = value if isinstance(value, str) else as_json(value)
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
        raise Mismatch(kind_of(value), "bool")
    return value


def string(value: Any) -> str:
    """A JSON string."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Mismatch(kind_of(value), "string")
    return value


def number(value: Any) -> float:
    """A JSON number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Mismatch(kind_of(value), "float64")
    return value


def any_json(value: Any) -> Any:
    """Any JSON value, for parameters that are accepted but not used."""
    return value


def refused(message: str) -> Parser[Any]:
    """A field that is known and not served: `RpcError` with the message."""

    def parse(value: Any) -> Any:
        raise RpcError(SERVER_ERROR, message)

    return parse


def kind_of(value: Any, shown: bool = False) -> str:
    """Go's name for the kind of a JSON value; `shown` adds a number's value."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return f"number {value}" if shown else "number"
    return "array" if isinstance(value, list) else "object"


def as_json(value: Any) -> str:
    """A JSON value as geth repeats it in errors; only its kind when it is too deep or too large for that."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return kind_of(value)


def storage_key(text: str) -> tuple[int, int]:
    """A storage slot in any hex form, and the number of bytes in that form."""
    digits = text[2:] if text[:2] in ("0x", "0X") else text
    if len(digits) > 64:
        raise InvalidParams(f'storage key too long (want at most 32 bytes): "{text}"')
    if not _HEX.match(digits):
        raise InvalidParams(f'invalid hex in storage key: "{text}"')
    return int(digits or "0", 16), (len(digits) + 1) // 2


# ---- containers -----------------------------------------------------------------------------------------------------


def list_of(parser: Parser[T], kind: str) -> Parser[list[T]]:
    """A list whose items all parse; null is the empty list. `kind` is Go's name of the item type."""

    def parse(value: Any) -> list[T]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise Mismatch(kind_of(value), f"[]{kind}")
        return [parser(item) for item in value]

    return parse


_any_data_list = list_of(data, "hexutil.Bytes")


class Struct:
    """An object with these fields. Unknown fields are ignored and null counts as absent; the case of names does not matter, as in
    Go's encoding/json. `name` is the name of the Go type ("ethapi.TransactionArgs").

    `tests/rpc/test_argument_tables.py` shows for every field that it has an effect or is refused."""

    def __init__(self, name: str, fields: Mapping[str, Parser[Any]], required: tuple[str, ...] = ()) -> None:
        self.name, self.fields, self._required = name, fields, required
        self._short = name.rpartition(".")[2]
        self._spelled = {key.lower(): key for key in fields}

    def __call__(self, value: Any) -> dict[str, Any]:
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise Mismatch(kind_of(value), self.name)
        if not value.keys() <= self.fields.keys():
            value = {self._spelled.get(key.lower(), key): item for key, item in value.items()}
        parsed = {}
        for key, parser in self.fields.items():
            item = value.get(key)
            if item is not None:
                try:
                    parsed[key] = parser(item)
                except Mismatch as error:
                    raise Mismatch(error.value, error.kind, f"{self._short}.{key}") from None
        for key in self._required:
            if key not in parsed:
                raise InvalidParams(f"missing required field '{key}' for {self._short}")
        return parsed


def map_of(key: Parser[Any], value: Parser[Any], kind: str) -> Parser[dict[Any, Any]]:
    def parse(item: Any) -> dict[Any, Any]:
        if not isinstance(item, dict):
            raise Mismatch("array" if isinstance(item, list) else "string" if isinstance(item, str) else "number", kind)
        return {key(name): value(inner) for name, inner in item.items()}

    return parse


@dataclass(frozen=True, slots=True)
class Optional:
    """A parameter that may be left out or null, which gives the default."""

    parser: Parser[Any]
    default: Any = None

    def __call__(self, value: Any) -> Any:
        return self.default if value is None else self.parser(value)


def or_null(parser: Parser[Any]) -> Parser[Any]:
    """A parameter that must be there but may be null, which gives None."""
    return lambda value: None if value is None else parser(value)
