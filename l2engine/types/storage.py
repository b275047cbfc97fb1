"""The seam between the chain and its stores: an ordered byte store, and the state of every kept block on top of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from l2engine.types.base import Address, Hash32
from l2engine.types.block import Block
from l2engine.types.header import Header
from l2engine.types.state import Account, StateDiff, TrieView


class Batch(Protocol):
    """Writes that become durable together or not at all."""

    def put(self, key: bytes, value: bytes) -> None: ...
    def delete(self, key: bytes) -> None: ...
    def write(self, sync: bool = False) -> None:
        """Apply all of it atomically; `sync` waits for the disk."""


class Snapshot(Protocol):
    """A frozen picture of a `KeyValue`."""

    def get(self, key: bytes) -> bytes | None: ...
    def iterate(self, start: bytes, stop: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < stop, in key order."""


class KeyValue(Snapshot, Protocol):
    """An ordered byte store: LevelDB, or a dictionary for tests and the dev chain."""

    def batch(self) -> Batch: ...
    def snapshot(self) -> Snapshot: ...
    def close(self) -> None: ...

    @property
    def failure(self) -> str | None:
        """Why a write failed, since when every other raises `StoreUnavailable`; reads go on. None while all is well."""

    def has_room(self) -> bool:
        """Whether the disk takes about as much as `reopen` may write."""

    def reopen(self) -> None:
        """Close and open again, so that writes are taken. Snapshots from before raise `StoreUnavailable` from then on. On a
        `StoreError` the store is closed, and may be reopened later."""


@dataclass(frozen=True, slots=True)
class AccountProof:
    """A Merkle proof of one account and some of its slots (EIP-1186), nodes from the root down, RLP."""

    address: Address
    account: Account | None
    storage_root: Hash32
    nodes: tuple[bytes, ...]
    storage: tuple[tuple[int, int, tuple[bytes, ...]], ...]
    """(slot, value, nodes) in the order asked."""


class PreparedState(Protocol):
    """A diff whose root is known and that can be pushed without computing it again."""

    @property
    def root(self) -> Hash32: ...


class StateStore(Protocol):
    """State of every kept block: a canonical base on disk, its past, and one layer per recent block."""

    def view(self, block_hash: Hash32) -> TrieView:
        """The state after that block; `StateUnavailable` when it is not kept."""

    def prepare(self, parent_hash: Hash32, diff: StateDiff) -> PreparedState:
        """Compute the state root of `diff` on top of the parent. Writes nothing."""

    def storage_root(self, state: Hash32 | PreparedState, address: Address) -> Hash32:
        """An account's storage root after a block (by hash) or in a prepared state."""

    def push(self, batch: Batch, block: Block, prepared: PreparedState) -> None:
        """Add the block's diff and code to `batch`, to be written before VALID is answered; `attach` follows the write.

        The order for one block: `blocks.put(batch, …)`, `state.push(batch, …)`, `batch.write()`, `blocks.remember(…)`,
        `state.attach(…)`.
        """

    def reload(self) -> None:
        """Take up what the reopened database holds. Views from before raise `StoreUnavailable`."""

    def attach(self, block: Block, prepared: PreparedState) -> None:
        """Make a pushed state readable under the block's hash, once its batch is written. Cannot fail for lack of anything."""

    def has(self, block_hash: Hash32) -> bool:
        """Whether `view` would answer."""

    def set_head(self, path: Sequence[Header]) -> None:
        """Move the base where the canonical chain, given from the common ancestor upward, wants it (only the last header, the
        new head, is looked at; an empty path does nothing).

        Call it after the batch with the new head marker is written. It writes batches of its own, and a crash between them
        loses nothing. A head at or below the base moves nothing. When the head stands on another branch, states of the old
        branch that were in the base are gone afterwards (`has` is False): their blocks must be executed again to return.
        """

    def proof(self, block_hash: Hash32, address: Address, slots: Sequence[int]) -> AccountProof:
        """`StateUnavailable` below the window of kept proofs."""
