"""Parsing is as strict as geth's and uses its words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2engine.errors import InvalidParams
from rpc.read.blocks import block_reference, block_tag
from rpc.read.logs import log_query
from rpc.read.values import (
    Struct,
    address,
    boolean,
    data,
    hash32,
    hex_or_decimal,
    integer,
    list_of,
    number,
    payload_id,
    plain_uint64,
    storage_key,
    string,
    uint,
    uint64,
    uint256,
)

ADDRESS = "0x35c43b54d2a2ad4b6ec5549cc93cb96ce77ada35"
HASH = "0x" + "ab" * 32


@given(st.integers(0, 2**64 - 1))
def test_quantities_survive(value):
    assert uint64(hex(value)) == uint256(hex(value)) == plain_uint64(value) == plain_uint64(hex(value)) == value


@given(st.binary())
def test_bytes_survive(value):
    assert data("0x" + value.hex()) == value
    assert data("0X" + value.hex().upper()) == value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
)
HEXLIKE = st.from_regex(r"0[xX]?[0-9a-fA-Fg_ ]{0,70}", fullmatch=True)


@given(JSON | HEXLIKE)
def test_every_parser_gives_a_value_or_invalid_params(value):
    for parser in (
        uint64, uint, uint256, data, address, hash32, payload_id, plain_uint64,
        hex_or_decimal, boolean, string, number, block_tag, block_reference, log_query,
        list_of(data, "hexutil.Bytes"),
    ):  # fmt: skip
        try:
            parser(value)
        except InvalidParams as error:
            assert str(error)


@pytest.mark.parametrize(
    ("parser", "value", "message"),
    [
        (address, "0x12", "hex string has length 2, want 40 for common.Address"),
        (address, ADDRESS[:-1], "json: cannot unmarshal hex string of odd length into Go value of type common.Address"),
        (address, ADDRESS[2:], "json: cannot unmarshal hex string without 0x prefix into Go value of type common.Address"),
        (address, None, "json: cannot unmarshal non-string into Go value of type common.Address"),
        (hash32, "0x", "hex string has length 0, want 64 for common.Hash"),
        (hash32, "0x" + "zz" * 32, "json: cannot unmarshal invalid hex string into Go value of type common.Hash"),
        (data, "0xzz", "json: cannot unmarshal invalid hex string into Go value of type hexutil.Bytes"),
        (data, "0x1 ", "json: cannot unmarshal invalid hex string into Go value of type hexutil.Bytes"),
        (hex_or_decimal, "x", 'invalid hex or decimal integer "x"'),
        (hex_or_decimal, "1_0", 'invalid hex or decimal integer "1_0"'),
        (hex_or_decimal, " 4 ", 'invalid hex or decimal integer " 4 "'),
        (hex_or_decimal, "0x1_0", 'invalid hex or decimal integer "0x1_0"'),
        (hex_or_decimal, "-1", 'invalid hex or decimal integer "-1"'),
        (hex_or_decimal, "9" * 5000, f'invalid hex or decimal integer "{"9" * 5000}"'),
        (hex_or_decimal, None, 'invalid hex or decimal integer "null"'),
        (hex_or_decimal, True, 'invalid hex or decimal integer "true"'),
        (integer, 1.5, "json: cannot unmarshal number 1.5 into Go value of type int"),
        (plain_uint64, -1, "json: cannot unmarshal number -1 into Go value of type uint64"),
    ],
)  # fmt: skip
def test_refusals(parser, value, message):
    with pytest.raises(InvalidParams) as caught:
        parser(value)
    assert str(caught.value) == message


def test_struct_names_the_field():
    parser = Struct("ethapi.TransactionArgs", {"to": address, "gas": uint64}, ("gas",))
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


def test_values_too_deep_to_repeat_are_refused_by_their_kind():
    deep: list[object] = []
    for _ in range(900):
        deep = [deep]
    with pytest.raises(InvalidParams, match='invalid hex or decimal integer "array"'):
        hex_or_decimal(deep)
    with pytest.raises(InvalidParams, match="hex string without 0x prefix"):
        block_tag(deep)


def test_storage_keys():
    assert storage_key("1") == (1, 1)
    assert storage_key("0x" + "0" * 63 + "5") == (5, 32)
    with pytest.raises(InvalidParams, match='invalid hex in storage key: "0xzz"'):
        storage_key("0xzz")
    with pytest.raises(InvalidParams, match="storage key too long"):
        storage_key("0x" + "0" * 65)
