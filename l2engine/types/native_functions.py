"""Pure functions on the engine's hot path, from the native core if it is installed: the same results, many times faster."""

from collections.abc import Callable, Sequence

from l2engine.types import trie_root
from l2engine.types.base import BlockNumber, Gas, Hash32, keccak
from l2engine.types.native_core import core as _native
from l2engine.types.transaction import PostExecutionTransaction
from l2engine.types.transaction_codec import decode_transaction

fast_lz_length: Callable[[bytes], int] | None = None if _native is None else _native.fast_lz_length
"""The native `rules.fees.fast_lz_length`; None without the native core."""


def ordered_root(values: Sequence[bytes]) -> Hash32:
    """The root of a list, keyed by the RLP of each index: the transactions root and the receipts root."""
    if _native is None:
        return trie_root.ordered_root(values)
    return _native.ordered_root(values)  # type: ignore[no-any-return]


def keccak_all(values: Sequence[bytes]) -> list[Hash32]:
    """The keccak hash of each value."""
    if _native is None:
        return [keccak(value) for value in values]
    return _native.keccak_all(values)  # type: ignore[no-any-return]


def read_gas_refunds(raw: bytes) -> tuple[BlockNumber, Sequence[int], Sequence[Gas]]:
    """The contents of a post-execution transaction: its block's number, the refunded transactions' indices, and the gas for each.
    `DecodeError` when the bytes do not decode."""
    found = None if _native is None else _native.gas_refunds(raw)
    if found is not None:
        return found  # type: ignore[no-any-return]
    tx = decode_transaction(raw)
    assert isinstance(tx, PostExecutionTransaction)
    return tx.block_number, [entry.index for entry in tx.entries], [entry.gas for entry in tx.entries]
