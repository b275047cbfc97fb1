"""Headers, blocks, logs and receipts in their consensus encodings.

A block keeps its transactions as raw bytes; whoever needs fields decodes them. Header RLP follows Ethereum's order,
optional fields absent from the end. Sources: Yellow Paper 4.3, EIP-1559, 4895, 4844, 4788, 7685, 2718; OP specs,
deposits.md "Deposit receipt".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from l2engine.errors import DecodeError
from l2engine.types import accelerated, rlp
from l2engine.types.base import (
    EMPTY_BLOOM,
    EMPTY_OMMERS_HASH,
    MAX_UINT64,
    Address,
    BlockNumber,
    Gas,
    Hash32,
    Timestamp,
    Wei,
    encode_int,
    keccak,
)
from l2engine.types.transaction import DEPOSIT_TYPE


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


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """An EIP-4895 withdrawal; OP chains never have one."""

    index: int
    validator_index: int
    address: Address
    amount: int
    """In gwei."""

    def rlp_items(self) -> list[bytes]:
        return [encode_int(self.index), encode_int(self.validator_index), self.address, encode_int(self.amount)]


@dataclass(frozen=True, slots=True)
class Block:
    """A sealed block."""

    header: Header
    transactions: tuple[bytes, ...]
    """EIP-2718 bytes: a type byte and its payload, or a legacy RLP list."""
    ommers: tuple[Header, ...] = ()
    withdrawals: tuple[Withdrawal, ...] | None = None
    """None before Canyon (Shanghai), empty after on OP chains."""

    @property
    def hash(self) -> Hash32:
        return self.header.hash

    @property
    def number(self) -> BlockNumber:
        return self.header.number

    def encode(self) -> bytes:
        """The block's RLP, as in chain files and debug_getRawBlock."""
        encoded: bytes = rlp.encode([self.header.rlp_items(), *self.body_items()])
        return encoded

    def encode_body(self) -> bytes:
        """The RLP of transactions, ommers and, from Canyon on, withdrawals."""
        parts = [(accelerated.encode_transactions or encode_transactions)(self.transactions)]
        parts.append(rlp.encode([ommer.rlp_items() for ommer in self.ommers]))
        if self.withdrawals is not None:
            parts.append(rlp.encode([withdrawal.rlp_items() for withdrawal in self.withdrawals]))
        return _list(parts)

    def body_items(self) -> list[Any]:
        transactions = [rlp.decode(raw) if raw[0] >= 0xC0 else raw for raw in self.transactions]
        body: list[Any] = [transactions, [ommer.rlp_items() for ommer in self.ommers]]
        if self.withdrawals is not None:
            body.append([withdrawal.rlp_items() for withdrawal in self.withdrawals])
        return body


@dataclass(frozen=True, slots=True)
class Log:
    """One event."""

    address: Address
    topics: tuple[Hash32, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """A transaction's receipt with everything that any encoding needs."""

    type: int
    status: int | None
    """1 success, 0 failure; None before Byzantium, where `state_root` stands instead."""
    cumulative_gas_used: Gas
    logs: tuple[Log, ...]
    state_root: Hash32 | None = None
    deposit_nonce: int | None = None
    """Deposits from Regolith on: the sender's nonce before execution."""
    deposit_receipt_version: int | None = None
    """Deposits from Canyon on: 1."""

    @property
    def bloom(self) -> bytes:
        return logs_bloom(self.logs)

    def encode(self) -> bytes:
        """The form that peers exchange and debug_getRawReceipts shows: with deposit nonce and version when known."""
        return self._encode(self._tail())

    def encode_for_root(self) -> bytes:
        """The leaf of the receipts trie. Between Regolith and Canyon it leaves out the deposit nonce, a bug kept by consensus."""
        return self._encode(self._tail() if self.deposit_receipt_version is not None else [])

    def _tail(self) -> list[bytes]:
        if self.type != DEPOSIT_TYPE or self.deposit_nonce is None:
            return []
        tail = [encode_int(self.deposit_nonce)]
        if self.deposit_receipt_version is not None:
            tail.append(encode_int(self.deposit_receipt_version))
        return tail

    def _encode(self, tail: list[bytes]) -> bytes:
        outcome = self.state_root if self.status is None else encode_int(self.status)
        logs = [[log.address, list(log.topics), log.data] for log in self.logs]
        payload: bytes = rlp.encode([outcome, encode_int(self.cumulative_gas_used), self.bloom, logs, *tail])
        return payload if self.type == 0 else bytes([self.type]) + payload


def bloom_bits(item: bytes) -> int:
    """The up to three of a bloom filter's 2048 bits that an address or topic sets (Yellow Paper 4.3.1)."""
    digest, bits = keccak(item), 0
    for i in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[i : i + 2], "big") & 2047)
    return bits


def logs_bloom(logs: Iterable[Log]) -> bytes:
    """The bloom filter over addresses and topics, 256 bytes."""
    bits = 0
    for log in logs:
        for item in (log.address, *log.topics):
            bits |= bloom_bits(item)
    return bits.to_bytes(256, "big") if bits else EMPTY_BLOOM


def merge_blooms(blooms: Iterable[bytes]) -> bytes:
    """The union of several blooms."""
    bits = 0
    for bloom in blooms:
        bits |= int.from_bytes(bloom, "big")
    return bits.to_bytes(256, "big")


def decode_header(data: bytes) -> Header:
    """A header from its RLP; `DecodeError` when it is none."""
    return header_from_items(rlp.decode(data))


def decode_block(data: bytes) -> Block:
    """A block from its RLP (header, transactions, ommers, withdrawals); `DecodeError` when it is none."""
    items = rlp.decode(data)
    if not isinstance(items, list) or len(items) not in (3, 4):
        raise DecodeError("block: expected 3 or 4 items")
    return block_from_items(header_from_items(items[0]), items[1:])


def decode_body(header: Header, data: bytes) -> Block:
    """The block with this header from its body's RLP."""
    return block_from_items(header, rlp.decode(data))


def block_from_items(header: Header, items: Any) -> Block:
    """A block from its header and the decoded items of its body."""
    if not isinstance(items, list) or len(items) not in (2, 3) or not all(isinstance(item, list) for item in items):
        raise DecodeError("body: expected 2 or 3 lists")
    transactions = tuple(rlp.encode(item) if isinstance(item, list) else item for item in items[0])
    if any(isinstance(item, bytes) and not b"\0" <= item[:1] < b"\x80" for item in items[0]):
        raise DecodeError("body: a transaction is neither a list nor begins with a type byte")
    withdrawals = tuple(_withdrawal(item) for item in items[2]) if len(items) == 3 else None
    return Block(header, transactions, tuple(header_from_items(item) for item in items[1]), withdrawals)


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


def decode_receipt(data: bytes) -> Receipt:
    """A receipt from its network form (`Receipt.encode`); `DecodeError` when it is none."""
    is_typed = data[:1] < b"\xc0"
    kind = data[0] if is_typed and data else 0
    items = rlp.decode(data[is_typed:])
    if (is_typed and kind not in _TYPED_RECEIPTS) or not isinstance(items, list):
        raise DecodeError("receipt: unknown type, or not a list")
    if not 4 <= len(items) <= (6 if kind == DEPOSIT_TYPE else 4):
        raise DecodeError("receipt: expected 4 items, or 4 to 6 of a deposit")
    outcome, gas, bloom, logs, *tail = items
    if not isinstance(outcome, bytes) or (outcome not in (b"", b"\1") and len(outcome) != 32):
        raise DecodeError("receipt: neither a status nor a state root")
    if not isinstance(bloom, bytes) or len(bloom) != 256 or not isinstance(logs, list):
        raise DecodeError("receipt: wrong bloom or logs")
    state_root, status = (outcome, None) if len(outcome) == 32 else (None, len(outcome))
    nonce, version = [_uint64(item, "deposit nonce or version") for item in tail] + [None] * (2 - len(tail))
    return Receipt(kind, status, _uint64(gas, "cumulativeGasUsed"), tuple(_log(log) for log in logs), state_root, nonce, version)


def ommers_hash(ommers: Sequence[Header]) -> Hash32:
    """keccak of the RLP of the ommers' headers."""
    return keccak(rlp.encode([ommer.rlp_items() for ommer in ommers])) if ommers else EMPTY_OMMERS_HASH


_TYPED_RECEIPTS = frozenset((1, 2, 3, 4, DEPOSIT_TYPE))

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


def _withdrawal(item: Any) -> Withdrawal:
    if not isinstance(item, list) or len(item) != 4:
        raise DecodeError("withdrawal: expected four items")
    index, validator, address, amount = item
    return Withdrawal(_uint64(index, "index"), _uint64(validator, "validatorIndex"), _fixed(address, 20), _uint64(amount, "amount"))


def _log(item: Any) -> Log:
    if not isinstance(item, list) or len(item) != 3 or not isinstance(item[1], list) or not isinstance(item[2], bytes):
        raise DecodeError("log: expected an address, a list of topics and data")
    return Log(_fixed(item[0], 20), tuple(_fixed(topic, 32) for topic in item[1]), item[2])


def _uint64(item: Any, name: str) -> int:
    if not isinstance(item, bytes) or len(item) > 8 or item[:1] == b"\0":
        raise DecodeError(f"{name}: not an integer of 64 bits without leading zeros")
    return int.from_bytes(item, "big")


def _fixed(item: Any, length: int) -> bytes:
    if not isinstance(item, bytes) or len(item) != length:
        raise DecodeError(f"expected {length} bytes")
    return item


def encode_transactions(raws: Sequence[bytes]) -> bytes:
    """The RLP list of a body's transactions: typed ones are strings, raw legacy bytes are lists already."""
    return _list([raw if raw[0] >= 0xC0 else rlp.encode(raw) for raw in raws])


def _list(encoded: Sequence[bytes]) -> bytes:
    """The RLP list of items that are encoded already."""
    payload = b"".join(encoded)
    return rlp.header(0xC0, len(payload)) + payload
