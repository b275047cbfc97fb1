"""Receipts, their logs and the bloom over them, in their consensus encodings.

Sources: Yellow Paper 4.3, EIP-2718; OP specs, deposits.md "Deposit receipt".
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from l2engine.errors import DecodeError
from l2engine.types import rlp
from l2engine.types.base import EMPTY_BLOOM, Address, Gas, Hash32, encode_int, keccak
from l2engine.types.transaction import DEPOSIT_TYPE


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


def logs_bloom(logs: Iterable[Log]) -> bytes:
    """The 2048-bit bloom filter over addresses and topics (Yellow Paper 4.3.1), 256 bytes."""
    bits = 0
    for log in logs:
        for item in (log.address, *log.topics):
            digest = keccak(item)
            for i in (0, 2, 4):
                bits |= 1 << (int.from_bytes(digest[i : i + 2], "big") & 2047)
    return bits.to_bytes(256, "big") if bits else EMPTY_BLOOM


def merge_blooms(blooms: Iterable[bytes]) -> bytes:
    """The union of several blooms."""
    bits = 0
    for bloom in blooms:
        bits |= int.from_bytes(bloom, "big")
    return bits.to_bytes(256, "big")


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
    nonce, version = [rlp.uint64(item, "deposit nonce or version") for item in tail] + [None] * (2 - len(tail))
    return Receipt(kind, status, rlp.uint64(gas, "cumulativeGasUsed"), tuple(_log(log) for log in logs), state_root, nonce, version)


_TYPED_RECEIPTS = frozenset((1, 2, 3, 4, DEPOSIT_TYPE))


def _log(item: Any) -> Log:
    if not isinstance(item, list) or len(item) != 3 or not isinstance(item[1], list) or not isinstance(item[2], bytes):
        raise DecodeError("log: expected an address, a list of topics and data")
    return Log(rlp.fixed(item[0], 20), tuple(rlp.fixed(topic, 32) for topic in item[1]), item[2])
