"""The transaction types of Ethereum and the OP Stack, one frozen dataclass each, with the attributes in wire order.

Every decoded transaction keeps the bytes it came from as `raw`: hashes and L1 fees are taken over exactly those bytes.
`types/transaction_codec.py` decodes, encodes and signs them. Sources: EIP-155, 2718, 2930, 1559, 4844, 7702; OP specs,
deposits.md, lagoon/post-exec.md.
"""

from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeAlias

from l2engine.types import rlp
from l2engine.types.base import ZERO_ADDRESS, Address, BlockNumber, Gas, Hash32, Wei, encode_int, keccak
from l2engine.types.delegation import Authorization

DEPOSIT_TYPE: Final = 0x7E
POST_EXECUTION_TYPE: Final = 0x7D

AccessList: TypeAlias = tuple[tuple[Address, tuple[Hash32, ...]], ...]


def created_address(sender: Address, nonce: int) -> Address:
    """The address of the contract that a creation transaction, or CREATE, creates."""
    return keccak(rlp.encode([sender, encode_int(nonce)]))[12:]


class _Envelope:
    """The fields that all transactions share."""

    __slots__ = ()
    raw: bytes
    """The EIP-2718 bytes that the transaction was decoded from; empty while it is unsigned."""
    access_list: AccessList = ()
    authorization_list: tuple[Authorization, ...] = ()
    blob_versioned_hashes: tuple[Hash32, ...] = ()

    @property
    def hash(self) -> Hash32:
        return keccak(self.raw)


class _Signed(_Envelope):
    """A transaction that an account signs."""

    __slots__ = ()
    is_signed: ClassVar[Literal[True]] = True
    pays_fees: ClassVar[Literal[True]] = True
    is_pooled: ClassVar[bool] = True
    """Whether it may wait in the pool."""
    counts_for_da: ClassVar[bool] = True
    """Whether its bytes count for the block's DA footprint."""


@dataclass(frozen=True, slots=True)
class LegacyTransaction(_Signed):
    """Type 0, with or without EIP-155 replay protection."""

    type: ClassVar[Literal[0]] = 0
    nonce: int
    gas_price: Wei
    gas: Gas
    to: Address | None
    value: Wei
    data: bytes
    v: int
    """Before signing, 27, or 35 + 2 * chain id to bind the signature to a chain (EIP-155); signing adds the parity."""
    r: int = 0
    s: int = 0
    raw: bytes = b""

    @property
    def chain_id(self) -> int | None:
        """The chain id in the signature; None without replay protection."""
        return (self.v - 35) // 2 if self.v >= 35 else None

    @property
    def y_parity(self) -> int:
        return (self.v - 35) % 2 if self.v >= 35 else self.v - 27

    @property
    def max_fee_per_gas(self) -> Wei:
        return self.gas_price

    @property
    def max_priority_fee_per_gas(self) -> Wei:
        return self.gas_price


@dataclass(frozen=True, slots=True)
class AccessListTransaction(_Signed):
    """Type 1 (EIP-2930)."""

    type: ClassVar[Literal[1]] = 1
    chain_id: int
    nonce: int
    gas_price: Wei
    gas: Gas
    to: Address | None
    value: Wei
    data: bytes
    access_list: AccessList = ()
    y_parity: int = 0
    r: int = 0
    s: int = 0
    raw: bytes = b""

    @property
    def max_fee_per_gas(self) -> Wei:
        return self.gas_price

    @property
    def max_priority_fee_per_gas(self) -> Wei:
        return self.gas_price


@dataclass(frozen=True, slots=True)
class FeeMarketTransaction(_Signed):
    """Type 2 (EIP-1559)."""

    type: ClassVar[Literal[2]] = 2
    chain_id: int
    nonce: int
    max_priority_fee_per_gas: Wei
    max_fee_per_gas: Wei
    gas: Gas
    to: Address | None
    value: Wei
    data: bytes
    access_list: AccessList = ()
    y_parity: int = 0
    r: int = 0
    s: int = 0
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class BlobTransaction(_Signed):
    """Type 3 (EIP-4844), without the sidecar. Decoded everywhere, refused on OP chains."""

    type: ClassVar[Literal[3]] = 3
    chain_id: int
    nonce: int
    max_priority_fee_per_gas: Wei
    max_fee_per_gas: Wei
    gas: Gas
    to: Address
    value: Wei
    data: bytes
    access_list: AccessList = ()
    max_fee_per_blob_gas: Wei = 0
    blob_versioned_hashes: tuple[Hash32, ...] = ()
    y_parity: int = 0
    r: int = 0
    s: int = 0
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class SetCodeTransaction(_Signed):
    """Type 4 (EIP-7702)."""

    type: ClassVar[Literal[4]] = 4
    chain_id: int
    nonce: int
    max_priority_fee_per_gas: Wei
    max_fee_per_gas: Wei
    gas: Gas
    to: Address
    value: Wei
    data: bytes
    access_list: AccessList = ()
    authorization_list: tuple[Authorization, ...] = ()
    y_parity: int = 0
    r: int = 0
    s: int = 0
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class DepositTransaction(_Envelope):
    """Type 0x7E: a transaction that L1 forces into the block. No signature, no nonce, pays nothing (deposits.md)."""

    type: ClassVar[Literal[0x7E]] = DEPOSIT_TYPE
    is_signed: ClassVar[Literal[False]] = False
    pays_fees: ClassVar[Literal[False]] = False
    is_pooled: ClassVar[bool] = False
    counts_for_da: ClassVar[bool] = False
    source_hash: Hash32
    sender: Address
    to: Address | None
    mint: Wei
    """ETH created on L2, added to the sender's balance even when the deposit fails."""
    value: Wei
    gas: Gas
    is_system_transaction: bool
    data: bytes
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class GasRefund:
    """Gas that one transaction of the block gets back after it ran (lagoon/sdm.md)."""

    index: int
    """The transaction's position in the block, from 0, deposits counted."""
    gas: Gas


@dataclass(frozen=True, slots=True)
class PostExecutionTransaction(_Envelope):
    """Type 0x7D: the block's last transaction, which lists gas refunds for the transactions before it (Lagoon).

    It has no signature and no sender, pays nothing and runs nothing. Decoding does not check whether its refunds are allowed.
    """

    type: ClassVar[Literal[0x7D]] = POST_EXECUTION_TYPE
    is_signed: ClassVar[Literal[False]] = False
    pays_fees: ClassVar[Literal[False]] = False
    is_pooled: ClassVar[bool] = False
    counts_for_da: ClassVar[bool] = False
    sender: ClassVar[Address] = ZERO_ADDRESS
    to: ClassVar[None] = None
    value: ClassVar[Wei] = 0
    gas: ClassVar[Gas] = 0
    version: int
    """The version of the format; 1 is the only one."""
    block_number: BlockNumber
    entries: tuple[GasRefund, ...]
    raw: bytes = b""

    @property
    def data(self) -> bytes:
        """The payload: everything after the type."""
        return self.raw[1:]


SignedTransaction: TypeAlias = LegacyTransaction | AccessListTransaction | FeeMarketTransaction | BlobTransaction | SetCodeTransaction
Transaction: TypeAlias = SignedTransaction | DepositTransaction | PostExecutionTransaction

RECORDS: dict[int, type[Transaction]] = {
    record.type: record
    for record in (
        LegacyTransaction,
        AccessListTransaction,
        FeeMarketTransaction,
        BlobTransaction,
        SetCodeTransaction,
        DepositTransaction,
        PostExecutionTransaction,
    )
}
"""All transaction classes, by type. A fork's row lists the types that it knows (`Fork.transaction_types`)."""


def record_of(raw: bytes) -> type[Transaction]:
    """The class that raw bytes decode to if they are valid, read from the first byte."""
    return RECORDS.get(raw[0], LegacyTransaction) if raw else LegacyTransaction


def effective_gas_price(tx: Transaction, base_fee: Wei | None) -> Wei:
    """The price that the sender pays for a unit of gas, in wei. Without a base fee (unknown, or before London), the maximum price."""
    if not tx.pays_fees:
        return 0
    return tx.max_fee_per_gas if base_fee is None else min(tx.max_fee_per_gas, base_fee + tx.max_priority_fee_per_gas)


def effective_tip(tx: Transaction, base_fee: Wei | None) -> Wei:
    """The part of the gas price that the beneficiary gets, in wei per gas; negative if the fee cap is below the base fee."""
    return min(tx.max_priority_fee_per_gas, tx.max_fee_per_gas - (base_fee or 0)) if tx.pays_fees else 0
