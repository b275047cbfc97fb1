"""A block's transactions as raw bytes, with facts that several steps need and that are computed once: root, hashes, whether all decode.

The object is passed from the decoder of a payload to the executor and the store. Its twin in the native core decodes every transaction
once, and starts to recover the senders in the background when it is first used.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, overload

from l2engine.errors import DecodeError
from l2engine.types import rlp, trie_root
from l2engine.types.base import Hash32, keccak
from l2engine.types.native_core import core as _native
from l2engine.types.transaction import DEPOSIT_TYPE, DepositTransaction, Transaction
from l2engine.types.transaction_codec import decode_transaction


class Transactions(Sequence[bytes]):
    """A sequence of EIP-2718 bytes, one item per transaction: a type byte and its payload, or a legacy RLP list. Immutable."""

    def __init__(self, raws: Iterable[bytes] = ()) -> None:
        self.raws = tuple(raws)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[bytes, ...]: ...
    def __getitem__(self, index: int | slice) -> bytes | tuple[bytes, ...]:
        return self.raws[index]

    def __len__(self) -> int:
        return len(self.raws)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.raws)

    def __eq__(self, other: object) -> bool:
        return self.raws == (other.raws if isinstance(other, Transactions) else other)

    def __hash__(self) -> int:
        return hash(self.raws)

    def __repr__(self) -> str:
        return f"Transactions({self.raws!r})"

    @cached_property
    def native(self) -> Any:
        """The twin of this object in the native core; only available if the core is installed."""
        return _native.Transactions(self.raws)

    @cached_property
    def root(self) -> Hash32:
        """The transactions root."""
        return trie_root.ordered_root(self.raws) if _native is None else self.native.root

    @cached_property
    def hashes(self) -> tuple[Hash32, ...]:
        """The hash of each transaction."""
        return tuple(map(keccak, self.raws)) if _native is None else tuple(self.native.hashes())

    @cached_property
    def first(self) -> Transaction | None:
        """The first transaction, decoded; None if there are none. On OP chains it is the L1-attributes deposit. `DecodeError` when it
        does not decode."""
        return decode_transaction(self.raws[0]) if self.raws else None

    @cached_property
    def deposits(self) -> tuple[tuple[int, DepositTransaction], ...]:
        """The deposits, decoded, with their indices. `DecodeError` when one does not decode."""
        found = []
        for index, raw in enumerate(self.raws):
            if raw[0] == DEPOSIT_TYPE:
                tx = self.first if index == 0 else decode_transaction(raw)
                assert tx is not None and tx.type == DEPOSIT_TYPE
                found.append((index, tx))
        return tuple(found)

    @cached_property
    def first_undecodable(self) -> tuple[int, DecodeError] | None:
        """Index of the first item that does not decode, with the reason; None if all decode."""
        first = 0 if _native is None else self.native.undecodable()
        for index in range(len(self.raws) if first is None else first, len(self.raws)):
            try:
                decode_transaction(self.raws[index])
            except DecodeError as error:
                return index, error
        return None

    def encode(self) -> bytes:
        """The RLP list in a block's body: typed transactions are byte strings in it, legacy ones are lists."""
        if _native is not None:
            return self.native.encode()  # type: ignore[no-any-return]
        payload = b"".join(raw if raw[0] >= 0xC0 else rlp.encode(raw) for raw in self.raws)
        return rlp.header(0xC0, len(payload)) + payload
