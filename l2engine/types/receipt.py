"""Receipts, their logs and the bloom over them, in their consensus encodings.

Sources: Yellow Paper 4.3, EIP-2718, 7642; OP specs, deposits.md "Deposit receipt", lagoon/post-exec.md "Receipt".
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from l2engine.errors import DecodeError
from l2engine.types import rlp
from l2engine.types.base import EMPTY_BLOOM, Address, BlockNumber, Gas, Hash32, encode_int, keccak
from l2engine.types.rlp_fields import ADDRESS, DATA, HASH32, UINT64, Fields, Kind, fixed, many, record
from l2engine.types.transaction import DEPOSIT_TYPE, POST_EXECUTION_TYPE, RECORDS


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
    """1 success, 0 failure; None before Byzantium, where `state_root` is set instead."""
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

    @property
    def outcome(self) -> bytes:
        """The first field of the encodings: the status, or before Byzantium the state root."""
        return encode_int(self.status) if self.status is not None else self.state_root or b""

    def encode(self) -> bytes:
        """The encoding that the store keeps and debug_getRawReceipts returns: with deposit nonce and version when known."""
        return self._encode(_DEPOSIT_RECEIPT if self.type == DEPOSIT_TYPE else _RECEIPT)

    def encode_eth68(self) -> bytes:
        """An item of the list that peers exchange up to eth/68: the envelope as a byte string, a legacy receipt as it is."""
        return self.encode() if self.type == 0 else rlp.encode(self.encode())

    def encode_eth69(self) -> bytes:
        """An item of the list that peers exchange from eth/69 on: the type as a field, and no bloom (EIP-7642)."""
        outcome, gas, _, *others = (_DEPOSIT_RECEIPT if self.type == DEPOSIT_TYPE else _RECEIPT).write(self)
        return rlp.encode([encode_int(self.type), outcome, gas, *others])

    def encode_for_root(self) -> bytes:
        """The leaf of the receipts trie. Between Regolith and Canyon it leaves out the deposit nonce: a bug that became consensus."""
        return self._encode(_DEPOSIT_RECEIPT if self.deposit_receipt_version is not None else _RECEIPT)

    def _encode(self, fields: Fields) -> bytes:
        payload = rlp.encode(fields.write(self))
        return payload if self.type == 0 else bytes([self.type]) + payload


def post_execution_receipt(cumulative_gas_used: Gas) -> Receipt:
    """The receipt of a post-execution transaction (0x7D), which uses no gas: its cumulative gas is that of the receipt before it."""
    return Receipt(POST_EXECUTION_TYPE, 1, cumulative_gas_used, ())


def bloom_bits(item: bytes) -> int:
    """The bits, up to three of the bloom filter's 2048, that an address or topic sets (Yellow Paper 4.3.1)."""
    digest, bits = keccak(item), 0
    for i in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[i : i + 2], "big") & 2047)
    return bits


class PackedReceipts(Sequence[Receipt]):
    """A block's receipts as an executor may return them: decoded only when first read, with their stored row and log keys
    already computed."""

    row: bytes
    """The RLP list of their network forms, which the store keeps."""
    log_keys: Callable[[BlockNumber], list[bytes]]
    """The log index's keys for a block of this number."""


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


def decode_receipt(data: bytes) -> Receipt:
    """A receipt from its network form (`Receipt.encode`); `DecodeError` when the bytes are not a receipt."""
    kind = data[0] if b"\0" <= data[:1] < b"\xc0" else 0
    if data[:1] < b"\xc0" and (kind == 0 or kind not in RECORDS):
        raise DecodeError("receipt: unknown type")
    fields = _DEPOSIT_RECEIPT if kind == DEPOSIT_TYPE else _RECEIPT
    outcome, gas, _, logs, *tail = fields.read(rlp.decode(data[kind > 0 :]), "types.Receipt")
    if outcome not in (b"", b"\1") and len(outcome) != 32:
        raise DecodeError("receipt: neither a status nor a state root")
    state_root, status = (outcome, None) if len(outcome) == 32 else (None, len(outcome))
    return Receipt(kind, status, gas, logs, state_root, *tail)


_LOG = Fields({"address": ADDRESS, "topics": many(HASH32, "topic"), "data": DATA})
_CONSENSUS: dict[str, Kind[Any]] = {
    "outcome": DATA,
    "cumulative_gas_used": UINT64,
    "bloom": fixed(256),
    "logs": many(record(Log, _LOG), "log"),
}
_RECEIPT = Fields(_CONSENSUS)
_DEPOSIT_RECEIPT = Fields({**_CONSENSUS, "deposit_nonce": UINT64, "deposit_receipt_version": UINT64}, required=4)
