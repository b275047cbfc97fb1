"""Blocks, their bodies and withdrawals in their consensus encodings.

A block keeps its transactions as raw bytes; whoever needs fields decodes them. Sources: Yellow Paper 4.3, EIP-4895, 2718.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from l2engine.errors import DecodeError
from l2engine.types import accelerated, rlp
from l2engine.types.base import Address, BlockNumber, Hash32, encode_int
from l2engine.types.header import Header, header_from_items


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


def encode_transactions(raws: Sequence[bytes]) -> bytes:
    """The RLP list of a body's transactions: typed ones are strings, raw legacy bytes are lists already."""
    return _list([raw if raw[0] >= 0xC0 else rlp.encode(raw) for raw in raws])


def _withdrawal(item: Any) -> Withdrawal:
    if not isinstance(item, list) or len(item) != 4:
        raise DecodeError("withdrawal: expected four items")
    index, validator, address, amount = item
    return Withdrawal(
        rlp.uint64(index, "index"), rlp.uint64(validator, "validatorIndex"), rlp.fixed(address, 20), rlp.uint64(amount, "amount")
    )


def _list(encoded: Sequence[bytes]) -> bytes:
    """The RLP list of items that are encoded already."""
    payload = b"".join(encoded)
    return rlp.header(0xC0, len(payload)) + payload
