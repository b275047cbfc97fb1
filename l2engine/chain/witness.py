"""Execution witnesses: all that executing one block on its parent's state reads, so that it can be executed from nothing else.

A view that remembers what it was asked shows what execution read; the trie nodes on the way there are the witness, together
with the nodes beside deleted keys, which a trie pulls up. Fields and their form are those of reth's debug_executionWitness,
which kona reads too. Since other executors read a little more (all fee slots, the vaults, access lists, the code of accounts
that a failing call names), a witness holds that as well.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from l2engine.chain.payload import draft_block
from l2engine.chain.process import block_env
from l2engine.errors import DecodeError, InvalidBlock, InvalidTransaction, StateUnavailable
from l2engine.evm.executor import Executor
from l2engine.rules.config import ChainConfig
from l2engine.rules.forks import Fork, L1Rules
from l2engine.rules.predeploys import (
    BASE_FEE_VAULT,
    L1_BLOCK,
    L1_FEE_VAULT,
    L2_TO_L1_MESSAGE_PASSER,
    OPERATOR_FEE_VAULT,
    SYSTEM_CALLER,
)
from l2engine.store.blocks import BlockStore
from l2engine.store.layers import hash_address, hash_slot
from l2engine.store.trie import Trie, prove
from l2engine.types.base import EMPTY_CODE_HASH, EMPTY_ROOT, Address, BlockNumber, Hash32
from l2engine.types.block import Block
from l2engine.types.execution import NO_DEADLINE, Deadline
from l2engine.types.header import Header
from l2engine.types.payload import PayloadAttributes
from l2engine.types.state import Account, StateDiff, TrieView
from l2engine.types.storage import StateStore
from l2engine.types.transaction import DEPOSIT_TYPE
from l2engine.types.transaction_codec import decode_transaction
from l2engine.types.transactions import Transactions

_FEE_SLOTS = (1, 3, 5, 6, 7, 8)  # of L1Block: every fork's fees come from some of them


@dataclass(frozen=True, slots=True)
class ExecutionWitness:
    """The part of its parent's state that one block reads."""

    state: tuple[bytes, ...]
    """RLP trie nodes, in no particular order."""
    codes: tuple[bytes, ...]
    """Code that is run or looked at."""
    keys: tuple[bytes, ...]
    """Addresses, each followed by its slots (32 bytes): the preimages of the hashed keys in the tries."""
    headers: tuple[bytes, ...]
    """RLP of the parent and of as many ancestors as BLOCKHASH asks for, the oldest first."""


class RecordingView:
    """A `StateView` that records every read."""

    def __init__(self, view: TrieView) -> None:
        self.view = view
        self.slots: dict[Address, dict[int, None]] = {}
        """The slots asked for, under every account asked for; dictionaries because they keep the order."""
        self.codes: dict[Hash32, bytes] = {}
        self.oldest: BlockNumber | None = None
        """The lowest block whose hash was asked for."""

    def account(self, address: Address) -> Account | None:
        self.slots.setdefault(address, {})
        return self.view.account(address)

    def storage(self, address: Address, slot: int) -> int:
        self.slots.setdefault(address, {})[slot] = None
        return self.view.storage(address, slot)

    def has_storage(self, address: Address) -> bool:
        self.slots.setdefault(address, {})
        return self.view.has_storage(address)

    def code(self, code_hash: Hash32) -> bytes:
        code = self.codes[code_hash] = self.view.code(code_hash)
        return code

    def block_hash(self, number: BlockNumber) -> Hash32 | None:
        found = self.view.block_hash(number)
        if found is not None:
            self.oldest = number if self.oldest is None else min(self.oldest, number)
        return found

    def touch(self, address: Address, slots: Iterable[int] = ()) -> None:
        """Record a read that another executor will do."""
        self.slots.setdefault(address, {}).update(dict.fromkeys(slots))


class Witnesses:
    """Makes witnesses on the kept state of one chain. `StateUnavailable` where the parent's state or its trie is not kept."""

    def __init__(self, config: ChainConfig, state: StateStore, blocks: BlockStore) -> None:
        self._config, self._state, self._blocks = config, state, blocks

    def of_block(self, executors: Sequence[Executor], parent: Header, block: Block, deadline: Deadline = NO_DEADLINE) -> ExecutionWitness:
        """The witness of a block: what each of the executors reads, taken together. `ExecutionTimeout` past `deadline`."""
        return self._witness(executors, parent, [block], deadline)

    def of_attributes(
        self, executor: Executor, parent: Header, attributes: PayloadAttributes, deadline: Deadline = NO_DEADLINE
    ) -> ExecutionWitness:
        """The witness of the block that these attributes, without the pool, make on `parent`. When one of the transactions
        is invalid, the deposits are tried alone (Holocene): the witness is enough for both. `ExecutionTimeout` past `deadline`."""
        block = draft_block(self._config, parent, attributes)
        deposits = tuple(raw for raw in block.transactions if raw[:1] == bytes([DEPOSIT_TYPE]))
        drafts = [block, Block(block.header, Transactions(deposits), (), block.withdrawals)]
        return self._witness([executor], parent, drafts if len(deposits) < len(block.transactions) else drafts[:1], deadline)

    def _witness(self, executors: Sequence[Executor], parent: Header, blocks: Sequence[Block], deadline: Deadline) -> ExecutionWitness:
        recorded = RecordingView(self._state.view(parent.hash))
        runs = [(executor, block) for block in blocks for executor in executors]
        diffs = [diff for executor, block in runs if (diff := self._execute(executor, recorded, parent, block, deadline))]
        for block in blocks:
            self._touch_what_others_read(recorded, block)
        for diff in diffs:
            for address, change in diff.accounts.items():
                recorded.touch(address, change.storage)
        state = _nodes(recorded, diffs, deadline)
        keys = [key for address, slots in recorded.slots.items() for key in (address, *(slot.to_bytes(32, "big") for slot in slots))]
        return ExecutionWitness(state, tuple(recorded.codes.values()), tuple(keys), self._headers(parent, recorded.oldest))

    def _execute(self, executor: Executor, view: RecordingView, parent: Header, block: Block, deadline: Deadline) -> StateDiff | None:
        """The block's state changes, leaving out invalid transactions; None if the block is invalid even then."""
        try:
            env = block_env(self._config, block, parent)
            execution = executor.begin(view, env, lambda diff: self._state.prepare(parent.hash, diff).root)
            for raw in block.transactions:
                with suppress(InvalidTransaction, DecodeError):
                    execution.apply(raw, None, deadline)
            return execution.finish().diff
        except InvalidBlock:
            return None

    def _touch_what_others_read(self, recorded: RecordingView, block: Block) -> None:
        fork = self._config.fork_at(block.number, block.header.timestamp)
        fixed = _fixed_reads(fork, block.header.beneficiary)
        for address in [address for address in recorded.slots if address not in fixed]:
            account = recorded.view.account(address)
            if account is not None and account.code_hash != EMPTY_CODE_HASH:
                recorded.code(account.code_hash)
        for address, slots in fixed.items():
            recorded.touch(address, slots)
        for raw in block.transactions:
            try:
                tx = decode_transaction(raw)
            except DecodeError:
                continue
            for address, keys in tx.access_list:
                recorded.touch(address, (int.from_bytes(key, "big") for key in keys))

    def _headers(self, parent: Header, oldest: BlockNumber | None) -> tuple[bytes, ...]:
        headers = [parent]
        while oldest is not None and headers[-1].number > oldest:
            header = self._blocks.header(headers[-1].parent_hash)
            if header is None:
                raise StateUnavailable(f"the header of block {headers[-1].number - 1} is not kept")
            headers.append(header)
        return tuple(header.encode() for header in reversed(headers))


def _fixed_reads(fork: Fork, beneficiary: Address) -> Mapping[Address, Sequence[int]]:
    """Accounts and slots that at least one executor reads in every block of a fork."""
    reads: dict[Address, Sequence[int]] = {beneficiary: ()}
    if fork.has(L1Rules.CANCUN):
        reads[SYSTEM_CALLER] = ()
    if fork.is_optimism:
        reads |= dict.fromkeys((L2_TO_L1_MESSAGE_PASSER, BASE_FEE_VAULT, L1_FEE_VAULT, OPERATOR_FEE_VAULT), ())
        reads[L1_BLOCK] = _FEE_SLOTS
    return reads


def _nodes(recorded: RecordingView, diffs: Iterable[StateDiff], deadline: Deadline) -> tuple[bytes, ...]:
    """The nodes on the way to everything recorded, and those that deleting what the diffs delete pulls up."""
    view = recorded.view
    read: dict[bytes, bytes | None] = {}

    def node(key: bytes) -> bytes | None:
        if key not in read:
            deadline.check()
            read[key] = view.node(key)
        return read[key]

    for address, slots in recorded.slots.items():
        owner = hash_address(address)
        prove(node, view.state_root, None, owner.hex())
        root = view.storage_root(address)
        for slot in slots:
            prove(node, root, owner, hash_slot(slot).hex())
    for diff in diffs:
        _delete(node, view, diff)
    return tuple(dict.fromkeys(raw for raw in read.values() if raw is not None))


def _delete(node: Callable[[bytes], bytes | None], view: TrieView, diff: StateDiff) -> None:
    """Take the deleted keys, and nothing else, out of the tries: no order of a block's changes reads more than this and the
    way to each key, since a key that is set meanwhile only keeps branches from shrinking."""
    gone = []
    for address, change in diff.accounts.items():
        if change.account is None:
            gone.append((hash_address(address).hex(), b""))
        elif not change.destroyed and (root := view.storage_root(address)) != EMPTY_ROOT:
            cleared = sorted((hash_slot(slot).hex(), b"") for slot, value in change.storage.items() if not value)
            Trie(node, root, hash_address(address)).update(cleared)
    Trie(node, view.state_root).update(sorted(gone))
