"""Encoding and decoding are inverse to each other for every transaction type, header, block and receipt."""

import dataclasses

import pytest
import rlp
from hypothesis import given, settings
from hypothesis import strategies as st

from l2engine.errors import DecodeError, InvalidTransaction
from l2engine.types.base import MAX_UINT64, MAX_UINT256, encode_int
from l2engine.types.block import Block, Withdrawal, decode_block, decode_body
from l2engine.types.header import Header, decode_header
from l2engine.types.receipt import Log, Receipt, decode_receipt
from l2engine.types.transaction import DEPOSIT_TYPE, decode_transaction, encode_deposit, recover_sender

uint64 = st.integers(0, MAX_UINT64)
uint256 = st.integers(0, MAX_UINT256)
address = st.binary(min_size=20, max_size=20)
hash32 = st.binary(min_size=32, max_size=32)
data = st.binary(max_size=100)
maybe_address = st.none() | address
access_list = st.lists(st.tuples(address, st.lists(hash32, max_size=3)), max_size=3)
authorization = st.tuples(uint256, address, uint64, st.integers(0, 255), uint256, uint256)


def _item(value):
    """A field as RLP takes it."""
    if value is None:
        return b""
    if isinstance(value, int):
        return encode_int(value)
    return [_item(part) for part in value] if isinstance(value, list | tuple) else value


FEE_MARKET_HEAD = {
    "chain_id": uint256,
    "nonce": uint64,
    "max_priority_fee_per_gas": uint256,
    "max_fee_per_gas": uint256,
    "gas": uint64,
    "to": maybe_address,
    "value": uint256,
    "data": data,
    "access_list": access_list,
}
SIGNATURE = {"y_parity": uint256, "r": uint256, "s": uint256}
FIELDS = {  # in wire order
    0: {"nonce": uint64, "gas_price": uint256, "gas": uint64, "to": maybe_address, "value": uint256, "data": data}
    | {"v": uint256, "r": uint256, "s": uint256},
    1: {"chain_id": uint256, "nonce": uint64, "gas_price": uint256, "gas": uint64, "to": maybe_address, "value": uint256, "data": data}
    | {"access_list": access_list}
    | SIGNATURE,
    2: FEE_MARKET_HEAD | SIGNATURE,
    3: FEE_MARKET_HEAD
    | {"to": address, "max_fee_per_blob_gas": uint256, "blob_versioned_hashes": st.lists(hash32, max_size=3)}
    | SIGNATURE,
    4: FEE_MARKET_HEAD | {"to": address, "authorization_list": st.lists(authorization, max_size=3)} | SIGNATURE,
}


@st.composite
def signed_transactions(draw):
    """(type, fields, raw)."""
    kind = draw(st.sampled_from(sorted(FIELDS)))
    fields = {name: draw(strategy) for name, strategy in FIELDS[kind].items()}
    body = rlp.encode([_item(value) for value in fields.values()])
    return kind, fields, body if kind == 0 else bytes([kind]) + body


@given(signed_transactions())
@settings(max_examples=300, deadline=None)
def test_signed_transactions(case):
    kind, fields, raw = case
    tx = decode_transaction(raw)
    assert tx.type == kind and tx.raw == raw
    for name, value in fields.items():
        assert _plain(getattr(tx, name)) == _plain(value), name
    try:
        sender = recover_sender(tx)
    except InvalidTransaction:
        return
    assert len(sender) == 20


@given(signed_transactions(), st.integers(0, 10**6))
@settings(max_examples=300, deadline=None)
def test_cut_transactions_are_refused(case, cut):
    raw = case[2]
    with pytest.raises(DecodeError):
        decode_transaction(raw[: cut % len(raw)])
    with pytest.raises(DecodeError):
        decode_transaction(raw + b"\0")


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_noise_is_refused_with_decode_errors(noise):
    for decode in (decode_transaction, decode_header, decode_block, decode_receipt):
        with pytest.raises(DecodeError):
            decode(noise)


DECODERS = {
    "transaction": decode_transaction,
    "header": decode_header,
    "block": decode_block,
    "receipt": decode_receipt,
    "body": lambda raw: decode_body(decode_header(EXAMPLES["header"]), raw),
}
_header = Header(*[bytes(32)] * 2, bytes(20), *[bytes(32)] * 3, bytes(256), 0, 1, 2, 3, 4, b"", bytes(32), bytes(8), 7, bytes(32))
_transaction = bytes([2]) + rlp.encode(
    [_item(value) for value in (1, 0, 1, 1, 21000, bytes(20), 0, b"", [[bytes(20), [bytes(32)]]], 0, 1, 1)]
)
_block = Block(_header, (_transaction,), (_header,), (Withdrawal(1, 2, bytes(20), 3),))
EXAMPLES = {
    "transaction": _transaction,
    "header": _header.encode(),
    "block": _block.encode(),
    "receipt": Receipt(DEPOSIT_TYPE, 1, 21000, (Log(bytes(20), (bytes(32),), b"data"),), None, 5, 1).encode(),
    "body": _block.encode_body(),
}
_structures = st.recursive(data, lambda inner: st.lists(inner, max_size=4), max_leaves=6)


@pytest.mark.parametrize("kind", DECODERS)
@given(st.data())
@settings(max_examples=300, deadline=None)
def test_wrong_structure_is_a_decode_error_or_decodes_to_the_same(kind, draw):
    """One item of a valid encoding, at any depth, gives way to something else that is valid RLP."""
    raw = EXAMPLES[kind]
    prefix = raw[:1] if raw[0] < 0xC0 else b""
    items = rlp.decode(raw[len(prefix) :])
    where = items
    while True:
        index = draw.draw(st.integers(0, len(where) - 1))
        if not isinstance(where[index], list) or not where[index] or draw.draw(st.booleans()):
            break
        where = where[index]
    where[index] = draw.draw(_structures)
    changed = prefix + rlp.encode(items)
    try:
        decoded = DECODERS[kind](changed)
    except DecodeError:
        return
    if kind == "receipt":  # the bloom is computed again, not checked
        changed = prefix + rlp.encode([*items[:2], decoded.bloom, *items[3:]])
    encoded = decoded.raw if kind == "transaction" else decoded.encode_body() if kind == "body" else decoded.encode()
    assert encoded == changed


@given(hash32, address, maybe_address, uint256, uint256, uint64, st.booleans(), data)
@settings(max_examples=200, deadline=None)
def test_deposits(source_hash, sender, to, mint, value, gas, is_system, payload):
    raw = encode_deposit(source_hash, sender, to, mint, value, gas, is_system, payload)
    tx = decode_transaction(raw)
    assert (tx.source_hash, tx.sender, tx.to, tx.mint, tx.value, tx.gas, tx.is_system_transaction, tx.data) == (
        (source_hash, sender, to, mint, value, gas, is_system, payload)
    )
    assert tx.raw == raw and recover_sender(tx) == sender


OPTIONAL_HEADER_FIELDS = {  # a header ends after any of them, never leaves one out in between
    "base_fee_per_gas": uint256,
    "withdrawals_root": hash32,
    "blob_gas_used": uint64,
    "excess_blob_gas": uint64,
    "parent_beacon_block_root": hash32,
    "requests_hash": hash32,
}


@st.composite
def headers(draw):
    optional = list(OPTIONAL_HEADER_FIELDS.items())[: draw(st.integers(0, 6))]
    return Header(
        *(draw(strategy) for strategy in (hash32, hash32, address, hash32, hash32, hash32, st.binary(min_size=256, max_size=256), uint256)),
        *(draw(uint64) for _ in ("number", "gas_limit", "gas_used", "timestamp")),
        draw(data),
        draw(hash32),
        draw(st.binary(min_size=8, max_size=8)),
        **{name: draw(strategy) for name, strategy in optional},
    )


@given(headers())
@settings(max_examples=150, deadline=None)
def test_headers(header):
    again = decode_header(header.encode())
    assert again == header and again.hash == header.hash
    assert dataclasses.replace(header, gas_used=header.gas_used ^ 1).hash != header.hash


@given(
    headers(),
    st.lists(signed_transactions(), max_size=4),
    st.lists(headers(), max_size=2),
    st.none() | st.lists(st.tuples(uint64, uint64, address, uint64), max_size=3),
)
@settings(max_examples=100, deadline=None)
def test_blocks(header, transactions, ommers, withdrawals):
    withdrawals = None if withdrawals is None else tuple(Withdrawal(*fields) for fields in withdrawals)
    block = Block(header, tuple(raw for _, _, raw in transactions), tuple(ommers), withdrawals)
    assert decode_block(block.encode()) == block
    assert decode_body(header, block.encode_body()) == block


logs = st.lists(st.tuples(address, st.lists(hash32, max_size=4), data), max_size=3).map(
    lambda items: tuple(Log(where, tuple(topics), payload) for where, topics, payload in items)
)


@given(
    st.sampled_from([0, 1, 2, 3, 4, DEPOSIT_TYPE]), st.sampled_from([0, 1]), uint64, logs, st.none() | uint64, st.sampled_from([None, 1])
)
@settings(max_examples=200, deadline=None)
def test_receipts(kind, status, gas, entries, nonce, version):
    if kind != DEPOSIT_TYPE:
        nonce = version = None
    if nonce is None:
        version = None
    receipt = Receipt(kind, status, gas, entries, None, nonce, version)
    assert decode_receipt(receipt.encode()) == receipt
    if version is None:  # the bug that consensus keeps: no nonce in the root between Regolith and Canyon
        assert receipt.encode_for_root() == dataclasses.replace(receipt, deposit_nonce=None).encode()
    else:
        assert receipt.encode_for_root() == receipt.encode()


@given(hash32, uint64, logs)
@settings(max_examples=50, deadline=None)
def test_receipts_before_byzantium(root, gas, entries):
    receipt = Receipt(0, None, gas, entries, root)
    assert decode_receipt(receipt.encode()) == receipt


def _plain(value):
    """Tuples and dataclasses as lists, to compare what was drawn with what was decoded."""
    if dataclasses.is_dataclass(value):
        value = dataclasses.astuple(value)
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
