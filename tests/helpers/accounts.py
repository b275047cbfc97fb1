"""Throw-away accounts that sign transactions for tests."""

from dataclasses import dataclass
from typing import Any

import coincurve
import rlp

from l2engine.types.base import Address, encode_int, keccak


@dataclass(slots=True)
class Signer:
    """An account with its key; `nonce` counts up with every transaction signed without one."""

    key: coincurve.PrivateKey
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
    ) -> bytes:
        """A signed type-2 transaction."""
        if nonce is None:
            nonce = self.nonce
            self.nonce += 1
        numbers = (self.chain_id, nonce, tip, max_fee, gas)
        fields: list[Any] = [*map(encode_int, numbers), to or b"", encode_int(value), data, []]
        signature = self.key.sign_recoverable(keccak(b"\x02" + rlp.encode(fields)), hasher=None)
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        return b"\x02" + rlp.encode([*fields, encode_int(signature[64]), encode_int(r), encode_int(s)])


def signer(name: str, chain_id: int = 901) -> Signer:
    """The account whose key is the hash of `name`."""
    key = coincurve.PrivateKey(keccak(name.encode()))
    return Signer(key, keccak(key.public_key.format(compressed=False)[1:])[12:], chain_id)
