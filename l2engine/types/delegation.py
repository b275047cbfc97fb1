"""Accounts that delegate to another account's code, and the signed tuples that authorize this. Source: EIP-7702."""

from dataclasses import dataclass, replace

from l2engine.errors import InvalidTransaction
from l2engine.types import rlp
from l2engine.types.base import Address, Hash32, keccak
from l2engine.types.rlp_fields import ADDRESS, UINT64, UINT256, Fields, uint
from l2engine.types.signature import SECP256K1_N, recover_address, sign

DELEGATION = b"\xef\x01\x00"
"""The first bytes of a delegating account's code; the address of the account whose code runs follows."""


def is_delegation(code: bytes) -> bool:
    """Whether an account's code is only a pointer to another account's code."""
    return len(code) == 23 and code.startswith(DELEGATION)


@dataclass(frozen=True, slots=True)
class Authorization:
    """One delegation, signed by the account that delegates."""

    chain_id: int
    """0 means any chain."""
    address: Address
    nonce: int
    y_parity: int = 0
    r: int = 0
    s: int = 0

    @property
    def signing_hash(self) -> Hash32:
        """The hash that the delegating account signs."""
        return keccak(b"\x05" + rlp.encode(AUTHORIZATION.write(self)[:-3]))


AUTHORIZATION = Fields({"chain_id": UINT256, "address": ADDRESS, "nonce": UINT64, "y_parity": uint(255), "r": UINT256, "s": UINT256})


def recover_authority(authorization: Authorization) -> Address | None:
    """The delegating account, or None when the signature is not valid (EIP-7702 then skips the tuple)."""
    if authorization.s > SECP256K1_N // 2 or authorization.y_parity > 1:
        return None
    try:
        return recover_address(authorization.signing_hash, authorization.y_parity, authorization.r, authorization.s)
    except InvalidTransaction:
        return None


def sign_authorization(authorization: Authorization, key: bytes) -> Authorization:
    """The authorization, signed with a private key (32 bytes)."""
    y_parity, r, s = sign(authorization.signing_hash, key)
    return replace(authorization, y_parity=y_parity, r=r, s=s)
