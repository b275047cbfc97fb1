"""Records as tables of fields: what they read they write, and what does not fit is refused by name."""

from typing import NamedTuple

import pytest

from l2engine.errors import DecodeError
from l2engine.types.rlp_fields import ADDRESS, BOOL, DATA, UINT64, UINT256, Fields, many, or_none, record, uint


class Inner(NamedTuple):
    on: bool
    numbers: tuple[int, ...]


class Outer(NamedTuple):
    to_whom: bytes | None
    text: bytes
    parts: tuple[Inner, ...]
    late: int | None = None


INNER = Fields({"on": BOOL, "numbers": many(UINT64, "number")})
OUTER = Fields({"to_whom": or_none(ADDRESS), "text": DATA, "parts": many(record(Inner, INNER), "part"), "late": UINT256}, required=3)


@pytest.mark.parametrize(
    ("value", "items"),
    [
        (Outer(None, b"", ()), [b"", b"", []]),
        (Outer(bytes(20), b"x", (Inner(True, (0, 256)),), 7), [bytes(20), b"x", [[b"\1", [b"", b"\1\0"]]], b"\7"]),
    ],
)
def test_records_are_written_as_they_are_read(value, items):
    assert OUTER.write(value) == items
    assert Outer(*OUTER.read(items, "Outer")) == value


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (b"", "rlp: expected input list for Outer"),
        ([b"", b""], "rlp: too few elements for Outer"),
        ([b"", b"", [], b"", b""], "rlp: input list has too many elements for Outer"),
        ([bytes(19), b"", []], "rlp: expected 20 bytes for toWhom"),
        ([[], b"", []], "rlp: expected 20 bytes for toWhom"),
        ([b"", [], []], "rlp: expected bytes for text"),
        ([b"", b"", b""], "rlp: expected a list for parts"),
        ([b"", b"", [[b"\1"]]], "rlp: too few elements for part"),
        ([b"", b"", [[b"\2", []]]], "rlp: on out of range"),
        ([b"", b"", [[b"", [b"\0"]]]], "rlp: non-canonical integer (leading zero bytes) for number"),
        ([b"", b"", [[b"", [b"\1" * 9]]]], "rlp: number out of range"),
        ([b"", b"", [], b"\1" * 33], "rlp: late out of range"),
        ([b"", b"", [], []], "rlp: expected a number for late"),
    ],
)
def test_what_does_not_fit_is_named(items, words):
    with pytest.raises(DecodeError) as refusal:
        OUTER.read(items, "Outer")
    assert str(refusal.value) == words


def test_numbers_without_limit_are_read_whole():
    assert uint(None).read(b"\1" * 40, "mint") == int.from_bytes(b"\1" * 40, "big")
