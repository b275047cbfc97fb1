"""RLP against ethereum/tests RLPTests: canonical forms only, refused in geth's words."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2engine.errors import DecodeError
from l2engine.types import rlp
from l2engine.types.base import encode_int
from tests.helpers.vectors import VECTORS, needs_vectors

LENGTHS = st.sampled_from([0, 1, 2, 32, 54, 55, 56, 57, 255, 256, 300])
STRINGS = st.binary(max_size=3) | LENGTHS.map(lambda length: b"\x80" * length)
ITEMS = st.recursive(STRINGS, lambda inner: st.lists(inner, max_size=5), max_leaves=20)


@given(ITEMS, st.integers(0, 20), st.integers(0, 255), st.binary(max_size=2))
def test_there_is_one_encoding_of_each_item(item, place, byte, tail):
    encoded = rlp.encode(item)
    assert rlp.decode(encoded) == item
    changed = bytearray(encoded)
    changed[min(place, len(changed) - 1)] = byte
    for data in (bytes(changed), encoded[:place], encoded + tail, tail + encoded):
        try:
            decoded = rlp.decode(data)
        except DecodeError:
            continue
        assert rlp.encode(decoded) == data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", "value size exceeds available input length"),
        ("f8", "value size exceeds available input length"),
        ("c28201", "element is larger than containing list"),
        ("c2820101", "element is larger than containing list"),
        ("8101", "non-canonical size information"),
        ("b800", "non-canonical size information"),
        ("c000", "input contains more than one value"),
    ],
)
def test_names_the_fault_as_geth_does(data, words):
    with pytest.raises(DecodeError, match=words):
        rlp.decode(bytes.fromhex(data))


def test_deep_nesting_is_refused():
    headers, length = [], 0
    for _ in range(100_000):
        headers.append(rlp.header(0xC0, length))
        length += len(headers[-1])
    with pytest.raises(DecodeError, match="nested too deeply"):
        rlp.decode(b"".join(reversed(headers)))


def test_decoding_takes_time_in_proportion_to_the_input():
    items = [b"\x01" * 100] * 200_000
    assert rlp.decode(rlp.encode(items)) == items  # minutes if each item copied those before it


@needs_vectors
def test_rlp_tests():
    seen = 0
    for path in sorted((VECTORS / "ethereum-tests/RLPTests").rglob("*.json")):
        for name, case in json.loads(path.read_text()).items():
            seen += 1
            encoded, value = bytes.fromhex(case["out"].removeprefix("0x")), case["in"]
            if value == "INVALID":
                with pytest.raises(DecodeError):
                    print(name, rlp.decode(encoded))
            elif value == "VALID":
                rlp.decode(encoded)
            else:
                assert rlp.encode(_items(value)) == encoded, name
                assert rlp.decode(encoded) == _items(value), name
    assert seen == 47


def _items(value: Any) -> Any:
    """The suite's notation: text, numbers, `#` before big numbers, lists."""
    if isinstance(value, list):
        return [_items(item) for item in value]
    if isinstance(value, int):
        return encode_int(value)
    return encode_int(int(value[1:])) if value.startswith("#") else value.encode()
