"""Keys: none is a prefix of another, lists of keys split again, accounts survive their row."""

import rlp
from hypothesis import given
from hypothesis import strategies as st

from l2engine.store import schema
from l2engine.types.base import EMPTY_CODE_HASH, EMPTY_ROOT, encode_int

HASH = st.sampled_from([bytes(32), b"\xff" * 32, b"\x01" * 32]) | st.binary(min_size=32, max_size=32)
NUMBER = st.integers(0, 2**64 - 1)
PATH = st.text("0f", max_size=64)
BASE_KEY = st.one_of(
    st.builds(schema.account_key, HASH),
    st.builds(schema.slot_key, HASH, HASH),
    st.builds(schema.node_key, st.none() | HASH, PATH),
)
KEY = st.one_of(
    BASE_KEY,
    st.builds(schema.past_key, BASE_KEY, NUMBER),
    st.sampled_from([b"m" + name.encode() for name in schema.META]),
    st.builds(schema.header_key, NUMBER, HASH),
    st.builds(schema.body_key, NUMBER, HASH),
    st.builds(schema.receipts_key, NUMBER, HASH),
    st.builds(schema.diff_key, NUMBER, HASH),
    st.builds(schema.log_key, HASH, NUMBER),
    *(st.builds(key, HASH) for key in (schema.number_key, schema.transaction_key, schema.code_key)),
    *(st.builds(key, NUMBER) for key in (schema.canonical_key, schema.changed_flat_key, schema.changed_nodes_key, schema.base_chain_key)),
)


@given(KEY, KEY)
def test_no_key_is_a_prefix_of_another(a: bytes, b: bytes) -> None:
    assert a == b or not a.startswith(b)
    assert a[:1] in schema.PREFIXES


@given(st.lists(BASE_KEY))
def test_joined_keys_split_again(keys: list[bytes]) -> None:
    assert list(schema.split_keys(b"".join(keys))) == keys


@given(st.none() | HASH, PATH)
def test_path_is_read_back_from_a_node_key(owner: bytes | None, path: str) -> None:
    key = schema.node_key(owner, path)
    prefix = schema.node_prefix(owner)
    assert key.startswith(prefix) and schema.unpack_path(key[len(prefix) :]) == path


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**256 - 1), st.just(EMPTY_ROOT) | HASH, st.just(EMPTY_CODE_HASH) | HASH)
def test_account_survives_its_row_and_its_leaf_is_rlp(nonce: int, balance: int, root: bytes, code_hash: bytes) -> None:
    assert schema.decode_account(schema.encode_account(nonce, balance, root, code_hash)) == (nonce, balance, root, code_hash)
    assert schema.account_leaf(nonce, balance, root, code_hash) == rlp.encode([encode_int(nonce), encode_int(balance), root, code_hash])
