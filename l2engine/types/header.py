"""Block headers and their consensus encoding.

The RLP follows Ethereum's order, optional fields absent from the end. Sources: Yellow Paper 4.3, EIP-1559, 4895, 4844,
4788, 7685.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from l2engine.errors import DecodeError
from l2engine.types import rlp
from l2engine.types.base import EMPTY_OMMERS_HASH, MAX_UINT64, Address, BlockNumber, Gas, Hash32, Timestamp, Wei, encode_int, keccak


@dataclass(frozen=True)
class Header:
    """A block header; None stands for a field that the block's fork does not have. Not slotted: the hash is kept."""

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
    """From Isthmus on the storage root of the L2ToL1MessagePasser."""
    blob_gas_used: int | None = None
    """From Jovian on the block's DA footprint."""
    excess_blob_gas: int | None = None
    parent_beacon_block_root: Hash32 | None = None
    requests_hash: Hash32 | None = None

    def encode(self) -> bytes:
        """The header's RLP."""
        encoded: bytes = rlp.encode(self.rlp_items())
        return encoded

    def rlp_items(self) -> list[bytes]:
        items = [
            self.parent_hash,
            self.ommers_hash,
            self.beneficiary,
            self.state_root,
            self.transactions_root,
            self.receipts_root,
            self.logs_bloom,
            encode_int(self.difficulty),
            encode_int(self.number),
            encode_int(self.gas_limit),
            encode_int(self.gas_used),
            encode_int(self.timestamp),
            self.extra_data,
            self.prev_randao,
            self.nonce,
        ]
        for value in (
            self.base_fee_per_gas,
            self.withdrawals_root,
            self.blob_gas_used,
            self.excess_blob_gas,
            self.parent_beacon_block_root,
            self.requests_hash,
        ):
            if value is None:
                break
            items.append(value if isinstance(value, bytes) else encode_int(value))
        return items

    @property
    def hash(self) -> Hash32:
        known: Hash32 | None = self.__dict__.get("_hash")
        if known is None:
            known = keccak(self.encode())
            object.__setattr__(self, "_hash", known)
        return known


def decode_header(data: bytes) -> Header:
    """A header from its RLP; `DecodeError` when it is none."""
    return header_from_items(rlp.decode(data))


def header_from_items(items: Any) -> Header:
    """A header from its decoded RLP items."""
    if not isinstance(items, list) or not 15 <= len(items) <= 21 or not all(isinstance(item, bytes) for item in items):
        raise DecodeError("header: expected 15 to 21 byte strings")
    values: list[Any] = []
    for (name, kind), item in zip(_HEADER_FIELDS, items, strict=False):
        if kind == "bytes":
            values.append(item)
        elif kind == "int" or kind == "uint64":
            if item[:1] == b"\0":
                raise DecodeError(f"header: leading zeros in {name}")
            value = int.from_bytes(item, "big")
            if value > MAX_UINT64 and kind == "uint64":
                raise DecodeError(f"header: {name} out of range")
            values.append(value)
        elif len(item) != int(kind):
            raise DecodeError(f"header: {name} must have {kind} bytes")
        else:
            values.append(item)
    return Header(*values)


def ommers_hash(ommers: Sequence[Header]) -> Hash32:
    """keccak of the RLP of the ommers' headers."""
    return keccak(rlp.encode([ommer.rlp_items() for ommer in ommers])) if ommers else EMPTY_OMMERS_HASH


_HEADER_FIELDS = [
    ("parentHash", "32"),
    ("sha3Uncles", "32"),
    ("miner", "20"),
    ("stateRoot", "32"),
    ("transactionsRoot", "32"),
    ("receiptsRoot", "32"),
    ("logsBloom", "256"),
    ("difficulty", "int"),
    ("number", "uint64"),
    ("gasLimit", "uint64"),
    ("gasUsed", "uint64"),
    ("timestamp", "uint64"),
    ("extraData", "bytes"),
    ("mixHash", "32"),
    ("nonce", "8"),
    ("baseFeePerGas", "int"),
    ("withdrawalsRoot", "32"),
    ("blobGasUsed", "uint64"),
    ("excessBlobGas", "uint64"),
    ("parentBeaconBlockRoot", "32"),
    ("requestsHash", "32"),
]
