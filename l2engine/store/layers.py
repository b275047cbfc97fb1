"""The changes of recent blocks, in memory, and the view that reads through it down to the base or its past.

A `Layer` is one block's changes; every sixteenth block also carries the changes of the sixteen up to it merged into one, so
that a view over 128 layers looks into about twenty dictionaries instead of 128. Nothing here changes once it is made, so a view
stays the same while the store moves on.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from l2engine.store import schema
from l2engine.types.base import EMPTY_ROOT, Address, BlockNumber, Hash32, encode_int, keccak
from l2engine.types.state import Account
from l2engine.types.storage import Snapshot

MERGE_EVERY = 16
_UNKNOWN: Any = object()


@lru_cache(maxsize=65536)
def hash_address(address: Address) -> Hash32:
    """keccak(address), cached, because every block uses the same hot accounts."""
    digest: Hash32 = keccak(address)
    return digest


@lru_cache(maxsize=65536)
def hash_slot(slot: int) -> Hash32:
    """keccak of the slot's 32 bytes."""
    digest: Hash32 = keccak(slot.to_bytes(32, "big"))
    return digest


@dataclass(frozen=True, slots=True)
class Changes:
    """The rows that one block, or several in a row, changed."""

    accounts: Mapping[Address, Account | None]
    """Accounts after the blocks; None when deleted."""
    roots: Mapping[Address, Hash32]
    """Storage roots of the accounts that exist."""
    storage: Mapping[Address, Mapping[int, int]]
    """Changed slots. A wiped account has an entry here even when no slot was set since."""
    wiped: frozenset[Address]
    """Accounts whose earlier storage no longer applies."""
    nodes: Mapping[bytes, bytes | None]
    """Trie nodes by database key; None when deleted."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One block above the base."""

    number: BlockNumber
    hash: Hash32
    parent_hash: Hash32
    state_root: Hash32
    changes: Changes
    size: int
    """The memory it takes, estimated in bytes."""
    merged: Changes | None = field(default=None, repr=False)
    """The changes of `merged_count` blocks, of which this one is the last."""
    merged_count: int = 0


def weigh(changes: Changes) -> int:
    """The memory that the changes take, estimated in bytes."""
    nodes = sum(len(raw) + 150 for raw in changes.nodes.values() if raw)
    return nodes + 400 * len(changes.accounts) + 150 * sum(len(slots) + 1 for slots in changes.storage.values())


def merge(layers: Iterable[Changes]) -> Changes:
    """The changes of consecutive blocks, oldest first, as one."""
    accounts: dict[Address, Account | None] = {}
    roots: dict[Address, Hash32] = {}
    storage: dict[Address, dict[int, int]] = {}
    wiped: set[Address] = set()
    nodes: dict[bytes, bytes | None] = {}
    for changes in layers:
        accounts.update(changes.accounts)
        roots.update(changes.roots)
        nodes.update(changes.nodes)
        wiped |= changes.wiped
        for address, slots in changes.storage.items():
            known = storage.get(address)
            if known is None or address in changes.wiped:
                storage[address] = dict(slots)
            else:
                known.update(slots)
    living = {address: root for address, root in roots.items() if accounts[address]}
    return Changes(accounts, living, storage, frozenset(wiped), nodes)


class LayeredView:
    """The state after one block: its layers, newest first, above a reader of the base. Implements `types.state.StateView`."""

    code: Callable[[Hash32], bytes]
    """The code with this hash; `StoreError` when it is missing."""

    def __init__(
        self,
        number: BlockNumber,
        block_hash: Hash32,
        state_root: Hash32,
        path: Sequence[Layer],
        read: Callable[[bytes], bytes | None],
        read_node: Callable[[bytes], bytes | None],
        read_code: Callable[[Hash32], bytes],
        snapshot: Snapshot,
    ) -> None:
        self.number, self.hash, self.state_root = number, block_hash, state_root
        self.code = read_code
        self._path = path
        self._stack = stack = _stack(path)
        self._accounts = [changes.accounts for changes in stack]
        self._storage = [(changes.storage, changes.wiped) for changes in stack]
        self._nodes = [changes.nodes for changes in stack]
        self._read, self._read_node, self._snapshot = read, read_node, snapshot

    def account(self, address: Address) -> Account | None:
        for accounts in self._accounts:
            found = accounts.get(address, _UNKNOWN)
            if found is not _UNKNOWN:
                return found  # type: ignore[no-any-return]
        row = self._read(b"a" + hash_address(address))
        if row is None:
            return None
        nonce, balance, _, code_hash = schema.decode_account(row)
        return Account(nonce, balance, code_hash)

    def storage(self, address: Address, slot: int) -> int:
        for storage, wiped in self._storage:
            slots = storage.get(address)
            if slots is not None:
                found = slots.get(slot)
                if found is not None:
                    return found
                if address in wiped:
                    return 0
        row = self._read(b"s" + hash_address(address) + hash_slot(slot))
        return int.from_bytes(row, "big") if row else 0

    def has_storage(self, address: Address) -> bool:
        return self.storage_root(address) != EMPTY_ROOT

    def block_hash(self, number: BlockNumber) -> Hash32 | None:
        if not 0 <= number <= self.number:
            return None
        above = self.number - number
        if above < len(self._path):
            return self._path[above].hash
        row = self._snapshot.get(schema.base_chain_key(number))  # not the canonical index, which a forkchoice may have moved already
        return row[:32] if row else self._snapshot.get(schema.canonical_key(number))

    def storage_root(self, address: Address) -> Hash32:
        """The root of the account's storage trie, the empty root when there is no such account."""
        for changes in self._stack:
            if address in changes.accounts:
                return changes.roots.get(address, EMPTY_ROOT)
        row = self._read(b"a" + hash_address(address))
        return schema.decode_account(row)[2] if row else EMPTY_ROOT

    def node(self, key: bytes) -> bytes | None:
        """A trie node by database key; `StateUnavailable` where no nodes are kept."""
        for nodes in self._nodes:
            found = nodes.get(key, _UNKNOWN)
            if found is not _UNKNOWN:
                return found  # type: ignore[no-any-return]
        return self._read_node(key)


def _stack(path: Sequence[Layer]) -> list[Changes]:
    """The smallest list of changes that covers `path`, newest first."""
    stack = []
    index = 0
    while index < len(path):
        layer = path[index]
        # A merged set may include blocks that are already in the base. That does no harm: its values are at least as new.
        stack.append(layer.merged or layer.changes)
        index += layer.merged_count or 1
    return stack


def flat_rows(changes: Changes) -> tuple[dict[bytes, bytes | None], list[bytes]]:
    """The base's new flat rows (None deletes one), and the hashed addresses whose older slots and nodes must be deleted first."""
    rows: dict[bytes, bytes | None] = {}
    for address, account in changes.accounts.items():
        key = b"a" + hash_address(address)
        if account is None:
            rows[key] = None
        else:
            rows[key] = schema.encode_account(account.nonce, account.balance, changes.roots[address], account.code_hash)
    for address, slots in changes.storage.items():
        owner = hash_address(address)
        for slot, value in slots.items():
            rows[b"s" + owner + hash_slot(slot)] = encode_int(value) or None
    return rows, [hash_address(address) for address in changes.wiped]
