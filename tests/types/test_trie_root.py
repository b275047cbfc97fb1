"""Roots of whole tries: ethereum/tests TrieTests, and the `trie` package as the oracle on random content."""

import json

import pytest
import rlp
from hypothesis import given, settings
from hypothesis import strategies as st
from trie import HexaryTrie

from l2engine.types.base import EMPTY_ROOT, keccak
from l2engine.types.trie_root import ordered_root, trie_root
from tests.helpers.vectors import VECTORS, needs_vectors

NEIGHBOURS = "trietestnextprev.json"  # walks through keys: tests/store/test_kv.py


@needs_vectors
def test_trie_tests():
    seen = 0
    for path in sorted((VECTORS / "ethereum-tests/TrieTests").glob("*.json")):
        if path.name == NEIGHBOURS:
            continue
        for name, case in json.loads(path.read_text()).items():
            seen += 1
            content = {}
            for key, value in case["in"].items() if isinstance(case["in"], dict) else case["in"]:
                hashed = keccak(_bytes(key)) if "secure" in path.name.lower() else _bytes(key)
                content.pop(hashed, None)
                if value is not None:
                    content[hashed] = _bytes(value)
            assert "0x" + trie_root(content).hex() == case["root"], f"{path.name} {name}"
    assert seen == 22


def test_empty_trie():
    assert trie_root({}) == ordered_root([]) == EMPTY_ROOT


# Short keys over few bytes share prefixes and end inside each other, which hashed keys never do.
_keys = st.binary(min_size=1, max_size=6) | st.lists(st.sampled_from([0, 1, 16, 17]), min_size=1, max_size=5).map(bytes)


@given(st.dictionaries(_keys, st.binary(min_size=1, max_size=80), max_size=40))
@settings(max_examples=200, deadline=None)
def test_equals_the_trie_package(content):
    oracle = HexaryTrie({})
    for key, value in content.items():
        oracle[key] = value
    assert trie_root(content) == trie_root(list(content.items())) == oracle.root_hash


@pytest.mark.parametrize("count", [1, 2, 16, 127, 128, 129, 300])
def test_ordered_root_keys_by_index(count):
    values = [b"value %d" % index * 5 for index in range(count)]
    assert ordered_root(values) == trie_root({rlp.encode(index): value for index, value in enumerate(values)})


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:]) if text.startswith("0x") else text.encode()
