"""Names for plain `int` and `bytes`, the hash function, and the constants that every layer shares.

Addresses and hashes are raw big-endian bytes (20 and 32); hex appears only at the edges.
"""

from typing import TypeAlias

from l2engine import hashing

keccak = hashing.keccak
checksum_address = hashing.checksum_address

Address: TypeAlias = bytes  # 20 bytes
Hash32: TypeAlias = bytes  # 32 bytes
Wei: TypeAlias = int
Gas: TypeAlias = int
Timestamp: TypeAlias = int  # unix seconds
BlockNumber: TypeAlias = int

ZERO_ADDRESS: Address = bytes(20)
ZERO_HASH: Hash32 = bytes(32)
EMPTY_CODE_HASH: Hash32 = keccak(b"")
EMPTY_ROOT: Hash32 = keccak(b"\x80")  # the root of a trie without entries: RLP of empty bytes
EMPTY_OMMERS_HASH: Hash32 = keccak(b"\xc0")  # RLP of an empty list
EMPTY_REQUESTS_HASH: Hash32 = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")  # sha256 of nothing
EMPTY_BLOOM = bytes(256)

MAX_UINT64 = 2**64 - 1
MAX_UINT256 = 2**256 - 1


def encode_int(value: int) -> bytes:
    """`value` as RLP encodes integers: big-endian without leading zeros, empty for 0."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")
