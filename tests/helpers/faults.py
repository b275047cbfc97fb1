"""Faults of transactions: each fault changes a draft of one, and two that are about different parts of it can meet."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import coincurve
import rlp

from l2engine.rules import blobs
from l2engine.rules.forks import Fork, L1Rules, OperatorFeeRule
from l2engine.rules.intrinsic_gas import floor_gas, intrinsic_gas
from l2engine.types.base import MAX_UINT64, MAX_UINT256, Address, encode_int, keccak
from l2engine.types.signature import SECP256K1_N
from l2engine.types.transaction import DepositTransaction
from l2engine.types.transaction_codec import decode_transaction, encode_transaction

CHAIN_ID, GAS_LIMIT, GAS_CAP, NONCE = 901, 30_000_000, 2**24, 7
SINK: Address = bytes([7]) * 20
DEPOSIT = 0x7E
SIGNED = (0, 1, 2, 3, 4)
FEE_MARKET = (2, 3, 4)
BIG = (0, 2)
"""The types whose numbers op-geth reads at any size."""
TYPES_BY_CUSTOM = (2, 0, 4, 3, DEPOSIT)
"""Which type a transaction is that may be of several."""


@dataclass
class Draft:
    """A transaction before it is signed, its sender's account, and the block it comes into."""

    fork: Fork
    type: int
    chain_id: int | None = CHAIN_ID
    nonce: int = NONCE
    tip: int = 10**6
    fee_cap: int = 3 * 10**9
    gas: int = 0
    """0: as much as is needed, and some more."""
    to: Address | None = SINK
    value: int = 5
    data: bytes = b""
    blob_fee_cap: int = 10**9
    blob_hashes: list[bytes] = field(default_factory=lambda: [b"\x01" + bytes(31)])
    authorizations: int = 1
    """How many."""
    bend: Callable[[int, int, int], tuple[int, int, int]] | None = None
    """The change to the signature's parity, r and s."""
    v: int | None = None
    mint: int = 0
    is_system: bool = False
    account_nonce: int = NONCE
    code: bytes = b""
    missing: str = ""
    """Which part of the cost the sender cannot pay."""
    crowded: bool = False
    """The block has next to no gas left."""

    def tuples(self) -> list[Any]:
        """Authorizations whose signatures are nobody's."""
        return [[encode_int(CHAIN_ID), SINK, b"", b"", b"\x01", b"\x01"]] * self.authorizations

    def fields(self) -> list[Any]:
        """The unsigned transaction's RLP list."""
        fees = (self.tip, self.fee_cap) if self.type in FEE_MARKET else (self.fee_cap,)
        numbers = (self.nonce, *fees, self.gas)
        plain: list[Any] = [*map(encode_int, numbers), self.to or b"", encode_int(self.value), self.data]
        if self.type == 0:
            return plain
        found: list[Any] = [encode_int(self.chain_id or 0), *plain, []]
        if self.type == 3:
            found += [encode_int(self.blob_fee_cap), self.blob_hashes]
        return [*found, self.tuples()] if self.type == 4 else found

    def sign(self, key: coincurve.PrivateKey) -> bytes:
        """The raw transaction."""
        if self.type == DEPOSIT:
            return encode_transaction(
                DepositTransaction(b"\x03" * 32, sender_of(key), self.to, self.mint, self.value, self.gas, self.is_system, self.data)
            )
        prefix, fields = bytes([self.type] if self.type else []), self.fields()
        protection = [encode_int(self.chain_id), b"", b""] if self.type == 0 and self.chain_id else []
        signature = key.sign_recoverable(keccak(prefix + rlp.encode(fields + protection)), hasher=None)
        r, s, parity = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
        if self.bend is not None:
            parity, r, s = self.bend(parity, r, s)
        if self.type == 0:
            parity += 35 + 2 * self.chain_id if self.chain_id else 27
        encoded: bytes = rlp.encode([*fields, *map(encode_int, (parity if self.v is None else self.v, r, s))])
        return prefix + encoded


Change = Callable[[Draft], None]


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a transaction."""

    name: str
    change: Change
    spots: frozenset[str]
    """The fields of the transaction that it is about; two faults of one transaction have no spot in common."""
    types: frozenset[int]
    """Types of transactions that can have it."""
    exists: Callable[[Fork], bool]

    def meets(self, other: "Fault") -> bool:
        return not self.spots & other.spots and bool(self.types & other.types)


def _fault(
    name: str, spots: str, change: Change, types: Iterable[int] = SIGNED, exists: Callable[[Fork], bool] = lambda fork: True
) -> Fault:
    return Fault(name, change, frozenset(spots.split()), frozenset(types), exists)


def _set(**values: Any) -> Change:
    def change(draft: Draft) -> None:
        for name, value in values.items():
            setattr(draft, name, value)

    return change


def _high_tip(draft: Draft) -> None:
    draft.tip = draft.fee_cap + 1


def _long_data(size: int) -> Change:
    def change(draft: Draft) -> None:
        draft.data = draft.data.ljust(size, b"\0")

    return change


def _long_initcode(draft: Draft) -> None:
    draft.to = None
    _long_data(49_153)(draft)


def gas_needed(draft: Draft) -> tuple[int, int]:
    """Intrinsic gas and the floor of the draft as it is."""
    tx = decode_transaction(replace(draft, fee_cap=1, tip=1, value=0, gas=0).sign(key_of("anybody")))
    return intrinsic_gas(draft.fork, tx), floor_gas(draft.fork, tx)


def _below_floor(draft: Draft) -> None:
    if draft.gas:  # a limit that another fault has set: more data than it pays for
        draft.data = draft.data.ljust(draft.gas // 40 + 1, b"\1")
        return
    draft.data = draft.data or b"\1" * 1_000
    draft.gas = sum(gas_needed(draft)) // 2


def _below_intrinsic(draft: Draft) -> None:
    if draft.gas > 10**6:
        draft.authorizations = draft.gas // 25_000 + 1
    else:
        draft.gas = 20_000


def _fewer_blobs(draft: Draft) -> None:
    draft.blob_hashes = []


def _many_blobs(draft: Draft) -> None:
    most = draft.fork.blobs.max if draft.fork.blobs is not None else 0
    draft.blob_hashes *= blobs.MAX_BLOBS_PER_TRANSACTION + 1 if draft.fork.has(L1Rules.OSAKA) else most + 1


def _on_optimism(fork: Fork) -> bool:
    return fork.is_optimism


def _on_ethereum(fork: Fork) -> bool:
    return not fork.is_optimism


def _since(rules: L1Rules) -> Callable[[Fork], bool]:
    return lambda fork: fork.has(rules)


# In the order in which they change a draft: limits on gas before what must not fit them, fees before what exceeds them.
FAULTS = (
    _fault("deposit type", "type", _set(), (DEPOSIT,), _on_ethereum),
    _fault("blob type", "type", _set(), (3,), _on_optimism),
    _fault("set-code type before Prague", "type", _set(), (4,), lambda fork: not fork.has(L1Rules.PRAGUE)),
    _fault("system deposit", "system", _set(is_system=True), (DEPOSIT,), _on_optimism),
    _fault("mint of 257 bits", "mint", _set(mint=2**256 + 3), (DEPOSIT,), _on_optimism),
    _fault("no replay protection", "chain", _set(chain_id=None), (0,)),
    _fault("other chain's id", "chain", _set(chain_id=902)),
    _fault("r of zero", "signature", _set(bend=lambda parity, r, s: (parity, 0, s))),
    _fault("s in the upper half", "signature", _set(bend=lambda parity, r, s: (1 - parity, r, SECP256K1_N - s))),
    _fault("nobody's signature", "signature", _set(bend=lambda parity, r, s: (parity, 5, s))),
    _fault("parity of two", "signature", _set(bend=lambda parity, r, s: (2, r, s)), FEE_MARKET),
    _fault("v of 29", "signature chain", _set(v=29), (0,)),
    _fault("v of zero", "signature chain", _set(v=0), (0,)),
    _fault("nonce too low", "nonce", _set(nonce=NONCE - 1)),
    _fault("nonce too high", "nonce", _set(nonce=NONCE + 1)),
    _fault("nonce of 2^64-1", "nonce", _set(nonce=MAX_UINT64)),
    _fault("account's nonce of 2^64-1", "nonce", _set(nonce=MAX_UINT64, account_nonce=MAX_UINT64)),
    _fault("sender with code", "code", _set(code=b"\0")),
    _fault("fee cap of 257 bits", "cap", _set(fee_cap=2**256 + 3), BIG),
    _fault("fees above 256 bits", "cap", _set(fee_cap=2**255)),
    _fault("fee cap below base fee", "cap", _set(fee_cap=10**6)),
    _fault("tip of 257 bits", "tip", _set(tip=2**256 + 3), (2,)),
    _fault("tip above fee cap", "tip", _high_tip, FEE_MARKET),
    _fault("no tip", "tip", _set(tip=0), FEE_MARKET),
    _fault("value of 257 bits", "value", _set(value=2**256 + 3), BIG),
    _fault("value of 2^256-1", "value", _set(value=MAX_UINT256)),
    _fault("no blobs", "hashes", _fewer_blobs, (3,), _on_ethereum),
    _fault("blob hash of version 2", "hashes", _set(blob_hashes=[b"\x02" + bytes(31)]), (3,), _on_ethereum),
    _fault("too many blobs", "hashes", _many_blobs, (3,), _on_ethereum),
    _fault("blob fee cap too low", "blob cap", _set(blob_fee_cap=0), (3,), _on_ethereum),
    _fault("no authorizations", "authorizations", _set(authorizations=0), (4,), _since(L1Rules.PRAGUE)),
    _fault("no gas left in the block", "block", _set(crowded=True), (*SIGNED, DEPOSIT)),
    _fault("gas above the block's limit", "limit", _set(gas=GAS_LIMIT + 1), (*SIGNED, DEPOSIT)),
    _fault("gas above the transaction cap", "limit", _set(gas=GAS_CAP + 1), exists=_since(L1Rules.OSAKA)),
    _fault("init code too long", "to", _long_initcode, (0, 2)),
    _fault("data too long for the pool", "size", _long_data(128 * 1024 + 1)),
    _fault("gas below the floor", "floor", _below_floor, exists=_since(L1Rules.PRAGUE)),
    _fault("gas below the intrinsic", "intrinsic", _below_intrinsic),
    _fault("no funds for gas", "funds", _set(missing="gas")),
    _fault("no funds for value", "funds", _set(missing="value")),
    _fault("no funds for L1 fee", "funds", _set(missing="L1 fee"), exists=_on_optimism),
    _fault("no funds for operator fee", "funds", _set(missing="operator fee"), exists=lambda f: f.operator_fee is not OperatorFeeRule.NONE),
)


@cache
def key_of(name: str) -> coincurve.PrivateKey:
    """The key of an account, by its name."""
    return coincurve.PrivateKey(keccak(name.encode()))


def sender_of(key: coincurve.PrivateKey) -> Address:
    """The address of a key."""
    return keccak(key.public_key.format(compressed=False)[1:])[12:]
