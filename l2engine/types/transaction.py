"""The transaction types of Ethereum and the OP Stack, one frozen dataclass each, with their EIP-2718 encodings.

Every transaction keeps the bytes it was decoded from as `raw`: hashes and L1 fees are taken over exactly those bytes.
Sources: EIP-155, 2718, 2930, 1559, 4844, 7702; OP specs, deposits.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, TypeAlias

import coincurve

from l2engine.errors import DecodeError, InvalidTransaction
from l2engine.refusals import Reason
from l2engine.types import rlp
from l2engine.types.base import MAX_UINT64, MAX_UINT256, Address, Gas, Hash32, Wei, encode_int, keccak

SECP256K1_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
DEPOSIT_TYPE = 0x7E
POST_EXECUTION_TYPE = 0x7D
"""Lagoon's own transaction. No fork here has it, but a payload with one is refused by execution, not by decoding."""

AccessList: TypeAlias = tuple[tuple[Address, tuple[Hash32, ...]], ...]


@dataclass(frozen=True, slots=True)
class Authorization:
    """One EIP-7702 delegation, signed by the account that delegates."""

    chain_id: int
    address: Address
    nonce: int
    y_parity: int
    r: int
    s: int

    @property
    def signing_hash(self) -> Hash32:
        return keccak(b"\x05" + rlp.encode([encode_int(self.chain_id), self.address, encode_int(self.nonce)]))

    def authority(self) -> Address | None:
        """The delegating account, or None when the signature is not one (EIP-7702 then skips the tuple)."""
        if self.s > SECP256K1_N // 2 or self.y_parity > 1:
            return None
        try:
            return recover_address(self.signing_hash, self.y_parity, self.r, self.s)
        except InvalidTransaction:
            return None


DELEGATION = b"\xef\x01\x00"
"""What the code of a delegating account begins with; the account whose code runs follows (EIP-7702)."""


def is_delegation(code: bytes) -> bool:
    """Whether an account's code only points to another account's (EIP-7702)."""
    return len(code) == 23 and code.startswith(DELEGATION)


def created_address(sender: Address, nonce: int) -> Address:
    """Where a creation transaction, or CREATE, puts its contract."""
    return keccak(rlp.encode([sender, encode_int(nonce)]))[12:]


@dataclass(frozen=True, slots=True)
class LegacyTransaction:
    """Type 0, with or without EIP-155 replay protection."""

    type: ClassVar[int] = 0
    raw: bytes
    nonce: int
    gas_price: Wei
    gas: Gas
    to: Address | None
    value: Wei
    data: bytes
    v: int
    r: int
    s: int

    @property
    def hash(self) -> Hash32:
        return keccak(self.raw)

    @property
    def chain_id(self) -> int | None:
        """None without replay protection."""
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

    @property
    def access_list(self) -> AccessList:
        return ()

    def signing_hash(self) -> Hash32:
        fields = _legacy_fields(self)
        if self.chain_id is not None:
            fields += [encode_int(self.chain_id), b"", b""]
        return keccak(rlp.encode(fields))


@dataclass(frozen=True, slots=True)
class AccessListTransaction:
    """Type 1 (EIP-2930)."""

    type: ClassVar[int] = 1
    raw: bytes
    chain_id: int
    nonce: int
    gas_price: Wei
    gas: Gas
    to: Address | None
    value: Wei
    data: bytes
    access_list: AccessList
    y_parity: int
    r: int
    s: int

    @property
    def hash(self) -> Hash32:
        return keccak(self.raw)

    @property
    def max_fee_per_gas(self) -> Wei:
        return self.gas_price

    @property
    def max_priority_fee_per_gas(self) -> Wei:
        return self.gas_price

    def signing_hash(self) -> Hash32:
        return _typed_signing_hash(self)


@dataclass(frozen=True, slots=True)
class FeeMarketTransaction:
    """Type 2 (EIP-1559)."""

    type: ClassVar[int] = 2
    raw: bytes
    chain_id: int
    nonce: int
    max_priority_fee_per_gas: Wei
    max_fee_per_gas: Wei
    gas: Gas
    to: Address | None
    value: Wei
    data: bytes
    access_list: AccessList
    y_parity: int
    r: int
    s: int

    @property
    def hash(self) -> Hash32:
        return keccak(self.raw)

    def signing_hash(self) -> Hash32:
        return _typed_signing_hash(self)


@dataclass(frozen=True, slots=True)
class BlobTransaction:
    """Type 3 (EIP-4844), without the sidecar. Decoded everywhere, refused on OP chains."""

    type: ClassVar[int] = 3
    raw: bytes
    chain_id: int
    nonce: int
    max_priority_fee_per_gas: Wei
    max_fee_per_gas: Wei
    gas: Gas
    to: Address
    value: Wei
    data: bytes
    access_list: AccessList
    max_fee_per_blob_gas: Wei
    blob_versioned_hashes: tuple[Hash32, ...]
    y_parity: int
    r: int
    s: int

    @property
    def hash(self) -> Hash32:
        return keccak(self.raw)

    def signing_hash(self) -> Hash32:
        return _typed_signing_hash(self)


@dataclass(frozen=True, slots=True)
class SetCodeTransaction:
    """Type 4 (EIP-7702)."""

    type: ClassVar[int] = 4
    raw: bytes
    chain_id: int
    nonce: int
    max_priority_fee_per_gas: Wei
    max_fee_per_gas: Wei
    gas: Gas
    to: Address
    value: Wei
    data: bytes
    access_list: AccessList
    authorization_list: tuple[Authorization, ...]
    y_parity: int
    r: int
    s: int

    @property
    def hash(self) -> Hash32:
        return keccak(self.raw)

    def signing_hash(self) -> Hash32:
        return _typed_signing_hash(self)


@dataclass(frozen=True, slots=True)
class DepositTransaction:
    """Type 0x7E: a transaction that L1 forces into the block. No signature, no nonce, pays nothing (deposits.md)."""

    type: ClassVar[int] = DEPOSIT_TYPE
    raw: bytes
    source_hash: Hash32
    sender: Address
    to: Address | None
    mint: Wei
    """ETH created on L2, added to the sender's balance even when the deposit fails."""
    value: Wei
    gas: Gas
    is_system_transaction: bool
    data: bytes

    @property
    def hash(self) -> Hash32:
        return keccak(self.raw)


SignedTransaction: TypeAlias = LegacyTransaction | AccessListTransaction | FeeMarketTransaction | BlobTransaction | SetCodeTransaction
Transaction: TypeAlias = SignedTransaction | DepositTransaction


def decode_transaction(raw: bytes) -> Transaction:
    """The transaction in its EIP-2718 envelope. `DecodeError` for anything not canonical: trailing bytes, leading
    zeros, wrong lengths, numbers out of range, unknown types. Signatures are not checked here; see `recover_sender`."""
    if raw[:1] >= b"\xc0":
        return _decode_legacy(raw)
    if len(raw) < 2:
        raise DecodeError("typed transaction too short")
    decoder = _DECODERS.get(raw[0])
    if decoder is None:
        raise DecodeError("transaction type not supported")
    return decoder(raw)


def recover_sender(tx: Transaction, allow_high_s: bool = False) -> Address:
    """The account that signed `tx` (a deposit names it). `InvalidTransaction` when the signature is not valid:
    r or s out of range, s in the upper half (EIP-2; Frontier alone allows it), or no such public key."""
    if isinstance(tx, DepositTransaction):
        return tx.sender
    if (tx.s > SECP256K1_N // 2 and not allow_high_s) or tx.y_parity not in (0, 1):
        raise InvalidTransaction(Reason.INVALID_SIGNATURE)
    return recover_address(tx.signing_hash(), tx.y_parity, tx.r, tx.s)


@lru_cache(maxsize=16384)
def recover_address(signing_hash: Hash32, y_parity: int, r: int, s: int) -> Address:
    """The address whose key made this signature; `InvalidTransaction` when none did. Remembers the last 16,384 answers,
    so that a block does not pay again for what the pool has checked."""
    if not (0 < r < SECP256K1_N and 0 < s < SECP256K1_N):
        raise InvalidTransaction(Reason.INVALID_SIGNATURE)
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([y_parity])
    try:
        key = coincurve.PublicKey.from_signature_and_message(signature, signing_hash, hasher=None)
    except Exception as error:  # coincurve raises bare Exception and ValueError alike
        raise InvalidTransaction(Reason.RECOVERY_FAILED) from error
    return keccak(key.format(compressed=False)[1:])[12:]


def encode_deposit(
    source_hash: Hash32,
    sender: Address,
    to: Address | None,
    mint: Wei,
    value: Wei,
    gas: Gas,
    is_system_transaction: bool,
    data: bytes,
) -> bytes:
    """The raw bytes of a deposit transaction."""
    fields = [source_hash, sender, to or b"", encode_int(mint), encode_int(value), encode_int(gas), encode_int(is_system_transaction), data]
    payload: bytes = rlp.encode(fields)
    return bytes([DEPOSIT_TYPE]) + payload


# ---- decoding -------------------------------------------------------------------------------------------------------


def _decode_legacy(raw: bytes) -> LegacyTransaction:
    items = _items(raw, 9, "LegacyTx")
    return LegacyTransaction(
        raw,
        _uint(items[0], "nonce", MAX_UINT64),
        _uint(items[1], "gasPrice"),
        _uint(items[2], "gas", MAX_UINT64),
        _to(items[3]),
        _uint(items[4], "value"),
        _bytes(items[5], "data"),
        _uint(items[6], "v"),
        _uint(items[7], "r"),
        _uint(items[8], "s"),
    )


def _decode_access_list(raw: bytes) -> AccessListTransaction:
    items = _items(raw[1:], 11, "AccessListTx")
    return AccessListTransaction(
        raw,
        _uint(items[0], "chainId"),
        _uint(items[1], "nonce", MAX_UINT64),
        _uint(items[2], "gasPrice"),
        _uint(items[3], "gas", MAX_UINT64),
        _to(items[4]),
        _uint(items[5], "value"),
        _bytes(items[6], "data"),
        _access_list(items[7]),
        *_signature(items[8:]),
    )


def _decode_fee_market(raw: bytes) -> FeeMarketTransaction:
    items = _items(raw[1:], 12, "DynamicFeeTx")
    return FeeMarketTransaction(raw, *_fee_market_head(items, _to(items[5])), *_signature(items[9:]))


def _decode_blob(raw: bytes) -> BlobTransaction:
    items = _items(raw[1:], 14, "BlobTx")
    hashes = tuple(_fixed(h, 32, "blobVersionedHash") for h in _list(items[10], "blobVersionedHashes"))
    return BlobTransaction(
        raw, *_fee_market_head(items, _address(items[5])), _uint(items[9], "maxFeePerBlobGas"), hashes, *_signature(items[11:])
    )


def _decode_set_code(raw: bytes) -> SetCodeTransaction:
    items = _items(raw[1:], 13, "SetCodeTx")
    authorizations = tuple(_authorization(a) for a in _list(items[9], "authorizationList"))
    return SetCodeTransaction(raw, *_fee_market_head(items, _address(items[5])), authorizations, *_signature(items[10:]))


def _decode_deposit(raw: bytes) -> DepositTransaction:
    items = _items(raw[1:], 8, "DepositTx")
    return DepositTransaction(
        raw,
        _fixed(items[0], 32, "sourceHash"),
        _address(items[1]),
        _to(items[2]),
        _uint(items[3], "mint", limit=None),  # op-geth decodes any size and refuses it at execution
        _uint(items[4], "value"),
        _uint(items[5], "gas", MAX_UINT64),
        bool(_uint(items[6], "isSystemTransaction", 1)),
        _bytes(items[7], "data"),
    )


_DECODERS: dict[int, Callable[[bytes], Transaction]] = {
    1: _decode_access_list,
    2: _decode_fee_market,
    3: _decode_blob,
    4: _decode_set_code,
    DEPOSIT_TYPE: _decode_deposit,
}


def _fee_market_head(items: Sequence[Any], to: Any) -> tuple[int, int, int, int, int, Any, int, bytes, AccessList]:
    """The nine fields that types 2, 3 and 4 begin with."""
    return (
        _uint(items[0], "chainId"),
        _uint(items[1], "nonce", MAX_UINT64),
        _uint(items[2], "maxPriorityFeePerGas"),
        _uint(items[3], "maxFeePerGas"),
        _uint(items[4], "gas", MAX_UINT64),
        to,
        _uint(items[6], "value"),
        _bytes(items[7], "data"),
        _access_list(items[8]),
    )


def _items(payload: bytes, count: int, kind: str) -> list[Any]:
    """The `count` items of a list; refusals are worded as geth's, where `kind` is the name of the type."""
    decoded = rlp.decode(payload)
    if not isinstance(decoded, list):
        raise DecodeError(f"rlp: expected input list for types.{kind}")
    if len(decoded) != count:
        fault = "too few elements" if len(decoded) < count else "input list has too many elements"
        raise DecodeError(f"rlp: {fault} for types.{kind}")
    return decoded


def _uint(item: Any, name: str, limit: int | None = MAX_UINT256) -> int:
    if not isinstance(item, bytes):
        raise DecodeError(f"rlp: expected a number for {name}")
    if item[:1] == b"\0":
        raise DecodeError(f"rlp: non-canonical integer (leading zero bytes) for {name}")
    value = int.from_bytes(item, "big")
    if limit is not None and value > limit:
        raise DecodeError(f"rlp: {name} out of range")
    return value


def _bytes(item: Any, name: str) -> bytes:
    if not isinstance(item, bytes):
        raise DecodeError(f"rlp: expected bytes for {name}")
    return item


def _list(item: Any, name: str) -> list[Any]:
    if not isinstance(item, list):
        raise DecodeError(f"rlp: expected a list for {name}")
    return item


def _fixed(item: Any, length: int, name: str) -> bytes:
    if not isinstance(item, bytes) or len(item) != length:
        raise DecodeError(f"rlp: expected {length} bytes for {name}")
    return item


def _address(item: Any) -> Address:
    return _fixed(item, 20, "address")


def _to(item: Any) -> Address | None:
    return None if item == b"" else _address(item)


def _access_list(item: Any) -> AccessList:
    entries = []
    for entry in _list(item, "accessList"):
        if len(_list(entry, "accessList entry")) != 2:
            raise DecodeError("rlp: expected two items in an accessList entry")
        keys = tuple(_fixed(key, 32, "storageKey") for key in _list(entry[1], "storageKeys"))
        entries.append((_address(entry[0]), keys))
    return tuple(entries)


def _authorization(item: Any) -> Authorization:
    if len(_list(item, "authorization")) != 6:
        raise DecodeError("rlp: expected six items in an authorization")
    return Authorization(
        _uint(item[0], "chainId"),
        _address(item[1]),
        _uint(item[2], "nonce", MAX_UINT64),
        _uint(item[3], "yParity", 255),
        _uint(item[4], "r"),
        _uint(item[5], "s"),
    )


def _signature(items: Sequence[Any]) -> tuple[int, int, int]:
    return _uint(items[0], "yParity"), _uint(items[1], "r"), _uint(items[2], "s")


# ---- signing --------------------------------------------------------------------------------------------------------


def _legacy_fields(tx: LegacyTransaction) -> list[bytes]:
    return [encode_int(tx.nonce), encode_int(tx.gas_price), encode_int(tx.gas), tx.to or b"", encode_int(tx.value), tx.data]


def _typed_signing_hash(tx: AccessListTransaction | FeeMarketTransaction | BlobTransaction | SetCodeTransaction) -> Hash32:
    """The hash under a typed transaction's signature: the same list without its last three items."""
    return keccak(tx.raw[:1] + rlp.encode(rlp.decode(tx.raw[1:])[:-3]))
