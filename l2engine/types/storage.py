"""The seam between the chain and its stores: an ordered byte store, and the state of every kept block on top of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from l2engine.types.base import Address, BlockNumber, Hash32
from l2engine.types.block import Block
from l2engine.types.header import Header
from l2engine.types.state import Account, StateDiff, TrieView


class Batch(Protocol):
    """Writes that become durable together or not at all."""

    def put(self, key: bytes, value: bytes) -> None: ...
    def delete(self, key: bytes) -> None: ...
    def write(self, sync: bool = False) -> None:
        """Apply all writes atomically; `sync` waits for the disk."""


class Snapshot(Protocol):
    """The content of a `KeyValue` at one moment; later writes do not change it."""

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
        """Why a write failed; None if none has. After a failure every write raises `StoreUnavailable`, while reads still work."""

    def has_room(self) -> bool:
        """Whether the disk has room for about as much as `reopen` may write."""

    def reopen(self) -> None:
        """Close and open the store again, so that it accepts writes. Older snapshots raise `StoreUnavailable` afterwards. After a
        `StoreError` the store is closed, and may be reopened later."""


@dataclass(frozen=True, slots=True)
class AccountProof:
    """A Merkle proof of one account and some of its slots (EIP-1186); the nodes are RLP, from the root down."""

    address: Address
    account: Account | None
    storage_root: Hash32
    nodes: tuple[bytes, ...]
    storage: tuple[tuple[int, int, tuple[bytes, ...]], ...]
    """(slot, value, nodes) in the order requested."""


class PreparedState(Protocol):
    """A diff whose root is known and that can be pushed without computing it again."""

    @property
    def root(self) -> Hash32: ...


class StateStore(Protocol):
    """State of every kept block: a canonical base on disk, its past, and one layer per recent block."""

    @property
    def oldest(self) -> tuple[BlockNumber, BlockNumber]:
        """The lowest canonical blocks whose state, and whose proofs, can be read."""

    def view(self, block_hash: Hash32) -> TrieView:
        """The state after that block; `StateUnavailable` when it is not kept."""

    def prepare(self, parent_hash: Hash32, diff: StateDiff) -> PreparedState:
        """Compute the state root of `diff` on top of the parent. Writes nothing."""

    def storage_root(self, state: Hash32 | PreparedState, address: Address) -> Hash32:
        """An account's storage root after a block (by hash) or in a prepared state."""

    def push(self, batch: Batch, block: Block, prepared: PreparedState) -> None:
        """Add the block's diff and code to `batch`, which must be written before VALID is answered. Call `attach` after the write.

        The order for one block: `blocks.put(batch, …)`, `state.push(batch, …)`, `batch.write()`, `blocks.remember(…)`,
        `state.attach(…)`.
        """

    def reload(self) -> None:
        """Load the state from the reopened database. Older views raise `StoreUnavailable`."""

    def attach(self, block: Block, prepared: PreparedState) -> None:
        """Make a pushed state readable under the block's hash, once its batch is written. Needs no disk and cannot fail."""

    def has(self, block_hash: Hash32) -> bool:
        """Whether `view` would succeed."""

    def set_head(self, path: Sequence[Header]) -> None:
        """Move the base so that it follows the new head. `path` is the canonical chain from the common ancestor upward; only its
        last header, the new head, is read, and an empty path does nothing.

        Call it after the batch with the new head marker is written. It writes batches of its own, and a crash between them
        loses nothing. A head at or below the base moves nothing. When the head is on another branch, states of the old branch
        that were in the base are lost (`has` is False): their blocks must be executed again to get them back.
        """

    def proof(self, block_hash: Hash32, address: Address, slots: Sequence[int]) -> AccountProof:
        """The proof of an account and these slots after a block. `StateUnavailable` when the block is older than the kept proofs."""
