"""Rows outside the tries that are wrong, missing or left over, although their checksums are right, are found by `verify`."""

import re
from collections.abc import Callable

import pytest

from l2engine.store import schema
from l2engine.store.kv import MemoryKeyValue
from l2engine.store.verify import verify
from l2engine.types import rlp
from l2engine.types.receipt import decode_receipt
from tests.helpers.dev_chain import adopt, document, open_engine
from tests.store.damage import make_blocks

Spoil = Callable[[bytes], bytes | None]


@pytest.fixture(scope="module")
def rows() -> list[tuple[bytes, bytes]]:
    kv = MemoryKeyValue()
    adopt(open_engine(document(), kv, layers=5), *make_blocks()[0])
    assert list(verify(kv)) == []
    return list(kv.iterate(b"", b"\xff"))


def with_row(rows: list[tuple[bytes, bytes]], key: bytes, value: bytes | None) -> MemoryKeyValue:
    kv = MemoryKeyValue()
    batch = kv.batch()
    for other, row in rows:
        batch.put(other, row)
    batch.put(key, value) if value is not None else batch.delete(key)
    batch.write()
    return kv


def cut_last_transaction(row: bytes) -> bytes:
    transactions, *rest = rlp.decode(row)
    return rlp.encode([transactions[:-1], *rest])


def add_withdrawal(row: bytes) -> bytes:
    transactions, ommers, _ = rlp.decode(row)
    return rlp.encode([transactions, ommers, [[b"\x01", b"\x01", bytes(20), b"\x01"]]])


def cut_last_receipt(row: bytes) -> bytes:
    return rlp.encode(rlp.decode(row)[:-1])


def cut_logs(row: bytes) -> bytes:
    receipts = [decode_receipt(item) for item in rlp.decode(row)]
    assert any(receipt.logs for receipt in receipts)
    return rlp.encode([item[:1] + rlp.encode([*rlp.decode(item[1:])[:3], [], *rlp.decode(item[1:])[4:]]) for item in rlp.decode(row)])


def without(row: bytes) -> None:
    """No row at all."""


def reversed_bytes(row: bytes) -> bytes:
    return row[::-1]


def other_last_byte(row: bytes) -> bytes:
    return row[:-1] + bytes([row[-1] ^ 1])


def empty(row: bytes) -> bytes:
    return b""


@pytest.mark.parametrize(
    ("kind", "spoil", "message"),
    [
        (b"b", cut_last_transaction, "transactions of block .* do not give its header's root"),
        (b"b", add_withdrawal, "withdrawals of block .* do not give its header's root"),
        (b"b", reversed_bytes, "row b 0x.* is damaged"),
        (b"b", without, "not whole"),
        (b"r", cut_last_receipt, "receipts of block .* do not give its header's root"),
        (b"r", cut_logs, "receipts of block .* do not give its header's root"),
        (b"r", empty, "row r 0x.* is damaged"),
        (b"h", reversed_bytes, "is damaged"),
        (b"h", without, "without a header"),
        (b"n", other_last_byte, "number of block .* is missing or wrong"),
        (b"n", without, "number of block .* is missing or wrong"),
        (b"t", reversed_bytes, "is not in the index|belong to no block"),
        (b"t", without, "is not in the index"),
        (b"l", without, "logs of block .* are not in the index"),
        (b"k", reversed_bytes, "code 0x.* is missing or wrong"),
        (b"p", without, "past values of block .* are missing"),
        (b"x", reversed_bytes, "row x 0x.* is damaged|are missing"),
        (b"e", reversed_bytes, "base's chain does not agree"),
        (b"d", reversed_bytes, "row d 0x.* is damaged|does not belong to its header"),
        (b"mconfig", reversed_bytes, "row m 0x.* is damaged"),
    ],
)
def test_wrong_row_is_found(rows, kind: bytes, spoil: Spoil, message: str) -> None:
    keys = [key for key, _ in rows if key.startswith(kind)]
    key = keys[len(keys) * 2 // 3]
    kv = with_row(rows, key, spoil(dict(rows)[key]))
    differences = "\n".join(verify(kv))
    assert re.search(message, differences), differences


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (b"zebra", "a row of an unknown kind"),
        (b"mzebra", "unknown metadata 'zebra'"),
        (schema.transaction_key(bytes(32)), "1 rows of the transaction index belong to no block"),
        (schema.log_key(bytes(32), 1), "1 rows of the log index belong to no block"),
        (schema.body_key(1, bytes(32)), "body 1 0x00.* without a header"),
        (schema.number_key(bytes(32)), "number of block 0x00.* without a header"),
    ],
)
def test_row_left_over_is_found(rows, key: bytes, message: str) -> None:
    differences = "\n".join(verify(with_row(rows, key, b"\x01")))
    assert re.search(message, differences), differences
