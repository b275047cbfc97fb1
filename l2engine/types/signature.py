"""Signatures on secp256k1, the curve of Ethereum's accounts, with the `coincurve` library.

A signature is (y_parity, r, s): a bit that selects one of two points, and two integers. Source: Yellow Paper, appendix F.
"""

from functools import lru_cache

import coincurve

from l2engine.errors import InvalidTransaction
from l2engine.refusals import Reason
from l2engine.types.base import Address, Hash32, keccak

SECP256K1_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""The order of the curve's group; an s above half of it counts as high (EIP-2)."""


def sign(digest: Hash32, key: bytes) -> tuple[int, int, int]:
    """The signature (y_parity, r, s) of a hash by a private key (32 bytes), with a low s."""
    signature = coincurve.PrivateKey(key).sign_recoverable(digest, hasher=None)
    return signature[64], int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")


def recover_public_key(digest: Hash32, y_parity: int, r: int, s: int) -> bytes | None:
    """The public key (64 bytes, x and y) whose owner signed the hash; None when there is no such key."""
    if not (0 < r < SECP256K1_N and 0 < s < SECP256K1_N):
        return None
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([y_parity])
    try:
        key = coincurve.PublicKey.from_signature_and_message(signature, digest, hasher=None)
    except Exception:  # coincurve raises bare Exception and ValueError alike
        return None
    return key.format(compressed=False)[1:]


def public_key(key: bytes) -> bytes:
    """The public key (64 bytes, x and y) of a private key."""
    return coincurve.PrivateKey(key).public_key.format(compressed=False)[1:]


def address_of(public: bytes) -> Address:
    """The account that belongs to a public key."""
    return keccak(public)[12:]


@lru_cache(maxsize=16384)
def recover_address(digest: Hash32, y_parity: int, r: int, s: int) -> Address:
    """The account whose key made this signature; `InvalidTransaction` when there is none. The last 16,384 results are cached,
    so that executing a block does not repeat the pool's work."""
    public = recover_public_key(digest, y_parity, r, s)
    if public is None:
        raise InvalidTransaction(Reason.RECOVERY_FAILED)
    return address_of(public)
