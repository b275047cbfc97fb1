"""Proofs stay right through reorgs, pruning and restarts: each is verified against its block's header by the `trie` library, and is
always the same bytes.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import rlp
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from trie import HexaryTrie

from genesis import loader
from l2engine.chain.engine import Engine
from l2engine.chain.events import Events
from l2engine.chain.pool import Pool
from l2engine.errors import StateUnavailable
from l2engine.evm.reference.machine import ReferenceExecutor
from l2engine.rules.config import chain_config
from l2engine.store.blocks import BlockStore
from l2engine.store.genesis import write_genesis
from l2engine.store.kv import MemoryKeyValue
from l2engine.store.state import LayeredState
from l2engine.types.base import EMPTY_CODE_HASH, EMPTY_ROOT, keccak
from l2engine.types.block import Block
from l2engine.types.payload import Status
from l2engine.types.storage import AccountProof, KeyValue
from tests.conformance.families import needs_native
from tests.helpers.dev_chain import Forge, document, forkchoice, funded, submit

STORE = b"\x57" * 20
"""A contract that stores its calldata's second word in the slot that the first names."""
STORE_CODE = bytes.fromhex("602035600035 55 00".replace(" ", ""))
SLOTS = (0, 1, 2, 255, 1 << 255)
PARENTS = (-1, 0, 1, 2, 3, 4, 5, 6, 7, 1, 9, 10, 11, 4, 13, 14)
"""The tree: the index of each block's parent, -1 for the genesis. The trunk is nine long; branches leave from 1 and 4."""
HISTORY_STATE, HISTORY_PROOFS, LAYERS = 5, 3, 2


@cache
def genesis() -> dict[str, Any]:
    found = document()
    found["alloc"]["0x" + STORE.hex()] = {"balance": "0x0", "code": "0x" + STORE_CODE.hex(), "storage": {"0x" + "00" * 32: "0x7"}}
    return found


@cache
def tree() -> tuple[tuple[Block, ...], tuple[dict[int, int], ...]]:
    """The blocks, and the contract's slots after each. A block writes two slots, often over others or back to zero, and pays an
    account that may be new."""
    forge = Forge(genesis())
    blocks: list[Block] = []
    stored: list[dict[int, int]] = []
    nonces: list[int] = []
    for index, parent in enumerate(PARENTS):
        nonce = 0 if parent < 0 else nonces[parent]
        slots = dict({0: 7} if parent < 0 else stored[parent])
        writes = {SLOTS[index % 5]: index + 1, SLOTS[(index * 3 + 1) % 5]: 0 if index % 2 else index << 200}
        raws = [
            funded("alice").sign(to=STORE, data=slot.to_bytes(32, "big") + value.to_bytes(32, "big"), gas=100_000, nonce=nonce + i)
            for i, (slot, value) in enumerate(writes.items())
        ]
        raws.append(funded("alice").sign(to=payee(index), value=1 + index, nonce=nonce + len(writes)))
        blocks.append(forge.block(forge.genesis if parent < 0 else blocks[parent].header, *raws))
        stored.append(slots | writes)
        nonces.append(nonce + len(raws))
    return tuple(blocks), tuple(stored)


def payee(index: int) -> bytes:
    return keccak(b"payee %d" % (index % 6))[:20]


def ancestry(index: int) -> list[int]:
    line = [index]
    while line[-1] >= 0:
        line.append(PARENTS[line[-1]])
    return line


ADDRESSES = (STORE, payee(0), payee(3), b"\x99" * 20)
indexes = st.integers(0, len(PARENTS) - 1)


class Chain(RuleBasedStateMachine):
    """An engine with short windows, fed a tree of blocks in any order."""

    make_store: Callable[[], KeyValue]
    open_engine: Callable[[KeyValue], Engine]

    @initialize()
    def begin(self) -> None:
        self.blocks, self.stored = tree()
        self.kv = self.make_store()
        self.engine = self.open_engine(self.kv)
        self.head, self.highest, self.genesis = -1, 0, self.engine.head
        self.proofs: dict[tuple[bytes, bytes], AccountProof] = {}

    @rule(index=indexes)
    def submit(self, index: int) -> None:
        submit(self.engine, self.blocks[index])

    @rule(index=indexes, finalize=st.booleans())
    def choose(self, index: int, finalize: bool) -> None:
        """Feed a block with its ancestors and make it the head."""
        for ancestor in reversed(ancestry(index)[:-1]):
            submit(self.engine, self.blocks[ancestor])
        finalized = self.blocks[PARENTS[index]].header if finalize and PARENTS[index] >= 0 else None
        if self.engine.finalized is not None and self.engine.finalized.number > self.blocks[index].number:
            return
        if finalized is not None and self.engine.finalized is not None and not self._descends(index):
            return
        result = self.engine.forkchoice_updated(forkchoice(self.blocks[index].header, finalized, finalized))
        if result.payload_status.status is Status.SYNCING:
            assert self.highest - LAYERS - HISTORY_PROOFS > self._fork_number(index)
            return
        self.head = self._index_of(self.engine.head.hash)

    @rule()
    def restart(self) -> None:
        self.engine = self.open_engine(self.kv)

    def _descends(self, index: int) -> bool:
        final = self.engine.finalized
        return final is not None and any(i >= 0 and self.blocks[i].hash == final.hash for i in ancestry(index))

    def _fork_number(self, index: int) -> int:
        """The number of the block at which a branch leaves the canonical chain."""
        line = ancestry(self.head)
        return next((self.blocks[i].number if i >= 0 else 0) for i in ancestry(index) if i in line)

    def _index_of(self, block_hash: bytes) -> int:
        return next((i for i, block in enumerate(self.blocks) if block.hash == block_hash), -1)

    @invariant()
    def proofs_are_right_or_refused(self) -> None:
        for index, block in enumerate(self.blocks):
            for address in ADDRESSES:
                try:
                    proof = self.engine.state.proof(block.hash, address, SLOTS)
                except StateUnavailable:
                    continue
                seen = self.proofs.setdefault((block.hash, address), proof)
                assert seen == proof
                if seen is proof:
                    check(proof, block.header.state_root)
                    if address == STORE:
                        assert [value for _, value, _ in proof.storage] == [self.stored[index].get(slot, 0) for slot in SLOTS]

    @invariant()
    def the_newest_blocks_can_be_proved(self) -> None:
        """The windows are counted from the highest base that there ever was: going back brings no older nodes back."""
        self.highest = max(self.highest, self.engine.head.number)
        for index in ancestry(self.head):
            number = self.blocks[index].number if index >= 0 else 0
            if number >= self.highest - LAYERS - HISTORY_PROOFS:
                self.engine.state.proof(self.blocks[index].hash if index >= 0 else self.genesis.hash, STORE, SLOTS)


def check(proof: AccountProof, state_root: bytes) -> None:
    """Verify a proof with the `trie` library, account and slots."""
    found = lookup(state_root, keccak(proof.address), proof.nodes)
    account = proof.account
    if account is None:
        assert found == b"" and all(value == 0 for _, value, _ in proof.storage)
        return
    fields = [account.nonce, account.balance, proof.storage_root, account.code_hash or EMPTY_CODE_HASH]
    assert found == rlp.encode(fields)
    for slot, value, nodes in proof.storage:
        raw = lookup(proof.storage_root, keccak(slot.to_bytes(32, "big")), nodes)
        assert (int.from_bytes(rlp.decode(raw), "big") if raw else 0) == value


def lookup(root: bytes, key: bytes, nodes: tuple[bytes, ...]) -> bytes:
    """The value that the proof's nodes give for a key."""
    if root == EMPTY_ROOT:
        assert nodes == ()
        return b""
    return bytes(HexaryTrie.get_from_proof(root, key, [rlp.decode(node) for node in nodes]))


def reference(kv: KeyValue) -> Engine:
    config = chain_config(genesis()["config"])
    return engine(kv, LayeredState(kv, HISTORY_STATE, HISTORY_PROOFS, LAYERS), ReferenceExecutor(config))


def native(kv: KeyValue) -> Engine:
    from l2engine.evm.native.machine import NativeExecutor
    from l2engine.store.native import NativeState

    config = chain_config(genesis()["config"])
    return engine(kv, NativeState(kv, HISTORY_STATE, HISTORY_PROOFS, LAYERS), NativeExecutor(config))


def engine(kv: KeyValue, state: Any, executor: Any) -> Engine:
    config, events = chain_config(genesis()["config"]), Events()
    return Engine(config, kv, BlockStore(kv), state, executor, Pool(config, events=events), events)


def filled(kv: KeyValue) -> KeyValue:
    loaded = loader.load(genesis())
    write_genesis(kv, loaded.block, loaded.alloc, b"{}")
    return kv


def native_store() -> KeyValue:
    from l2engine.store.native import NativeKeyValue

    return filled(NativeKeyValue(None))


@pytest.mark.parametrize("executor", ["reference", pytest.param("native", marks=needs_native)])
def test_proofs_stay_right(executor: str) -> None:

    class Case(Chain):
        make_store = staticmethod(native_store if executor == "native" else lambda: filled(MemoryKeyValue()))
        open_engine = staticmethod(native if executor == "native" else reference)

    run_state_machine_as_test(Case, settings=settings(max_examples=30, stateful_step_count=20, deadline=None))
