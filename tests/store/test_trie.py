"""The path-keyed trie against the `trie` package and the public trie vectors."""

import json
import random

import pytest
import rlp
from hypothesis import example, given, settings
from hypothesis import strategies as st
from trie import HexaryTrie

from l2engine.errors import StoreError
from l2engine.store.schema import node_key
from l2engine.store.trie import Trie, build, decode_node, encode_node, prove
from l2engine.types.base import EMPTY_ROOT, keccak
from tests.helpers.vectors import VECTORS, needs_vectors

VALUES = st.sampled_from([b"", b"", b"\x01", b"\x80", b"v" * 5, b"v" * 31, b"v" * 32, b"v" * 70])


def rounds(key_bytes: int, alphabet: str):
    """Several batches of changes over keys that share long prefixes."""
    keys = st.text(alphabet, min_size=2 * key_bytes, max_size=2 * key_bytes)
    return st.lists(st.dictionaries(keys, VALUES, min_size=1, max_size=12), min_size=1, max_size=8)


def oracle(content: dict[str, bytes]) -> HexaryTrie:
    trie = HexaryTrie({})
    for key, value in content.items():
        trie[bytes.fromhex(key)] = value
    return trie


class Table:
    """A trie whose nodes live in a dictionary, as rows of the database do."""

    def __init__(self, owner: bytes | None = None) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.root, self.owner = EMPTY_ROOT, owner

    def update(self, items: dict[str, bytes]) -> bytes:
        trie = Trie(self.rows.get, self.root, self.owner)
        self.root = trie.update(sorted(items.items()))
        for key, raw in trie.changes.items():
            if raw is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = raw
        return self.root


@settings(max_examples=150, deadline=None)
@given(st.one_of(rounds(1, "01"), rounds(2, "0123"), rounds(3, "012f")))
@example([{"00": b"\x01", "01": b"\x01"}, {"00": b""}])  # a branch collapses into its embedded child
@example([{"0000": b"v" * 70, "0011": b"v" * 70, "0012": b"v" * 70}, {"0000": b""}])  # ... into an extension
@example([{"0000": b"v" * 70, "0001": b"v" * 70}, {"0000": b"", "0001": b"", "1000": b"\x01"}])  # the extension's child vanishes
def test_batches_of_changes_give_the_oracles_root(batches: list[dict[str, bytes]]) -> None:
    table, content = Table(), {}
    for batch in batches:
        table.update(batch)
        content = {key: value for key, value in {**content, **batch}.items() if value}
        assert table.root == oracle(content).root_hash
        fresh: dict[bytes, bytes] = {}
        assert build(sorted(content.items()), lambda path, raw, fresh=fresh: fresh.__setitem__(node_key(None, path), raw)) == table.root
        assert fresh == table.rows  # no node missing, none left over


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text("012", min_size=4, max_size=4), VALUES.filter(bool), max_size=20), st.text("012", min_size=4, max_size=4))
def test_proofs_hold_for_present_and_absent_keys(content: dict[str, bytes], key: str) -> None:
    table = Table(owner=keccak(b"owner"))
    table.update(content)
    nodes = prove(table.rows.get, table.root, table.owner, key)
    if not content:
        assert nodes == ()
    else:
        assert HexaryTrie.get_from_proof(table.root, bytes.fromhex(key), [rlp.decode(node) for node in nodes]) == content.get(key, b"")


def test_deleting_everything_leaves_no_rows() -> None:
    table, rng = Table(), random.Random(7)
    content = {rng.randbytes(32).hex(): rng.randbytes(40) for _ in range(500)}
    table.update(content)
    assert table.update(dict.fromkeys(content, b"")) == EMPTY_ROOT
    assert table.rows == {}


def test_nodes_survive_encoding() -> None:
    for node in (
        [b"\x80"] * 15 + [b"\xa0" + bytes(32)],
        [b"\xa0" + bytes([i]) * 32 for i in range(16)],
        ("", b"x" * 300, True),
        ("0", b"\x01", True),
    ):
        assert decode_node(encode_node(node)) == node


def test_missing_node_is_a_store_error() -> None:
    table = Table()
    table.update({f"{i:04x}": b"v" * 40 for i in range(0, 65536, 977)})
    table.rows.pop(node_key(None, "0"))
    with pytest.raises(StoreError, match="missing trie node"):
        table.update({"0000": b"w"})


def test_unordered_items_are_refused() -> None:
    with pytest.raises(ValueError, match="order"):
        build([("01", b"a"), ("00", b"b")], lambda path, raw: None)


def vector_cases() -> list[tuple[str, str, list, str, bool]]:
    folder = VECTORS / "ethereum-tests" / "TrieTests"
    cases = []
    for file in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        for name, case in json.loads(file.read_text()).items():
            if "root" in case:
                pairs = case["in"] if isinstance(case["in"], list) else list(case["in"].items())
                cases.append((file.stem, name, pairs, case["root"], "secure" in file.stem))
    return cases


@needs_vectors
@pytest.mark.parametrize(
    ("file", "name", "pairs", "root", "secure"),
    vector_cases(),
    ids=lambda value: value if isinstance(value, str) and len(value) < 40 else "",
)
def test_public_trie_vectors(file: str, name: str, pairs: list, root: str, secure: bool) -> None:
    table = Table()
    changes = [(keccak(as_bytes(key)).hex() if secure else as_bytes(key).hex(), as_bytes(value or "")) for key, value in pairs]
    keys = {key for key, _ in changes}
    if any(a != b and b.startswith(a) for a in keys for b in keys):
        pytest.skip("a key is a prefix of another, which no trie of an Ethereum state has")
    for key, value in changes:
        table.update({key: value})
    assert "0x" + table.root.hex() == root
    batch = Table()
    assert batch.update(dict(changes)) == table.root


def as_bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:]) if text.startswith("0x") else text.encode()
