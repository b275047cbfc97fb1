"""The state of every kept block: one base on disk with its past, and one layer in memory per recent block.

`LayeredState` implements `types.storage.StateStore`. One thread changes it; any thread may read: everything a reader needs
is in one immutable record that is replaced as a whole. Each change of the base is one atomic batch, so after a crash the
database holds the state after some block, the diffs of acknowledged blocks above it, and nothing half done. The head
marker is written before the base moves, so a restart continues to move the base towards it.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from l2engine.errors import StateUnavailable, StoreError, StoreUnreadable
from l2engine.store import past, schema
from l2engine.store.branches import choose_kept
from l2engine.store.diffs import decode_diff, encode_diff
from l2engine.store.layers import MERGE_EVERY, Changes, Layer, LayeredView, flat_rows, hash_address, hash_slot, merge, weigh
from l2engine.store.past import PastReader
from l2engine.store.trie import Trie, prove
from l2engine.types.base import EMPTY_CODE_HASH, EMPTY_ROOT, Address, BlockNumber, Hash32, encode_int
from l2engine.types.block import Block
from l2engine.types.header import Header
from l2engine.types.limits import HISTORY_PROOFS, HISTORY_STATE
from l2engine.types.state import Account, StateDiff
from l2engine.types.storage import AccountProof, Batch, KeyValue, PreparedState, Snapshot

log = logging.getLogger(__name__)

LAYERS = 128  # blocks above the base, as geth keeps
SIDE_LAYERS = 128  # dropped blocks whose state is kept; more would slow down every start
SIDE_BYTES = 256 << 20  # memory for their layers
_PRUNE_AT_ONCE = 4  # blocks forgotten per base move, so that a narrowed window closes without a pause


@dataclass(frozen=True, slots=True)
class Prepared:
    """A diff on top of a block, with its root and new trie nodes."""

    root: Hash32
    parent_hash: Hash32
    diff: StateDiff = field(repr=False)
    changes: Changes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Kept:
    """All the data that a reader needs, as of one moment."""

    number: BlockNumber
    hash: Hash32
    root: Hash32
    snapshot: Snapshot
    """The base after block `number`."""
    layers: Mapping[Hash32, Layer]
    oldest_state: BlockNumber
    oldest_proofs: BlockNumber


class _Stored:
    """A "d" row, not yet decoded; a `branches.Link`."""

    __slots__ = ("hash", "key", "number", "parent_hash", "row", "size")

    def __init__(self, key: bytes, row: bytes) -> None:
        self.key, self.row, self.size = key, row, len(row)
        self.number, self.hash, self.parent_hash = int.from_bytes(key[1:9], "big"), key[9:], row[:32]


class LayeredState:
    """The state store; see the module. `history_state` and `history_proofs` are numbers of blocks below the base; 0 keeps all."""

    def __init__(
        self,
        kv: KeyValue,
        history_state: int = HISTORY_STATE,
        history_proofs: int = HISTORY_PROOFS,
        layers: int = LAYERS,
        side_layers: int = SIDE_LAYERS,
        side_bytes: int = SIDE_BYTES,
    ) -> None:
        self._kv = kv
        self._history_state, self._history_proofs = history_state, history_proofs
        self._depth, self._side_layers, self._side_bytes = layers, side_layers, side_bytes
        self.code = lru_cache(maxsize=1024)(self._read_code)
        self._kept = self._read_base({})
        self._load_layers()

    code: Callable[[Hash32], bytes]
    """The code with this hash; `StoreError` when it is missing."""

    @property
    def base(self) -> tuple[BlockNumber, Hash32]:
        """The block whose state is on disk."""
        return self._kept.number, self._kept.hash

    @property
    def oldest(self) -> tuple[BlockNumber, BlockNumber]:
        """The lowest canonical blocks whose state, and whose proofs, can be read."""
        return self._kept.oldest_state, self._kept.oldest_proofs

    # ---- reading ----------------------------------------------------------------------------------------------------

    def has(self, block_hash: Hash32) -> bool:
        kept = self._kept
        return block_hash in kept.layers or self._number_on_base(kept, block_hash) is not None

    def view(self, block_hash: Hash32) -> LayeredView:
        kept = self._kept
        path, anchor = _walk(kept, block_hash)
        number = self._number_on_base(kept, anchor)
        if number is None:
            raise StateUnavailable(f"state of block 0x{block_hash.hex()} is not available")
        if number == kept.number:
            read = read_node = kept.snapshot.get
            root = kept.root
        else:
            read = read_node = PastReader(kept.snapshot, number).read
            row = kept.snapshot.get(schema.base_chain_key(number))
            assert row is not None  # the same row gave us the number
            root = row[32:]
            if number < kept.oldest_proofs:
                read_node = _no_nodes
        if path:
            number, root = path[0].number, path[0].state_root
        return LayeredView(number, block_hash, root, path, read, read_node, self.code, kept.snapshot)

    def storage_root(self, state: Hash32 | PreparedState, address: Address) -> Hash32:
        if isinstance(state, bytes):
            return self.view(state).storage_root(address)
        assert isinstance(state, Prepared)
        if address in state.changes.accounts:
            return state.changes.roots.get(address, EMPTY_ROOT)
        return self.view(state.parent_hash).storage_root(address)

    def proof(self, block_hash: Hash32, address: Address, slots: Sequence[int]) -> AccountProof:
        view = self.view(block_hash)
        owner = hash_address(address)
        root = view.storage_root(address)
        nodes = prove(view.node, view.state_root, None, owner.hex())
        storage = tuple((slot, view.storage(address, slot), prove(view.node, root, owner, hash_slot(slot).hex())) for slot in slots)
        return AccountProof(address, view.account(address), root, nodes, storage)

    # ---- changing ---------------------------------------------------------------------------------------------------

    def reload(self) -> None:
        """Load the state from the reopened database. Older views raise `StoreUnavailable`."""
        limits = (self._history_state, self._history_proofs, self._depth, self._side_layers, self._side_bytes)
        fresh = LayeredState(self._kv, *limits)
        self._kept = fresh._kept  # in one step: readers see the old state, then the new one

    def prepare(self, parent_hash: Hash32, diff: StateDiff) -> Prepared:
        view = self.view(parent_hash)
        accounts: dict[Address, Account | None] = {}
        roots: dict[Address, Hash32] = {}
        storage: dict[Address, Mapping[int, int]] = {}
        wiped: set[Address] = set()
        nodes: dict[bytes, bytes | None] = {}
        leaves = []
        for address, change in diff.accounts.items():
            owner = hash_address(address)
            account = accounts[address] = change.account
            root = view.storage_root(address)
            if root != EMPTY_ROOT and (account is None or change.destroyed):
                root = EMPTY_ROOT
                wiped.add(address)
                storage[address] = {}
            if account is None:
                leaves.append((owner.hex(), b""))
                continue
            if change.storage:
                storage[address] = dict(change.storage)
                slots = [
                    (hash_slot(slot).hex(), schema.slot_leaf(encode_int(value)) if value else b"") for slot, value in change.storage.items()
                ]
                slots.sort()
                root = Trie(view.node, root, owner, nodes).update(slots)
            roots[address] = root
            leaves.append((owner.hex(), schema.account_leaf(account.nonce, account.balance, root, account.code_hash)))
        leaves.sort()
        root = Trie(view.node, view.state_root, None, nodes).update(leaves)
        return Prepared(root, parent_hash, diff, Changes(accounts, roots, storage, frozenset(wiped), nodes))

    def push(self, batch: Batch, block: Block, prepared: PreparedState) -> None:
        """Add the block's diff and new code to `batch`. Once it is written, call `attach`."""
        assert isinstance(prepared, Prepared)
        for code_hash, code in prepared.diff.codes.items():
            batch.put(schema.code_key(code_hash), code)
        if not self.has(block.hash):
            row = encode_diff(prepared.parent_hash, prepared.root, prepared.diff)
            batch.put(schema.diff_key(block.number, block.hash), row)

    def attach(self, block: Block, prepared: PreparedState) -> None:
        """Make the pushed state readable. Separate from `push`, so that no reader sees a state that is not on disk yet."""
        assert isinstance(prepared, Prepared)
        self._attach(block.number, block.hash, prepared)

    def set_head(self, path: Sequence[Header]) -> None:
        """Make the base follow the head, `path[-1]`: roll it back to the head's branch, then merge the layers beyond the kept depth.

        Call it after the batch that names the new head is written. A crash between its batches loses nothing: every view
        stays readable at each step, and the next call resumes. `StateUnavailable` when the head's state is not kept.
        """
        if not path:
            return
        head = path[-1].hash
        branch, anchor = _walk(self._kept, head)
        if not branch:
            if not self.has(head):
                raise StateUnavailable(f"state of block 0x{head.hex()} is not available")
            return
        fork = self._number_on_base(self._kept, anchor)
        if fork is None:
            raise StateUnavailable(f"state of block 0x{anchor.hex()} is not available")
        if fork < self._kept.oldest_proofs:
            raise StateUnavailable(f"cannot move the state back to block {fork}: kept from {self._kept.oldest_proofs} on")
        while self._kept.number > fork:
            self._roll_back()
        excess = len(branch) - self._depth
        for layer in reversed(branch[len(branch) - excess :] if excess > 0 else ()):
            excess -= 1
            self._merge(layer, sync=excess == 0)
        self._drop_side_layers(head)

    # ---- the base ---------------------------------------------------------------------------------------------------

    def _merge(self, layer: Layer, sync: bool) -> None:
        """Move the base forward over its child `layer`."""
        kept = self._kept
        get, number = kept.snapshot.get, layer.number
        if layer.parent_hash != kept.hash:
            raise StoreError(f"block {number} is not the child of the base")
        rows, wiped = flat_rows(layer.changes)
        nodes = dict(layer.changes.nodes)
        for owner in wiped:
            for new, prefix in ((rows, b"s" + owner), (nodes, b"S" + owner)):
                for key, _ in kept.snapshot.iterate(prefix, schema.prefix_end(prefix)):
                    new.setdefault(key, None)
        batch = self._kv.batch()
        for new, changed_row in ((rows, schema.changed_flat_key(number)), (nodes, schema.changed_nodes_key(number))):
            old = {}
            for key, value in new.items():
                before = get(key)
                if before == value:
                    continue
                old[key] = before
                if value is None:
                    batch.delete(key)
                else:
                    batch.put(key, value)
            past.record(batch, number, old, changed_row)
        batch.delete(schema.diff_key(number, layer.hash))
        batch.put(schema.base_chain_key(number), layer.hash + layer.state_root)
        batch.put(schema.BASE, schema.u64(number) + layer.hash + layer.state_root)
        self._prune(batch, number)
        batch.write(sync=sync)
        self._kept = self._read_base({block_hash: other for block_hash, other in kept.layers.items() if other is not layer})

    def _roll_back(self) -> None:
        """Move the base back by one block."""
        kept = self._kept
        number = kept.number
        row = kept.snapshot.get(schema.base_chain_key(number - 1))
        if row is None:
            raise StoreError(f"no record of the base's block {number - 1}")
        batch = self._kv.batch()
        past.undo(batch, kept.snapshot, number, schema.changed_flat_key(number))
        past.undo(batch, kept.snapshot, number, schema.changed_nodes_key(number))
        batch.delete(schema.base_chain_key(number))
        batch.put(schema.BASE, schema.u64(number - 1) + row)
        batch.write(sync=True)
        self._kept = self._read_base(kept.layers)

    def _prune(self, batch: Batch, number: BlockNumber) -> None:
        """Delete the past below the history windows, counted from base `number`, but keep all from the finalized block on."""
        kept = self._kept
        finalized = self._finalized_number()
        state, proofs = kept.oldest_state, kept.oldest_proofs
        for _ in range(_PRUNE_AT_ONCE):
            if self._history_state and state < min(number - self._history_state, finalized):
                state += 1
                past.forget(batch, kept.snapshot, state, schema.changed_flat_key(state))
                batch.delete(schema.base_chain_key(state - 1))
            wanted = min(number - self._history_proofs, finalized) if self._history_proofs else 0
            if proofs < max(wanted, state):
                proofs += 1
                past.forget(batch, kept.snapshot, proofs, schema.changed_nodes_key(proofs))
        if state != kept.oldest_state:
            batch.put(schema.PAST_STATE, schema.u64(state))
        if proofs != kept.oldest_proofs:
            batch.put(schema.PAST_PROOFS, schema.u64(proofs))

    def _finalized_number(self) -> BlockNumber:
        finalized = self._kv.get(schema.FINALIZED)
        row = self._kv.get(schema.number_key(finalized)) if finalized else None
        return int.from_bytes(row, "big") if row else 0

    # ---- the layers -------------------------------------------------------------------------------------------------

    def _attach(self, number: BlockNumber, block_hash: Hash32, prepared: Prepared) -> None:
        kept = self._kept
        if self.has(block_hash):
            return
        merged, count = None, 0
        if number % MERGE_EVERY == MERGE_EVERY - 1:
            below, _ = _walk(kept, prepared.parent_hash, MERGE_EVERY - 1)
            merged, count = merge([*(layer.changes for layer in reversed(below)), prepared.changes]), len(below) + 1
        size = weigh(prepared.changes)
        layer = Layer(number, block_hash, prepared.parent_hash, prepared.root, prepared.changes, size, merged, count)
        self._replace_layers({**kept.layers, block_hash: layer})

    def _replace_layers(self, layers: Mapping[Hash32, Layer]) -> None:
        kept = self._kept
        self._kept = _Kept(kept.number, kept.hash, kept.root, kept.snapshot, layers, kept.oldest_state, kept.oldest_proofs)

    def _drop_side_layers(self, head: Hash32) -> None:
        """Drop the layers of side branches that the base has left behind, and of those beyond what is allowed."""
        kept = self._kept
        if len(_walk(kept, head)[0]) == len(kept.layers):
            return
        chosen = choose_kept(kept.layers.values(), head, lambda parent: parent == kept.hash, self._side_layers, self._side_bytes)
        dropped = [layer for layer in kept.layers.values() if layer.hash not in chosen]
        if dropped:
            self._delete_diffs(schema.diff_key(layer.number, layer.hash) for layer in dropped)
            self._replace_layers({block_hash: layer for block_hash, layer in kept.layers.items() if block_hash in chosen})

    def _delete_diffs(self, keys: Iterable[bytes]) -> None:
        batch = self._kv.batch()
        for key in keys:
            batch.delete(key)
        batch.write()

    def _load_layers(self) -> None:
        """Rebuild the layers from their stored diffs. A diff that does not give its recorded root is logged and dropped."""
        stored = [_Stored(key, row) for key, row in self._kv.iterate(b"d", schema.prefix_end(b"d"))]
        head = self._kv.get(schema.HEAD) or self._kept.hash
        chosen = choose_kept(stored, head, self._can_roll_back_to, self._side_layers, self._side_bytes)
        lost = []
        for diff in stored:
            if diff.hash not in chosen or not self._load_layer(diff):
                lost.append(diff.key)
        if lost:
            self._delete_diffs(lost)
        if count := len(stored) - len(lost):
            log.info("loaded %d blocks above the base at %d", count, self._kept.number)

    def _can_roll_back_to(self, block_hash: Hash32) -> bool:
        number = self._number_on_base(self._kept, block_hash)
        return number is not None and number >= self._kept.oldest_proofs

    def _load_layer(self, stored: "_Stored") -> bool:
        """Whether the stored diff is a layer again."""
        try:
            parent_hash, root, diff = decode_diff(stored.row)
            prepared = self.prepare(parent_hash, diff)
            if prepared.root != root:
                raise StoreError(f"its root is 0x{prepared.root.hex()}, recorded was 0x{root.hex()}")
        except StateUnavailable:
            return False  # its parent's state is no longer kept
        except StoreUnreadable:  # the files are damaged; the diff may be good
            raise
        except StoreError as error:
            log.warning("dropped the stored state of block %d 0x%s: %s", stored.number, stored.hash.hex(), error)
            return False
        self._attach(stored.number, stored.hash, prepared)
        return True

    # ---- rows -------------------------------------------------------------------------------------------------------

    def _read_base(self, layers: Mapping[Hash32, Layer]) -> _Kept:
        snapshot = self._kv.snapshot()
        row = snapshot.get(schema.BASE)
        if row is None:
            raise StoreError("the database has no state: write a genesis first")
        oldest = [int.from_bytes(snapshot.get(key) or b"", "big") for key in (schema.PAST_STATE, schema.PAST_PROOFS)]
        return _Kept(int.from_bytes(row[:8], "big"), row[8:40], row[40:], snapshot, layers, oldest[0], oldest[1])

    def _number_on_base(self, kept: _Kept, block_hash: Hash32) -> BlockNumber | None:
        """The number of a block on the base's own chain, if its state can be read; None for all other blocks."""
        if block_hash == kept.hash:
            return kept.number
        row = kept.snapshot.get(schema.number_key(block_hash))
        if row is None:
            return None
        number = int.from_bytes(row, "big")
        if not kept.oldest_state <= number <= kept.number:
            return None
        entry = kept.snapshot.get(schema.base_chain_key(number))
        return number if entry is not None and entry[:32] == block_hash else None

    def _read_code(self, code_hash: Hash32) -> bytes:
        if code_hash == EMPTY_CODE_HASH:
            return b""
        code = self._kv.get(schema.code_key(code_hash))
        if code is None:
            raise StoreError(f"missing code 0x{code_hash.hex()}")
        return code


def _walk(kept: _Kept, block_hash: Hash32, limit: int | None = None) -> tuple[list[Layer], Hash32]:
    """The layers from the block down, newest first, and the hash below the last of them."""
    path: list[Layer] = []
    while (layer := kept.layers.get(block_hash)) and len(path) != limit:
        path.append(layer)
        block_hash = layer.parent_hash
    return path, block_hash


def _no_nodes(key: bytes) -> bytes | None:
    raise StateUnavailable("the trie nodes of this block are no longer kept")
