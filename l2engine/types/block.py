"""Blocks, their bodies and withdrawals in their consensus encodings.

A block keeps its transactions as raw bytes; code that needs their fields decodes them. Sources: Yellow Paper 4.3, EIP-4895, 2718.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from l2engine.errors import DecodeError
from l2engine.types import rlp
from l2engine.types.base import Address, BlockNumber, Hash32
from l2engine.types.header import HEADER, Header
from l2engine.types.rlp_fields import ADDRESS, UINT64, Fields, Kind, many, record
from l2engine.types.transactions import Transactions


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """An EIP-4895 withdrawal; OP chains never have one."""

    index: int
    validator_index: int
    address: Address
    amount: int
    """In gwei."""

    def rlp_items(self) -> list[Any]:
        return _WITHDRAWAL.write(self)


@dataclass(frozen=True)
class Block:
    """A sealed block. Not slotted, because number and hash are cached on it."""

    header: Header
    transactions: Transactions
    """Any sequence of raw transactions may be given."""
    ommers: tuple[Header, ...] = ()
    withdrawals: tuple[Withdrawal, ...] | None = None
    """None before Canyon (Shanghai), empty after on OP chains."""

    def __post_init__(self) -> None:
        if not isinstance(self.transactions, Transactions):
            object.__setattr__(self, "transactions", Transactions(self.transactions))

    @cached_property
    def hash(self) -> Hash32:
        return self.header.hash

    @cached_property
    def number(self) -> BlockNumber:
        return self.header.number

    def encode(self) -> bytes:
        """The block's RLP, as in chain files and debug_getRawBlock."""
        encoded: bytes = rlp.encode(_BLOCK.write(self))
        return encoded

    def encode_body(self) -> bytes:
        """The RLP of transactions, ommers and, from Canyon on, withdrawals."""
        parts = [self.transactions.encode()]
        parts.append(rlp.encode([ommer.rlp_items() for ommer in self.ommers]))
        if self.withdrawals is not None:
            parts.append(rlp.encode([withdrawal.rlp_items() for withdrawal in self.withdrawals]))
        return _list(parts)


def decode_block(data: bytes) -> Block:
    """A block from its RLP (header, transactions, ommers, withdrawals); `DecodeError` when the bytes are not a block."""
    header, *body = _BLOCK.read(rlp.decode(data), "types.Block")
    return Block(header, *body)


def decode_body(header: Header, data: bytes) -> Block:
    """The block with this header from its body's RLP."""
    return Block(header, *_BODY.read(rlp.decode(data), "types.Body"))


def _list(encoded: Sequence[bytes]) -> bytes:
    """The RLP list of already encoded items."""
    payload = b"".join(encoded)
    return rlp.header(0xC0, len(payload)) + payload


def _read_transaction(item: Any, name: str) -> bytes:
    if isinstance(item, list):
        return rlp.encode(item)
    if not b"\0" <= item[:1] < b"\x80":
        raise DecodeError(f"rlp: {name} is neither a list nor begins with a type byte")
    return bytes(item)


def _write_transaction(raw: bytes) -> Any:
    return rlp.decode(raw) if raw[0] >= 0xC0 else raw


_TRANSACTION = Kind(_read_transaction, _write_transaction)
_WITHDRAWAL = Fields({"index": UINT64, "validator_index": UINT64, "address": ADDRESS, "amount": UINT64})
_PARTS: dict[str, Kind[Any]] = {
    "transactions": many(_TRANSACTION, "transaction"),
    "ommers": many(HEADER, "ommer"),
    "withdrawals": many(record(Withdrawal, _WITHDRAWAL), "withdrawal"),
}
_BODY = Fields(_PARTS, required=2)
_BLOCK = Fields({"header": HEADER, **_PARTS}, required=3)
