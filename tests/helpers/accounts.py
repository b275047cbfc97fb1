"""Throw-away accounts that sign transactions for tests."""

from dataclasses import dataclass

from l2engine.types.base import Address, keccak
from l2engine.types.signature import address_of, public_key
from l2engine.types.transaction import AccessList, FeeMarketTransaction
from l2engine.types.transaction_codec import signed


@dataclass(slots=True)
class Signer:
    """An account with its key; `nonce` counts up with every transaction signed without one."""

    key: bytes
    address: Address
    chain_id: int
    nonce: int = 0

    def sign(
        self,
        to: Address | None = bytes(20),
        value: int = 0,
        data: bytes = b"",
        gas: int = 21_000,
        max_fee: int = 10**10,
        tip: int = 10**6,
        nonce: int | None = None,
        access_list: AccessList = (),
    ) -> bytes:
        """A signed type-2 transaction."""
        if nonce is None:
            nonce = self.nonce
            self.nonce += 1
        return signed(FeeMarketTransaction(self.chain_id, nonce, tip, max_fee, gas, to, value, data, access_list), self.key).raw


def signer(name: str, chain_id: int = 901) -> Signer:
    """The account whose key is the hash of `name`."""
    key = keccak(name.encode())
    return Signer(key, address_of(public_key(key)), chain_id)
