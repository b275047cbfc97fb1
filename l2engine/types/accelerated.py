"""Pure functions on the engine's hot path, taken from the native core where it is installed: the same answers, many times faster."""

from collections.abc import Sequence

from l2engine.errors import DecodeError
from l2engine.types import trie_root
from l2engine.types.base import Hash32
from l2engine.types.transaction import decode_transaction

try:
    import l2engine_native as _native
except ImportError:
    _native = None


def ordered_root(values: Sequence[bytes]) -> Hash32:
    """The root of a list, keyed by the RLP of each index: the transactions root and the receipts root."""
    if _native is None:
        return trie_root.ordered_root(values)
    return _native.ordered_root(values)  # type: ignore[no-any-return]


def undecodable(raws: Sequence[bytes]) -> tuple[int, DecodeError] | None:
    """The first that is no transaction: its place and the reason; None when all are transactions."""
    first = 0 if _native is None else _native.undecodable(raws)
    for index in range(len(raws) if first is None else first, len(raws)):
        try:
            decode_transaction(raws[index])
        except DecodeError as error:
            return index, error
    return None
