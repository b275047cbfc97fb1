"""Transactions for tests of the rules; their signatures mean nothing."""

from l2engine.types.delegation import Authorization
from l2engine.types.transaction import BlobTransaction, DepositTransaction, FeeMarketTransaction, SetCodeTransaction

TO = b"\x22" * 20


def fee_market(to=TO, data=b"", gas=100_000, nonce=0, tip=1, fee=2, chain_id=901, access_list=()):
    return FeeMarketTransaction(chain_id, nonce, tip, fee, gas, to, 0, data, access_list, 0, 1, 1)


def set_code(count):
    delegations = (Authorization(901, TO, 0, 0, 1, 1),) * count
    return SetCodeTransaction(901, 0, 1, 2, 100_000, TO, 0, b"", (), delegations, 0, 1, 1)


def blob():
    return BlobTransaction(901, 0, 1, 2, 100_000, TO, 0, b"", (), 1, (b"\1" + bytes(31),), 0, 1, 1)


def deposit(gas=100_000, data=b"", to=TO) -> DepositTransaction:
    return DepositTransaction(bytes(32), TO, to, 0, 0, gas, False, data)
