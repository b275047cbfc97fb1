"""The native store: `KeyValue` and `StateStore` over the Rust core, with the same bytes on disk as the Python ones.

The core owns the only handle of the directory and lends it to the rest of the engine as a `KeyValue`.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from l2engine.errors import ConfigError, StoreError
from l2engine.store.diffs import encode_diff
from l2engine.store.files import refuse_silent_losses
from l2engine.store.kv import claim_path, claim_schema, refuse_other_files, release_path
from l2engine.store.layers import hash_address, hash_slot
from l2engine.store.leveldb_words import explain
from l2engine.store.room import has_room
from l2engine.store.state import LAYERS, SIDE_BYTES, SIDE_LAYERS
from l2engine.store.trie import prove
from l2engine.types.base import EMPTY_ROOT, ZERO_HASH, Address, BlockNumber, Hash32
from l2engine.types.block import Block
from l2engine.types.header import Header
from l2engine.types.limits import HISTORY_PROOFS, HISTORY_STATE
from l2engine.types.native_core import InNativeCore
from l2engine.types.native_core import core as _native
from l2engine.types.state import Account, StateDiff
from l2engine.types.storage import AccountProof, Batch, PreparedState, Snapshot

log = logging.getLogger(__name__)

_MEGABYTE = 1 << 20


class NativeKeyValue:
    """A LevelDB directory, or memory when `path` is None, whose handle lives in Rust."""

    get: Callable[[bytes], bytes | None]
    iterate: Callable[..., Iterator[tuple[bytes, bytes]]]
    batch: Callable[[], Batch]
    snapshot: Callable[[], Snapshot]

    def __init__(self, path: str | Path | None, cache_mb: int = 128, write_buffer_mb: int = 32, create: bool = True) -> None:
        if _native is None:
            raise ConfigError("the native core is not installed: run `make native` (needs cargo)")
        self.path = None if path is None else os.path.realpath(path)
        if self.path is not None:
            claim_path(self.path)
        try:
            if self.path is not None:
                refuse_other_files(self.path)
                refuse_silent_losses(self.path)
                if create:
                    os.makedirs(self.path, exist_ok=True)
            try:
                self.native = _native.KeyValue(self.path, cache_mb * _MEGABYTE, write_buffer_mb * _MEGABYTE, create)
            except StoreError as error:
                raise explain(str(path), str(error)) from error
        except BaseException:
            if self.path is not None:
                release_path(self.path)
            raise
        self.get, self.iterate = self.native.get, self.native.iterate
        self.batch, self.snapshot = self.native.batch, self.native.snapshot
        self._open = True
        try:
            claim_schema(self, self.path or "memory")
        except BaseException:
            self.close()
            raise

    @property
    def failure(self) -> str | None:
        return self.native.failure  # type: ignore[no-any-return]

    def has_room(self) -> bool:
        return self.path is None or has_room(self.path)

    def reopen(self) -> None:
        try:
            self.native.reopen()
        except StoreError as error:
            raise explain(str(self.path), str(error)) from error

    def close(self) -> None:
        """Release the directory; a second call does nothing."""
        if self._open:
            self._open = False
            self.native.close()
            if self.path is not None:
                release_path(self.path)


class NativeView(InNativeCore):
    """The state after one block, read in Rust; `native` is what the native executor reads."""

    def __init__(self, native: Any) -> None:
        self.native = native
        self.storage: Callable[[Address, int], int] = native.storage
        self.code: Callable[[Hash32], bytes] = native.code
        self.block_hash: Callable[[BlockNumber], Hash32 | None] = native.block_hash
        self.storage_root: Callable[[Address], Hash32] = native.storage_root
        self.node: Callable[[bytes], bytes | None] = native.node

    number: BlockNumber = property(lambda self: self.native.number)  # type: ignore[assignment]
    hash: Hash32 = property(lambda self: self.native.hash)  # type: ignore[assignment]
    state_root: Hash32 = property(lambda self: self.native.state_root)  # type: ignore[assignment]

    def account(self, address: Address) -> Account | None:
        found = self.native.account(address)
        return None if found is None else Account(*found)

    def has_storage(self, address: Address) -> bool:
        return self.storage_root(address) != EMPTY_ROOT


@dataclass(frozen=True, slots=True)
class NativePrepared:
    """A diff on top of a block, with its root and new trie nodes, in Rust."""

    root: Hash32
    parent_hash: Hash32
    native: Any


class NativeState:
    """Implements `types.storage.StateStore` in Rust; the methods are explained in its Python twin, `store.state.LayeredState`."""

    def __init__(
        self,
        kv: NativeKeyValue,
        history_state: int = HISTORY_STATE,
        history_proofs: int = HISTORY_PROOFS,
        layers: int = LAYERS,
        side_layers: int = SIDE_LAYERS,
        side_bytes: int = SIDE_BYTES,
    ) -> None:
        self._kv = kv
        self._limits = (history_state, history_proofs, layers, side_layers, side_bytes)
        self.reload()

    def reload(self) -> None:
        native = _native.State(self._kv.native, *self._limits)
        for warning in native.warnings:
            log.warning("%s", warning)
        if count := native.layer_count():
            log.info("loaded %d blocks above the base at %d", count, native.base()[0])
        self.native = native
        self.has: Callable[[Hash32], bool] = native.has

    @property
    def base(self) -> tuple[BlockNumber, Hash32]:
        return self.native.base()  # type: ignore[no-any-return]

    @property
    def oldest(self) -> tuple[BlockNumber, BlockNumber]:
        return self.native.oldest()  # type: ignore[no-any-return]

    def view(self, block_hash: Hash32) -> NativeView:
        return NativeView(self.native.view(block_hash))

    def storage_root(self, state: Hash32 | PreparedState, address: Address) -> Hash32:
        if isinstance(state, bytes):
            return self.native.view(state).storage_root(address)  # type: ignore[no-any-return]
        assert isinstance(state, NativePrepared)
        return self.native.prepared_storage_root(state.native, address)  # type: ignore[no-any-return]

    def proof(self, block_hash: Hash32, address: Address, slots: Sequence[int]) -> AccountProof:
        view = self.view(block_hash)
        owner = hash_address(address)
        root = view.storage_root(address)
        nodes = prove(view.node, view.state_root, None, owner.hex())
        storage = tuple((slot, view.storage(address, slot), prove(view.node, root, owner, hash_slot(slot).hex())) for slot in slots)
        return AccountProof(address, view.account(address), root, nodes, storage)

    def prepare(self, parent_hash: Hash32, diff: StateDiff) -> NativePrepared:
        prepared = self.native.prepare(parent_hash, diff.native if isinstance(diff, InNativeCore) else _to_native(diff))
        return NativePrepared(prepared.root, parent_hash, prepared)

    def push(self, batch: Batch, block: Block, prepared: PreparedState) -> None:
        assert isinstance(prepared, NativePrepared)
        for key, value in self.native.rows(block.number, block.hash, prepared.native):
            batch.put(key, value)

    def attach(self, block: Block, prepared: PreparedState) -> None:
        assert isinstance(prepared, NativePrepared)
        self.native.attach(block.number, block.hash, prepared.native)

    def set_head(self, path: Sequence[Header]) -> None:
        if path:
            self.native.set_head(path[-1].hash)


def _to_native(diff: StateDiff) -> Any:
    """A diff from Python as a Rust object."""
    return _native.diff_from_row(encode_diff(ZERO_HASH, ZERO_HASH, diff), list(diff.codes.items()))
