"""Parsing is as strict as geth's and uses its words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2engine.errors import InvalidParams
from rpc.read import values as codec

ADDRESS = "0x35c43b54d2a2ad4b6ec5549cc93cb96ce77ada35"
HASH = "0x" + "ab" * 32


@given(st.integers(0, 2**64 - 1))
def test_quantities_survive(value):
    assert codec.uint64(hex(value)) == codec.uint256(hex(value)) == codec.plain_uint64(value) == codec.plain_uint64(hex(value)) == value


@given(st.binary())
def test_bytes_survive(value):
    assert codec.data("0x" + value.hex()) == value
    assert codec.data("0X" + value.hex().upper()) == value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
)
HEXLIKE = st.from_regex(r"0[xX]?[0-9a-fA-Fg_ ]{0,70}", fullmatch=True)


@given(JSON | HEXLIKE)
def test_every_parser_gives_a_value_or_invalid_params(value):
    for parser in (
        codec.uint64, codec.uint, codec.uint256, codec.data, codec.address, codec.hash32, codec.payload_id, codec.plain_uint64,
        codec.hex_or_decimal, codec.boolean, codec.string, codec.number, codec.block_tag, codec.block_reference, codec.log_filter,
        codec.list_of(codec.data, "hexutil.Bytes"),
    ):  # fmt: skip
        try:
            parser(value)
        except InvalidParams as error:
            assert str(error)


@pytest.mark.parametrize(
    ("parser", "value", "message"),
    [
        (codec.address, "0x12", "hex string has length 2, want 40 for common.Address"),
        (codec.address, ADDRESS[:-1], "json: cannot unmarshal hex string of odd length into Go value of type common.Address"),
        (codec.address, ADDRESS[2:], "json: cannot unmarshal hex string without 0x prefix into Go value of type common.Address"),
        (codec.address, None, "json: cannot unmarshal non-string into Go value of type common.Address"),
        (codec.hash32, "0x", "hex string has length 0, want 64 for common.Hash"),
        (codec.hash32, "0x" + "zz" * 32, "json: cannot unmarshal invalid hex string into Go value of type common.Hash"),
        (codec.data, "0xzz", "json: cannot unmarshal invalid hex string into Go value of type hexutil.Bytes"),
        (codec.data, "0x1 ", "json: cannot unmarshal invalid hex string into Go value of type hexutil.Bytes"),
        (codec.block_tag, "0x01", "hex number with leading zero digits"),
        (codec.block_tag, "newest", "hex string without 0x prefix"),
        (codec.block_tag, 1, "hex string without 0x prefix"),
        (codec.block_tag, None, "hex string without 0x prefix"),
        (codec.block_tag, "0xfffffffffffffffff", "hex number > 64 bits"),
        (codec.block_tag, "0xffffffffffffffff", "block number larger than int64"),
        (codec.block_tag, "0xzz", "invalid hex string"),
        (codec.block_reference, {"blockHash": HASH, "blockNumber": "0x1"}, "cannot specify both BlockHash and BlockNumber, choose one or the other"),
        (codec.block_reference, 5, "json: cannot unmarshal number into Go value of type string"),
        (codec.block_reference, {"blockNumber": 5}, "json: cannot unmarshal object into Go value of type string"),
        (codec.hex_or_decimal, "x", 'invalid hex or decimal integer "x"'),
        (codec.hex_or_decimal, "1_0", 'invalid hex or decimal integer "1_0"'),
        (codec.hex_or_decimal, " 4 ", 'invalid hex or decimal integer " 4 "'),
        (codec.hex_or_decimal, "0x1_0", 'invalid hex or decimal integer "0x1_0"'),
        (codec.hex_or_decimal, "-1", 'invalid hex or decimal integer "-1"'),
        (codec.hex_or_decimal, "9" * 5000, f'invalid hex or decimal integer "{"9" * 5000}"'),
        (codec.hex_or_decimal, None, 'invalid hex or decimal integer "null"'),
        (codec.hex_or_decimal, True, 'invalid hex or decimal integer "true"'),
        (codec.integer, 1.5, "json: cannot unmarshal number 1.5 into Go value of type int"),
        (codec.plain_uint64, -1, "json: cannot unmarshal number -1 into Go value of type uint64"),
        (codec.log_filter, {"topics": [None] * 5}, "exceed max topics"),
        (codec.log_filter, {"topics": ["0x12"]}, "hex has invalid length 1 after decoding; expected 32 for topic"),
        (codec.log_filter, {"address": "0x12"}, "invalid address: hex has invalid length 1 after decoding; expected 20 for address"),
        (codec.log_filter, {"address": [ADDRESS, 1]}, "non-string address at index 1"),
        (codec.log_filter, {"blockHash": HASH, "fromBlock": "0x1"}, "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other"),
    ],
)  # fmt: skip
def test_refusals(parser, value, message):
    with pytest.raises(InvalidParams) as caught:
        parser(value)
    assert str(caught.value) == message


def test_struct_names_the_field():
    parser = codec.struct("ethapi.TransactionArgs", {"to": codec.address, "gas": codec.uint64}, ("gas",))
    assert parser({"gas": "0x5", "to": None, "more": 1}) == {"gas": 5}
    for value, message in (
        (
            {"gas": "0x00"},
            "json: cannot unmarshal hex number with leading zero digits into Go struct field TransactionArgs.gas of type hexutil.Uint64",
        ),
        ({"to": ADDRESS}, "missing required field 'gas' for TransactionArgs"),
        ("x", "json: cannot unmarshal string into Go value of type ethapi.TransactionArgs"),
    ):
        with pytest.raises(InvalidParams, match="^" + message.replace("(", r"\(") + "$"):
            parser(value)


def test_the_case_of_names_does_not_matter():
    assert codec.log_filter({"FROMBLOCK": "0x1", "toblock": "0x2", "Topics": []}) == codec.LogFilter(None, 1, 2)


def test_values_too_deep_to_repeat_are_refused_by_their_kind():
    deep: list[object] = []
    for _ in range(900):
        deep = [deep]
    with pytest.raises(InvalidParams, match='invalid hex or decimal integer "array"'):
        codec.hex_or_decimal(deep)
    with pytest.raises(InvalidParams, match="hex string without 0x prefix"):
        codec.block_tag(deep)


def test_block_references():
    assert codec.block_reference("latest") == "latest"
    assert codec.block_reference("0x10") == 16
    assert codec.block_reference(HASH) == bytes.fromhex(HASH[2:])
    assert isinstance(codec.block_reference({"blockHash": HASH, "requireCanonical": True}), codec.CanonicalHash)
    assert codec.block_reference({}) is None


def test_storage_keys():
    assert codec.storage_key("1") == (1, 1)
    assert codec.storage_key("0x" + "0" * 63 + "5") == (5, 32)
    with pytest.raises(InvalidParams, match='invalid hex in storage key: "0xzz"'):
        codec.storage_key("0xzz")
    with pytest.raises(InvalidParams, match="storage key too long"):
        codec.storage_key("0x" + "0" * 65)


def test_log_filters():
    wanted = codec.log_filter({"fromBlock": "0x1", "toBlock": "latest", "address": ADDRESS, "topics": [None, [HASH, HASH], [None, HASH]]})
    assert wanted.from_block == 1
    assert wanted.to_block == "latest"
    assert wanted.addresses == {bytes.fromhex(ADDRESS[2:])}
    assert wanted.topics == (frozenset(), {bytes.fromhex(HASH[2:])}, frozenset())
