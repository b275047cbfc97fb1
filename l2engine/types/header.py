"""Block headers and their consensus encoding.

The RLP follows Ethereum's order; optional fields that a fork does not have are left out at the end. Sources: Yellow Paper 4.3,
EIP-1559, 4895, 4844, 4788, 7685.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from l2engine.types import rlp
from l2engine.types.base import EMPTY_OMMERS_HASH, Address, BlockNumber, Gas, Hash32, Timestamp, Wei, keccak
from l2engine.types.rlp_fields import ADDRESS, DATA, HASH32, UINT64, UNBOUNDED, Fields, Kind, fixed, record


@dataclass(frozen=True)
class Header:
    """A block header; None marks a field that the block's fork does not have. Not slotted, because encoding and hash are cached on it."""

    parent_hash: Hash32
    ommers_hash: Hash32
    beneficiary: Address
    state_root: Hash32
    transactions_root: Hash32
    receipts_root: Hash32
    logs_bloom: bytes
    difficulty: int
    number: BlockNumber
    gas_limit: Gas
    gas_used: Gas
    timestamp: Timestamp
    extra_data: bytes
    prev_randao: Hash32
    """mixHash on the wire."""
    nonce: bytes
    """8 bytes."""
    base_fee_per_gas: Wei | None = None
    withdrawals_root: Hash32 | None = None
    """From Isthmus on, the storage root of the L2ToL1MessagePasser."""
    blob_gas_used: int | None = None
    """From Jovian on, the block's DA footprint."""
    excess_blob_gas: int | None = None
    parent_beacon_block_root: Hash32 | None = None
    requests_hash: Hash32 | None = None

    def rlp_items(self) -> list[Any]:
        return _FIELDS.write(self)

    def encode(self) -> bytes:
        """The header's RLP."""
        return self._encoded

    @cached_property
    def _encoded(self) -> bytes:
        return rlp.encode(self.rlp_items())

    @cached_property
    def hash(self) -> Hash32:
        return keccak(self._encoded)


def decode_header(data: bytes) -> Header:
    """A header from its RLP; `DecodeError` when the bytes are not a header."""
    return HEADER.read(rlp.decode(data), "types.Header")


def ommers_hash(ommers: Sequence[Header]) -> Hash32:
    """keccak of the RLP of the ommers' headers."""
    return keccak(rlp.encode([ommer.rlp_items() for ommer in ommers])) if ommers else EMPTY_OMMERS_HASH


_FIELDS = Fields(
    {
        "parent_hash": HASH32,
        "ommers_hash": HASH32,
        "beneficiary": ADDRESS,
        "state_root": HASH32,
        "transactions_root": HASH32,
        "receipts_root": HASH32,
        "logs_bloom": fixed(256),
        "difficulty": UNBOUNDED,
        "number": UINT64,
        "gas_limit": UINT64,
        "gas_used": UINT64,
        "timestamp": UINT64,
        "extra_data": DATA,
        "prev_randao": HASH32,
        "nonce": fixed(8),
        "base_fee_per_gas": UNBOUNDED,
        "withdrawals_root": HASH32,
        "blob_gas_used": UINT64,
        "excess_blob_gas": UINT64,
        "parent_beacon_block_root": HASH32,
        "requests_hash": HASH32,
    },
    required=15,
)

HEADER: Kind[Header] = record(Header, _FIELDS)
