"""Decodes, encodes and signs transactions as EIP-2718 bytes, and recovers their senders.

Each type has one table of fields, used for decoding, encoding and signing. Sources: EIP-155, 2718, 2930, 1559, 4844, 7702; OP
specs, deposits.md, lagoon/post-exec.md.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

from l2engine.errors import DecodeError, InvalidTransaction
from l2engine.refusals import Reason
from l2engine.types import rlp
from l2engine.types.base import Address, Hash32, encode_int, keccak
from l2engine.types.delegation import AUTHORIZATION, Authorization
from l2engine.types.rlp_fields import (
    ADDRESS,
    BOOL,
    DATA,
    HASH32,
    UINT64,
    UINT256,
    UNBOUNDED,
    Fields,
    Kind,
    exactly,
    many,
    or_none,
    record,
)
from l2engine.types.signature import SECP256K1_N, recover_address, sign
from l2engine.types.transaction import (
    AccessListTransaction,
    BlobTransaction,
    DepositTransaction,
    FeeMarketTransaction,
    GasRefund,
    LegacyTransaction,
    PostExecutionTransaction,
    SetCodeTransaction,
    SignedTransaction,
    Transaction,
)

S = TypeVar("S", LegacyTransaction, AccessListTransaction, FeeMarketTransaction, BlobTransaction, SetCodeTransaction)


def decode_transaction(raw: bytes) -> Transaction:
    """The transaction in its EIP-2718 envelope. `DecodeError` for anything not canonical: trailing bytes, leading
    zeros, wrong lengths, numbers out of range, unknown types. Signatures are not checked here; see `recover_sender`."""
    if raw[:1] >= b"\xc0":
        form, payload = _FORMS[0], raw
    elif len(raw) < 2:
        raise DecodeError("typed transaction too short")
    elif raw[0] in _FORMS and raw[0] != 0:
        form, payload = _FORMS[raw[0]], raw[1:]
    else:
        raise DecodeError("transaction type not supported")
    name, make, fields = form
    return make(*fields.read(rlp.decode(payload), name), raw)


def encode_transaction(tx: Transaction) -> bytes:
    """The EIP-2718 bytes of a transaction, computed from its fields without `raw`."""
    return _envelope(tx, _items(tx))


def signing_hash(tx: SignedTransaction) -> Hash32:
    """The hash that the sender signs: that of the transaction without its signature."""
    items = _items(tx)[:-3]
    if isinstance(tx, LegacyTransaction) and tx.chain_id is not None:
        items += [encode_int(tx.chain_id), b"", b""]
    return keccak(_envelope(tx, items))


def signed(tx: S, key: bytes) -> S:
    """The transaction signed with a private key (32 bytes), with `raw` filled in."""
    y_parity, r, s = sign(signing_hash(tx), key)
    if isinstance(tx, LegacyTransaction):
        tx = replace(tx, v=tx.v - tx.y_parity + y_parity, r=r, s=s)
    else:
        tx = replace(tx, y_parity=y_parity, r=r, s=s)
    return replace(tx, raw=encode_transaction(tx))


def recover_sender(tx: Transaction, allow_high_s: bool = False) -> Address:
    """The account that signed `tx`; for unsigned types, the sender they name. `InvalidTransaction` when the signature is not valid:
    r or s out of range, s in the upper half (EIP-2; allowed only in Frontier), or no such public key."""
    if not tx.is_signed:
        return tx.sender
    in_range = 0 < tx.r < SECP256K1_N and 0 < tx.s < SECP256K1_N and tx.y_parity in (0, 1)
    if not in_range or (tx.s > SECP256K1_N // 2 and not allow_high_s):
        raise InvalidTransaction(Reason.INVALID_SIGNATURE)
    return recover_address(signing_hash(tx), tx.y_parity, tx.r, tx.s)


def _envelope(tx: Transaction, items: list[Any]) -> bytes:
    payload = rlp.encode(items)
    return payload if tx.type == 0 else bytes([tx.type]) + payload


def _items(tx: Transaction) -> list[Any]:
    return _FORMS[tx.type][2].write(tx)


# ---- the fields -----------------------------------------------------------------------------------------------------

_Fields: TypeAlias = "dict[str, Kind[Any]]"
_ENTRY = Fields({"address": ADDRESS, "storage_keys": many(HASH32, "storageKey")})
_ACCESS: Kind[Any] = Kind(lambda item, name: tuple(_ENTRY.read(item, name)), lambda entry: [entry[0], list(entry[1])])

_NONCE: _Fields = {"nonce": UINT64}
_CHAIN: _Fields = {"chain_id": UINT256}
_PRICE: _Fields = {"gas_price": UINT256}
_FEES: _Fields = {"max_priority_fee_per_gas": UINT256, "max_fee_per_gas": UINT256}
_MESSAGE: _Fields = {"gas": UINT64, "to": or_none(ADDRESS), "value": UINT256, "data": DATA}
_CALL = _MESSAGE | {"to": ADDRESS}
_LIST: _Fields = {"access_list": many(_ACCESS, "accessList entry")}
_BLOBS: _Fields = {"max_fee_per_blob_gas": UINT256, "blob_versioned_hashes": many(HASH32, "blobVersionedHash")}
_DELEGATIONS: _Fields = {"authorization_list": many(record(Authorization, AUTHORIZATION), "authorization")}
_SIGNATURE: _Fields = {"y_parity": UINT256, "r": UINT256, "s": UINT256}
_DEPOSIT: _Fields = {
    "source_hash": HASH32,
    "sender": ADDRESS,
    "to": or_none(ADDRESS),
    "mint": UNBOUNDED,  # op-geth decodes any size and refuses it at execution
    "value": UINT256,
    "gas": UINT64,
    "is_system_transaction": BOOL,
    "data": DATA,
}
_GAS_REFUND = Fields({"index": UINT64, "gas": UINT64})
_POST_EXECUTION: _Fields = {
    "version": exactly(1),
    "block_number": UINT64,
    "entries": many(record(GasRefund, _GAS_REFUND), "gas refund"),
}

_FORMS: dict[int, tuple[str, Callable[..., Transaction], Fields]] = {
    cls.type: (f"types.{name}", cls, Fields(fields))
    for cls, name, fields in (
        (LegacyTransaction, "LegacyTx", _NONCE | _PRICE | _MESSAGE | {"v": UINT256, "r": UINT256, "s": UINT256}),
        (AccessListTransaction, "AccessListTx", _CHAIN | _NONCE | _PRICE | _MESSAGE | _LIST | _SIGNATURE),
        (FeeMarketTransaction, "DynamicFeeTx", _CHAIN | _NONCE | _FEES | _MESSAGE | _LIST | _SIGNATURE),
        (BlobTransaction, "BlobTx", _CHAIN | _NONCE | _FEES | _CALL | _LIST | _BLOBS | _SIGNATURE),
        (SetCodeTransaction, "SetCodeTx", _CHAIN | _NONCE | _FEES | _CALL | _LIST | _DELEGATIONS | _SIGNATURE),
        (DepositTransaction, "DepositTx", _DEPOSIT),
        (PostExecutionTransaction, "PostExecTx", _POST_EXECUTION),
    )
}
"""By type: geth's name, the record, and its fields on the wire."""
