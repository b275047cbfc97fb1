"""Transactions for tests of the rules; their signatures mean nothing."""

import rlp

from l2engine.types.base import encode_int
from l2engine.types.transaction import DepositTransaction, encode_deposit
from l2engine.types.transaction_codec import decode_transaction

TO = b"\x22" * 20


def fee_market(to=TO, data=b"", gas=100_000, nonce=0, tip=1, fee=2, chain_id=901, access_list=()):
    fields = [chain_id, nonce, tip, fee, gas, to or b"", 0, data, list(access_list), 0, 1, 1]
    return decode_transaction(b"\2" + rlp.encode([encode_int(x) if isinstance(x, int) else x for x in fields]))


def set_code(count):
    one = [encode_int(901), TO, b"", b"", b"\1", b"\1"]
    fields = [901, 0, 1, 2, 100_000, TO, 0, b"", [], [one] * count, 0, 1, 1]
    return decode_transaction(b"\4" + rlp.encode([encode_int(x) if isinstance(x, int) else x for x in fields]))


def blob():
    fields = [901, 0, 1, 2, 100_000, TO, 0, b"", [], 1, [b"\1" + bytes(31)], 0, 1, 1]
    return decode_transaction(b"\3" + rlp.encode([encode_int(x) if isinstance(x, int) else x for x in fields]))


def deposit(gas=100_000, data=b"", to=TO) -> DepositTransaction:
    return decode_transaction(encode_deposit(bytes(32), TO, to, 0, 0, gas, False, data))
