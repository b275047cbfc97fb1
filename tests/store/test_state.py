"""State, history and proofs at every kept block, compared with a naive model over random trees of blocks, forkchoices and restarts."""

import random
from dataclasses import dataclass
from typing import ClassVar

import pytest
import rlp
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from trie import HexaryTrie

from l2engine.errors import StateUnavailable
from l2engine.store.blocks import BlockStore
from l2engine.store.genesis import write_genesis
from l2engine.store.kv import MemoryKeyValue
from l2engine.store.state import LayeredState
from l2engine.types.base import EMPTY_ROOT, encode_int, keccak
from l2engine.types.block import Block
from tests.store.model import ADDRESSES, SLOTS, ModelAccount, State, make_block, random_diff, state_root, storage_root

LAYERS = 3
HISTORY = 12
PROOFS = 6


@dataclass
class Known:
    """A block of the model."""

    block: Block
    state: State
    parent: bytes


class Node:
    """The part of an engine that the store sees: one batch per acknowledgement, base moves afterwards."""

    def __init__(self, kv: MemoryKeyValue, **windows: int) -> None:
        self.kv = kv
        self.blocks = BlockStore(kv)
        self.state = LayeredState(kv, **windows)

    def execute(self, parent: Block, after: State, diff, salt: int) -> Block:
        prepared = self.state.prepare(parent.hash, diff)
        assert prepared.root == state_root(after)
        block = make_block(parent.header, prepared.root, salt)
        batch = self.kv.batch()
        self.blocks.put(batch, block, ())
        self.state.push(batch, block, prepared)
        batch.write()
        self.state.attach(block, prepared)
        return block

    def forkchoice(self, removed: list[Block], added: list[Block], finalized: bytes | None = None) -> None:
        batch = self.kv.batch()
        self.blocks.set_canonical(batch, removed, added)
        self.blocks.set_markers(batch, head=added[-1].hash if added else None, finalized=finalized)
        batch.write()
        self.state.set_head([block.header for block in added])


def assert_state(node: Node, known: Known, slots=SLOTS) -> None:
    """All that can be read of one block's state equals the model."""
    view = node.state.view(known.block.hash)
    for address in ADDRESSES:
        account, model = view.account(address), known.state.get(address)
        assert (account is None) == (model is None)
        if account and model:
            assert (account.nonce, account.balance, account.code_hash) == (model.nonce, model.balance, model.code_hash)
            assert view.code(account.code_hash) == model.code
        for slot in slots:
            assert view.storage(address, slot) == (model.storage.get(slot, 0) if model else 0)


def assert_proofs(node: Node, known: Known, address: bytes) -> None:
    """The block's proofs of one account and its slots hold against the header's root, by the `trie` package."""
    proof = node.state.proof(known.block.hash, address, SLOTS)
    model = known.state.get(address)
    leaf = prove_with_trie(known.block.header.state_root, keccak(address), proof.nodes)
    root = storage_root(model.storage) if model else EMPTY_ROOT
    assert proof.storage_root == root
    if model is None:
        assert leaf == b""
    else:
        assert rlp.decode(leaf) == [encode_int(model.nonce), encode_int(model.balance), root, model.code_hash]
    for slot, value, nodes in proof.storage:
        expected = model.storage.get(slot, 0) if model else 0
        assert value == expected
        if root != EMPTY_ROOT:
            leaf = prove_with_trie(root, keccak(slot.to_bytes(32, "big")), nodes)
            assert leaf == (rlp.encode(encode_int(expected)) if expected else b"")


def prove_with_trie(root: bytes, key: bytes, nodes: tuple[bytes, ...]) -> bytes:
    if root == EMPTY_ROOT:
        return b""
    return HexaryTrie.get_from_proof(root, key, [rlp.decode(node) for node in nodes])


class Chains(RuleBasedStateMachine):
    """Random trees, heads, restarts; each block once executed either answers like the model or is refused."""

    windows: ClassVar = {"layers": LAYERS, "history_state": HISTORY, "history_proofs": PROOFS}

    @initialize(seed=st.integers(0, 2**32))
    def genesis(self, seed: int) -> None:
        self.rng = random.Random(seed)
        alloc = {address: ModelAccount(0, 5, b"\x01" * i, {1: i} if i else {}) for i, address in enumerate(ADDRESSES[:6])}
        block = make_block(None, state_root(alloc), 0)
        self.kv = MemoryKeyValue()
        write_genesis(self.kv, block, alloc, b"{}")
        self.node = Node(self.kv, **self.windows)
        self.known = {block.hash: Known(block, alloc, b"")}
        self.head = self.finalized = block
        self.canonical = [block]
        self.salt = 0

    def _extend(self, parent: Known) -> Block:
        after, diff = random_diff(parent.state, self.rng)
        self.salt += 1
        block = self.node.execute(parent.block, after, diff, self.salt)
        self.known[block.hash] = Known(block, after, parent.block.hash)
        return block

    def _switch(self, head: Block) -> None:
        path = []
        block = head
        while block not in self.canonical:
            path.append(block)
            block = self.known[block.header.parent_hash].block
        at = self.canonical.index(block) + 1
        removed, self.canonical[at:] = self.canonical[at:], reversed(path)
        self.node.forkchoice(removed, self.canonical[at:])
        self.head = self.canonical[-1]

    @rule(count=st.integers(1, 6))
    def grow(self, count: int) -> None:
        for _ in range(count):
            self._switch(self._extend(self.known[self.head.hash]))

    @rule(back=st.integers(0, 14), count=st.integers(1, 5), enter=st.booleans())
    def branch(self, back: int, count: int, enter: bool) -> None:
        """Blocks beside the canonical chain, on a parent that may lie below the base; then perhaps a reorg to them."""
        parent = self.canonical[max(len(self.canonical) - 1 - back, self.finalized.number)]
        if parent.number < self.node.state.oldest[1]:
            return
        for _ in range(count):
            parent = self._extend(self.known[parent.hash])
        if enter:
            self._switch(parent)

    @rule(pick=st.randoms(use_true_random=False))
    def reorg_to_any(self, pick: random.Random) -> None:
        """Back to some branch that is still kept and leaves the chain above finality."""
        choices = []
        for known in self.known.values():
            fork = known.block
            while fork not in self.canonical:
                fork = self.known[fork.header.parent_hash].block
            if known.block is not fork and fork.number >= self.finalized.number and self.node.state.has(known.block.hash):
                choices.append(known.block)
        if choices:
            self._switch(pick.choice(choices))

    @rule(lag=st.integers(0, 10))
    def finalize(self, lag: int) -> None:
        number = max(self.finalized.number, self.head.number - lag)
        self.finalized = self.canonical[number]
        batch = self.kv.batch()
        self.node.blocks.set_markers(batch, finalized=self.finalized.hash)
        batch.write()

    @rule()
    def restart(self) -> None:
        kept = {block_hash for block_hash in self.known if self.node.state.has(block_hash)}
        self.node = Node(self.kv, **self.windows)
        assert kept == {block_hash for block_hash in self.known if self.node.state.has(block_hash)}

    @rule()
    def old_views_do_not_move(self) -> None:
        known = self.known[self.head.hash]
        view = self.node.state.view(known.block.hash)
        self.grow(LAYERS + 2)
        for address in ADDRESSES:
            model = known.state.get(address)
            account = view.account(address)
            assert (account.balance if account else None) == (model.balance if model else None)
            assert view.storage(address, 1) == (model.storage.get(1, 0) if model else 0)

    @invariant()
    def kept_blocks_equal_the_model(self) -> None:
        if not hasattr(self, "node"):
            return
        state = self.node.state
        oldest_state, oldest_proofs = state.oldest
        for block in self.canonical:
            assert state.has(block.hash) == (block.number >= oldest_state)
        assert oldest_state <= self.finalized.number
        for known in self.known.values():
            if not state.has(known.block.hash):
                with pytest.raises(StateUnavailable):
                    state.view(known.block.hash)
                continue
            assert_state(self.node, known)
            address = self.rng.choice(ADDRESSES)
            if known.block.number >= oldest_proofs:
                assert_proofs(self.node, known, address)
            elif known.block in self.canonical:
                with pytest.raises(StateUnavailable):
                    state.proof(known.block.hash, address, [])


TestChains = Chains.TestCase
TestChains.settings = settings(max_examples=20, stateful_step_count=20, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
