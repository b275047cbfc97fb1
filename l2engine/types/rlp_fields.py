"""Reads and writes records as RLP lists from one table: the fields in their order on the wire, each with its kind.

    _LOG = Fields({"address": ADDRESS, "topics": many(HASH32, "topic"), "data": DATA})
    Log(*_LOG.read(rlp.decode(raw), "log")) == log
    rlp.encode(_LOG.write(log)) == raw

A value that does not fit raises a `DecodeError` that names the field. Structures nest: `record` and `many` build kinds from kinds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Generic, TypeVar

from l2engine.errors import DecodeError
from l2engine.types.base import MAX_UINT64, MAX_UINT256, encode_int

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """How one field is read and written."""

    read: Callable[[Any, str], T]
    """The value of a decoded item (bytes, or a list of items); the name is used in errors."""
    write: Callable[[T], Any]
    """The item to encode."""


class Fields:
    """A record's fields: attribute names and kinds, in order. Those after the first `required` may be None, which ends the list."""

    def __init__(self, fields: Mapping[str, Kind[Any]], required: int | None = None) -> None:
        self._least = len(fields) if required is None else required
        self._reads = [(kind.read, _wire_name(name)) for name, kind in fields.items()]
        self._writes = [None if kind.write is _unchanged else kind.write for kind in fields.values()]  # None saves a call
        self._values: Callable[[Any], tuple[Any, ...]] = attrgetter(*fields)

    def read(self, items: Any, name: str) -> list[Any]:
        """The values of the record, read from a decoded list; `name` is the record's name for errors in geth's words."""
        if not isinstance(items, list):
            raise DecodeError(f"rlp: expected input list for {name}")
        if len(items) < self._least:
            raise DecodeError(f"rlp: too few elements for {name}")
        if len(items) > len(self._reads):
            raise DecodeError(f"rlp: input list has too many elements for {name}")
        return [read(item, field) for item, (read, field) in zip(items, self._reads, strict=False)]

    def write(self, record: Any) -> list[Any]:
        """The list of a record's items."""
        values = self._values(record)
        if None in values[self._least :]:
            values = values[: values.index(None, self._least)]
        return [value if write is None else write(value) for write, value in zip(self._writes, values, strict=False)]


def _wire_name(attribute: str) -> str:
    """The name used in errors: `max_fee_per_gas` becomes `maxFeePerGas`."""
    first, *others = attribute.split("_")
    return first + "".join(word.capitalize() for word in others)


# ---- kinds ----------------------------------------------------------------------------------------------------------


def _unchanged(value: bytes) -> bytes:
    return value


def _data(item: Any, name: str) -> bytes:
    if not isinstance(item, bytes):
        raise DecodeError(f"rlp: expected bytes for {name}")
    return item


def fixed(length: int) -> Kind[bytes]:
    """Bytes of this length."""

    def read(item: Any, name: str) -> bytes:
        if not isinstance(item, bytes) or len(item) != length:
            raise DecodeError(f"rlp: expected {length} bytes for {name}")
        return item

    return Kind(read, _unchanged)


def uint(most: int | None) -> Kind[int]:
    """An integer from 0 to `most`; None means no limit."""

    def read(item: Any, name: str) -> int:
        if not isinstance(item, bytes):
            raise DecodeError(f"rlp: expected a number for {name}")
        if item[:1] == b"\0":
            raise DecodeError(f"rlp: non-canonical integer (leading zero bytes) for {name}")
        value = int.from_bytes(item, "big")
        if most is not None and value > most:
            raise DecodeError(f"rlp: {name} out of range")
        return value

    return Kind(read, encode_int)


def exactly(number: int) -> Kind[int]:
    """Only this integer, for instance the one known version of a format."""

    def read(item: Any, name: str) -> int:
        value = uint(None).read(item, name)
        if value != number:
            raise DecodeError(f"unsupported {name} {value}")
        return value

    return Kind(read, encode_int)


def or_none(kind: Kind[bytes]) -> Kind[bytes | None]:
    """Bytes of another kind, or None, which is encoded as the empty string."""
    return Kind(lambda item, name: None if item == b"" else kind.read(item, name), lambda value: value or b"")


def many(kind: Kind[T], each: str) -> Kind[tuple[T, ...]]:
    """A list of any length; `each` names its items in errors."""

    def read(item: Any, name: str) -> tuple[T, ...]:
        if not isinstance(item, list):
            raise DecodeError(f"rlp: expected a list for {name}")
        return tuple([kind.read(one, each) for one in item])

    return Kind(read, lambda values: [kind.write(value) for value in values])


def record(make: Callable[..., T], fields: Fields) -> Kind[T]:
    """A nested list with these fields; `make` builds the record from its values."""
    return Kind(lambda item, name: make(*fields.read(item, name)), fields.write)


DATA = Kind(_data, _unchanged)
"""Bytes of any length."""
ADDRESS, HASH32 = fixed(20), fixed(32)
UINT64, UINT256, UNBOUNDED = uint(MAX_UINT64), uint(MAX_UINT256), uint(None)
BOOL: Kind[bool] = Kind(lambda item, name: bool(uint(1).read(item, name)), encode_int)
