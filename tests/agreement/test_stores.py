"""The two stores side by side: after every block, forkchoice, reorg and restart the same answers and the same bytes."""

from typing import Any, ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import invariant, rule

from l2engine.store.blocks import BlockStore
from l2engine.store.kv import MemoryKeyValue
from l2engine.store.native import NativeKeyValue, NativeState
from l2engine.store.state import LayeredState
from l2engine.types.block import Block
from l2engine.types.storage import Batch
from tests.store import test_state
from tests.store.test_state import Node


class Both:
    """A key-value store that is two: reads come from the Python one, writes go to both."""

    def __init__(self) -> None:
        self.stores = (MemoryKeyValue(), NativeKeyValue(None))
        self.get, self.iterate, self.snapshot = self.stores[0].get, self.stores[0].iterate, self.stores[0].snapshot

    def batch(self) -> "BothBatches":
        return BothBatches([store.batch() for store in self.stores])

    def dumps(self) -> list[list[tuple[bytes, bytes]]]:
        return [list(store.iterate(b"", b"\xff")) for store in self.stores]


class BothBatches:
    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def put(self, key: bytes, value: bytes) -> None:
        for batch in self.batches:
            batch.put(key, value)

    def delete(self, key: bytes) -> None:
        for batch in self.batches:
            batch.delete(key)

    def write(self, sync: bool = False) -> None:
        for batch in self.batches:
            batch.write(sync)


class BothNodes(Node):
    """Each change goes to both states; what is read is the native one's."""

    def __init__(self, kv: Both, **windows: int) -> None:
        self.kv = kv
        self.blocks = BlockStore(kv)
        python, native = kv.stores
        self.python, self.state = LayeredState(python, **windows), NativeState(native, **windows)

    def execute(self, parent: Block, after: Any, diff: Any, salt: int) -> Block:
        prepared = [state.prepare(parent.hash, diff) for state in (self.python, self.state)]
        root = test_state.state_root(after)
        assert [one.root for one in prepared] == [root, root]
        block = test_state.make_block(parent.header, root, salt)
        batch = self.kv.batch()
        self.blocks.put(batch, block, ())
        for state, one, into in zip((self.python, self.state), prepared, batch.batches, strict=True):
            state.push(into, block, one)
        batch.write()
        for state, one in zip((self.python, self.state), prepared, strict=True):
            state.attach(block, one)
        return block

    def forkchoice(self, removed: list[Block], added: list[Block], finalized: bytes | None = None) -> None:
        batch = self.kv.batch()
        self.blocks.set_canonical(batch, removed, added)
        self.blocks.set_markers(batch, head=added[-1].hash if added else None, finalized=finalized)
        batch.write()
        for state in (self.python, self.state):
            state.set_head([block.header for block in added])


class Stores(test_state.Chains):
    """The random walk of the Python store's own test, on both stores."""

    @invariant()
    def both_hold_the_same_bytes(self) -> None:
        if hasattr(self, "node"):
            python, native = self.kv.dumps()
            assert python == native
            assert self.node.python.base == self.node.state.base
            assert self.node.python.oldest == self.node.state.oldest


class CrowdedStores(Stores):
    """With room for only a few dropped blocks."""

    windows: ClassVar = {**Stores.windows, "side_layers": 3}

    @rule()
    def restart(self) -> None:
        """A start may drop blocks that the next move of the head would have dropped."""
        kept = {block_hash for block_hash in self.known if self.node.state.has(block_hash)}
        self.node = BothNodes(self.kv, **self.windows)
        assert kept >= {block_hash for block_hash in self.known if self.node.state.has(block_hash)}


@pytest.mark.parametrize("machine", [Stores, CrowdedStores])
def test_stores_agree(machine: type[Stores], monkeypatch: pytest.MonkeyPatch) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    monkeypatch.setattr(test_state, "MemoryKeyValue", Both)
    monkeypatch.setattr(test_state, "Node", BothNodes)
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    run_state_machine_as_test(machine, settings=settings(max_examples=15, stateful_step_count=15, deadline=None, phases=phases))
