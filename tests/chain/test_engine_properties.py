"""Any order of payloads and forkchoices over a tree of blocks, with restarts between: verdicts, canonical indexes and states
are those of a model that knows the tree's links and what each block paid.
"""

from functools import cache

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from l2engine.chain.engine import Engine
from l2engine.errors import InvalidForkchoice
from l2engine.store.kv import MemoryKeyValue
from l2engine.types.base import keccak
from l2engine.types.block import Block
from l2engine.types.payload import Status
from tests.helpers.dev_chain import Forge, document, forkchoice, funded, open_engine, spoiled, submit

GENESIS = document()
PARENTS = (-1, 0, 1, 2, 3, 4, 2, 6, 7, 8, 9, 0, 11, 12, 7, 14)
"""The tree: the index of each block's parent, -1 for the genesis. The trunk is six long; branches leave from 2, 0 and 7."""


@cache
def tree() -> tuple[tuple[Block, ...], tuple[int, ...]]:
    """The blocks, and what the sink holds after each: every block pays it a different amount."""
    forge = Forge(GENESIS)
    blocks: list[Block] = []
    paid: list[int] = []
    for index, parent in enumerate(PARENTS):
        number = 0 if parent < 0 else blocks[parent].number
        raw = funded("alice").sign(to=sink(), value=1 << index, nonce=number)
        blocks.append(forge.block(forge.genesis if parent < 0 else blocks[parent].header, raw))
        paid.append((0 if parent < 0 else paid[parent]) + (1 << index))
    return tuple(blocks), tuple(paid)


def sink() -> bytes:
    return b"\x51" * 20


def ancestry(index: int) -> list[int]:
    """A block's index and its ancestors', the genesis as -1 at the end."""
    line = [index]
    while line[-1] >= 0:
        line.append(PARENTS[line[-1]])
    return line


indexes = st.integers(0, len(PARENTS) - 1)


class Chain(RuleBasedStateMachine):
    @initialize(layers=st.integers(1, 4))
    def begin(self, layers: int) -> None:
        self.blocks, self.paid = tree()
        self.kv, self.layers = MemoryKeyValue(), layers
        self.engine: Engine = open_engine(GENESIS, self.kv, layers=layers)
        self.genesis = self.engine.head
        self.known: set[int] = {-1}
        self.head = -1
        self.labels: dict[str, int | None] = {"safe": None, "finalized": None}

    @rule(index=indexes)
    def submit(self, index: int) -> None:
        status = submit(self.engine, self.blocks[index])
        if index in self.known or PARENTS[index] in self.known:
            self.known.add(index)
            assert (status.status, status.latest_valid_hash) == (Status.VALID, self.blocks[index].hash)
        else:
            assert (status.status, status.latest_valid_hash) == (Status.SYNCING, None)

    @rule(index=indexes)
    def submit_spoiled(self, index: int) -> None:
        status = submit(self.engine, spoiled(self.blocks[index], state_root=keccak(b"%d" % index)))
        parent = PARENTS[index]
        if parent in self.known:
            assert (status.status, status.latest_valid_hash) == (Status.INVALID, self.hash_of(parent))
        else:
            assert status.status is Status.SYNCING

    @rule(index=indexes, safe=st.none() | indexes, finalized=st.none() | indexes)
    def choose(self, index: int, safe: int | None, finalized: int | None) -> None:
        wanted = {"safe": safe, "finalized": finalized}
        state = forkchoice(
            self.blocks[index].header,
            None if safe is None else self.blocks[safe].header,
            None if finalized is None else self.blocks[finalized].header,
        )
        if index not in self.known:
            assert self.engine.forkchoice_updated(state).payload_status.status is Status.SYNCING
            return
        is_old = index in ancestry(self.head)
        allowed = ancestry(self.head if is_old else index)
        try:
            result = self.engine.forkchoice_updated(state)
        except InvalidForkchoice:
            assert any(label is not None and label not in allowed for label in wanted.values())
            return
        assert all(label is None or label in allowed for label in wanted.values())
        assert (result.payload_status.status, result.payload_status.latest_valid_hash) == (Status.VALID, self.blocks[index].hash)
        self.head = self.head if is_old else index
        self.labels |= {name: label for name, label in wanted.items() if label is not None}

    @rule()
    def restart(self) -> None:
        self.engine = open_engine(GENESIS, self.kv, layers=self.layers)

    def hash_of(self, index: int) -> bytes:
        return self.genesis.hash if index < 0 else self.blocks[index].hash

    @invariant()
    def canonical_chain_is_the_heads(self) -> None:
        engine = self.engine
        line = ancestry(self.head)
        assert engine.head.hash == self.hash_of(self.head)
        assert [engine.blocks.canonical_hash(number) for number in range(len(line) + 1)] == [*map(self.hash_of, reversed(line)), None]
        for index, block in enumerate(self.blocks):
            place = (block.hash, 1) if index in line else None
            assert engine.blocks.transaction_location(keccak(block.transactions[1])) == place
        labels = {"safe": engine.safe, "finalized": engine.finalized}
        assert labels == {name: None if index is None else self.blocks[index].header for name, index in self.labels.items()}

    @invariant()
    def states_of_the_canonical_chain_can_be_read_and_proved(self) -> None:
        for index in ancestry(self.head):
            account = self.engine.state.view(self.hash_of(index)).account(sink())
            assert (account.balance if account else 0) == (0 if index < 0 else self.paid[index])
            proof = self.engine.state.proof(self.hash_of(index), sink(), ())
            assert keccak(proof.nodes[0]) == (self.genesis if index < 0 else self.blocks[index].header).state_root


TestChain = Chain.TestCase
TestChain.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
