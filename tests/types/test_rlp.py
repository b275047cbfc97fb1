"""The RLP library that everything is encoded with, against ethereum/tests RLPTests: canonical forms only."""

import json
from typing import Any

import pytest
import rlp

from l2engine.types.base import encode_int
from tests.helpers.vectors import VECTORS, needs_vectors


@needs_vectors
def test_rlp_tests():
    seen = 0
    for path in sorted((VECTORS / "ethereum-tests/RLPTests").rglob("*.json")):
        for name, case in json.loads(path.read_text()).items():
            seen += 1
            encoded, value = bytes.fromhex(case["out"].removeprefix("0x")), case["in"]
            if value == "INVALID":
                with pytest.raises(rlp.exceptions.RLPException):
                    print(name, rlp.decode(encoded, strict=True))
            elif value == "VALID":
                rlp.decode(encoded, strict=True)
            else:
                assert rlp.encode(_items(value)) == encoded, name
                assert rlp.decode(encoded, strict=True) == _items(value), name
    assert seen == 47


def _items(value: Any) -> Any:
    """The suite's notation: text, numbers, `#` before big numbers, lists."""
    if isinstance(value, list):
        return [_items(item) for item in value]
    if isinstance(value, int):
        return encode_int(value)
    return encode_int(int(value[1:])) if value.startswith("#") else value.encode()
