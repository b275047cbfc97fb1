"""Keccak-256, and the checksum that it gives an address in messages.

Source: EIP-55.
"""

import os
from collections.abc import Callable

# eth-hash picks its backend when first imported; this C one is six times faster than the default.
os.environ.setdefault("ETH_HASH_BACKEND", "pysha3")

from eth_hash.auto import keccak as _keccak

keccak: Callable[[bytes], bytes] = _keccak
"""Keccak-256, 32 bytes."""


def checksum_address(who: bytes) -> str:
    """The address (20 bytes) in EIP-55's mixed-case form, as geth writes it in messages."""
    text = who.hex()
    digest = keccak(text.encode()).hex()
    return "0x" + "".join(c.upper() if int(d, 16) > 7 else c for c, d in zip(text, digest, strict=False))
