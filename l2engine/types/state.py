"""The interfaces for reading state, and the record of its changes.

An executor reads a `StateView` and returns a `StateDiff`; a `StateStore` (`types/storage.py`) turns diffs into
roots, layers and bytes on disk.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from l2engine.types.base import EMPTY_CODE_HASH, Address, BlockNumber, Hash32, Wei


@dataclass(frozen=True, slots=True)
class Account:
    """An account without its storage; storage roots are computed by the store."""

    nonce: int = 0
    balance: Wei = 0
    code_hash: Hash32 = EMPTY_CODE_HASH

    @property
    def is_empty(self) -> bool:
        """Whether EIP-161 removes the account when it is touched."""
        return self.nonce == 0 and self.balance == 0 and self.code_hash == EMPTY_CODE_HASH


class StateView(Protocol):
    """The state after one block, read-only. Reads may touch the disk; answers never change."""

    def account(self, address: Address) -> Account | None:
        """The account, or None when it does not exist."""

    def storage(self, address: Address, slot: int) -> int:
        """The slot's value, 0 when never set."""

    def has_storage(self, address: Address) -> bool:
        """Whether any slot of the account is set. Asked only where a contract is created over an account without code and nonce."""

    def code(self, code_hash: Hash32) -> bytes:
        """The code with this hash; `StoreError` when it is missing."""

    def block_hash(self, number: BlockNumber) -> Hash32 | None:
        """The hash of the ancestor with this number, the viewed block included; None when unknown."""


class TrieView(StateView, Protocol):
    """A view whose Merkle trie can be read as well. Stores return this kind of view."""

    @property
    def state_root(self) -> Hash32: ...
    def storage_root(self, address: Address) -> Hash32:
        """The root of the account's storage trie, the empty root when there is no such account."""

    def node(self, key: bytes) -> bytes | None:
        """A trie node by database key (`store.schema.node_key`); `StateUnavailable` where no nodes are kept."""


@dataclass(frozen=True, slots=True)
class AccountDiff:
    """The changes that a block made to one account."""

    account: Account | None
    """The account after the block; None when it no longer exists."""
    storage: Mapping[int, int] = field(default_factory=dict)
    """Changed slots and their new values; 0 clears the slot."""
    destroyed: bool = False
    """Whether all storage from before the block is deleted first (SELFDESTRUCT before Cancun); `storage` then applies to empty storage."""


@dataclass(frozen=True, slots=True)
class StateDiff:
    """All that a block changed. Unchanged accounts and slots (same value as before the block) do not appear."""

    accounts: Mapping[Address, AccountDiff]
    codes: Mapping[Hash32, bytes]
    """Code that the block deployed, by its hash."""


@dataclass(frozen=True, slots=True)
class ChangedView:
    """The state of `below` with `changes` on top; implements `StateView`."""

    below: StateView
    changes: StateDiff

    def account(self, address: Address) -> Account | None:
        changed = self.changes.accounts.get(address)
        return self.below.account(address) if changed is None else changed.account

    def storage(self, address: Address, slot: int) -> int:
        changed = self.changes.accounts.get(address)
        if changed is not None and (slot in changed.storage or changed.destroyed):
            return changed.storage.get(slot, 0)
        return self.below.storage(address, slot)

    def has_storage(self, address: Address) -> bool:
        changed = self.changes.accounts.get(address)
        if changed is None:
            return self.below.has_storage(address)
        return any(changed.storage.values()) or (not changed.destroyed and self.below.has_storage(address))

    def code(self, code_hash: Hash32) -> bytes:
        code = self.changes.codes.get(code_hash)
        return self.below.code(code_hash) if code is None else code

    def block_hash(self, number: BlockNumber) -> Hash32 | None:
        return self.below.block_hash(number)
