"""The objects of a genesis file, read field by field: names in any case, numbers and hex of a known width.

All forms that geth reads are taken, and some more: a number as JSON number, decimal text or hex (`0x` and empty text are zero), hex
with `0x`, `0X` or no prefix. What is wrong is a `ConfigError` with the field's name.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from l2engine.errors import ConfigError

_DECIMAL = re.compile(r"-?[0-9]{1,99}")
_HEX = re.compile(r"[0-9a-fA-F]*")
_SHOWN = 80  # characters of a wrong value in a message


class Fields:
    """One object. `where` goes before the names of its fields in errors."""

    def __init__(self, value: Any, where: str = "") -> None:
        self._where = where
        found = mapping(value, where.rstrip(".: "))
        self._values = {name.lower(): item for name, item in found.items()}  # as in Go, the last of several spellings counts

    def has(self, name: str) -> bool:
        """Whether the field is there, and not null."""
        return self._values.get(name.lower()) is not None

    def number(self, name: str, bits: int, default: int = 0) -> int:
        """A number that fits in so many bits; `default` when absent or null."""
        value = self._values.get(name.lower())
        return default if value is None else number(value, self._where + name, bits)

    def data(self, name: str, length: int | None = None) -> bytes:
        """Bytes, so many of them or any number; zeros, or none, when absent or null."""
        value = self._values.get(name.lower())
        if value is None:
            return bytes(length or 0)
        result = hex_bytes(value, self._where + name)
        if length is not None and len(result) != length:
            raise ConfigError(f"{self._where}{name} has {len(result)} bytes instead of {length}: {value:.{_SHOWN}}")
        return result

    def section(self, name: str) -> "Fields":
        """An object inside this one; an empty one when absent or null."""
        return Fields(self._object(name), f"{self._where}{name}.")

    def entries(self, name: str) -> Iterator[tuple[str, Any]]:
        """The names and values of an object inside this one whose names are data; nothing when absent or null."""
        yield from self._object(name).items()

    def _object(self, name: str) -> Mapping[str, Any]:
        value = self._values.get(name.lower())
        return {} if value is None else mapping(value, self._where + name)


def mapping(value: Any, name: str) -> Mapping[str, Any]:
    """An object; `ConfigError` for anything else."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} is not an object: {shown(value)}")
    return value


def number(value: Any, name: str, bits: int) -> int:
    """A number in one of its forms; `ConfigError` when it is none, negative or wider."""
    if isinstance(value, int) and not isinstance(value, bool):
        result = value
    elif isinstance(value, str) and value[:2] in ("0x", "0X") and _HEX.fullmatch(value, 2):
        result = int(value[2:] or "0", 16)
    elif isinstance(value, str) and (not value or _DECIMAL.fullmatch(value)):
        result = int(value or "0")
    else:
        raise ConfigError(f"{name} is not a number: {shown(value)}")
    if result < 0:
        raise ConfigError(f"{name} is negative: {result}")
    if result.bit_length() > bits:
        raise ConfigError(f"{name} does not fit in {bits} bits: {value!s:.{_SHOWN}}")
    return result


def hex_bytes(value: Any, name: str) -> bytes:
    """Bytes from whole pairs of hex digits; `ConfigError` otherwise."""
    if isinstance(value, str):
        digits = hex_digits(value)
        if len(digits) % 2 == 0 and _HEX.fullmatch(digits):
            return bytes.fromhex(digits)
    raise ConfigError(f"{name} is not hexadecimal: {shown(value)}")


def word(value: Any, name: str) -> int:
    """A slot or its value: up to 32 bytes of hex, with or without prefix, null being zero."""
    digits = hex_digits(value) if isinstance(value, str) else "" if value is None else "-"
    if not _HEX.fullmatch(digits):
        raise ConfigError(f"{name} is not hexadecimal: {shown(value)}")
    if len(digits) > 64:
        raise ConfigError(f"{name} is longer than 32 bytes: {value:.{_SHOWN}}")
    return int(digits or "0", 16)


def address(text: str) -> bytes:
    """The key of an allocation: hex with or without prefix; zeros may be left out on the left."""
    digits = hex_digits(text)
    if not digits or not _HEX.fullmatch(digits):
        raise ConfigError(f"account {text:.{_SHOWN}}: the address is not hexadecimal")
    if len(digits) > 40:
        raise ConfigError(f"account {text:.{_SHOWN}}: the address is longer than 20 bytes")
    return bytes.fromhex(digits.rjust(40, "0"))


def hex_digits(text: str) -> str:
    """Hex text without its prefix."""
    return text[2:] if text[:2] in ("0x", "0X") else text


def shown(value: Any) -> str:
    """A wrong value in a message: what Python writes for it, cut."""
    return f"{value!r:.{_SHOWN}}"
