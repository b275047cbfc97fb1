"""Blockchain tests of ethereum/tests: a genesis, blocks to accept or refuse, and the head and state that must come out.

Blocks are checked as the engine checks them, on states in memory, and every branch is kept, so that a heavier one can
take over. Proof-of-work seals are not checked. Before the merge the head is the block with most difficulty behind it
(Yellow Paper 5), after it the last valid one.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn, TypeVar, cast

from eth.vm.forks.homestead.headers import dao_drain_list, dao_refund_contract

from l2engine.chain.process import process_block
from l2engine.conformance.statetest import FORKS, Case, Outcome, fork_named
from l2engine.conformance.world import World, from_hex, to_int
from l2engine.errors import DecodeError, InvalidBlock, L2EngineError, UnknownBlock
from l2engine.evm.executor import Executor
from l2engine.rules.config import Activation, ChainConfig
from l2engine.rules.forks import L1Rules
from l2engine.rules.header import validate_header
from l2engine.types.base import BlockNumber, Hash32
from l2engine.types.block import Block, decode_block
from l2engine.types.header import Header
from l2engine.types.state import Account, AccountDiff, StateDiff
from l2engine.types.storage import StateStore
from l2engine.types.tracing import Tracer

T = TypeVar("T")

MAINNET_DEPOSIT_CONTRACT = bytes.fromhex("00000000219ab540356cbb839cbe05303d7705fa")


@dataclass(frozen=True, slots=True)
class BlockTest:
    """One test of a file."""

    name: str
    network: str
    document: Mapping[str, Any]


def read(document: Mapping[str, Any], fork: str | None = None) -> Iterator[BlockTest]:
    """The tests in one file, optionally of one network name only. `DecodeError` for a file of another kind."""
    return (case.load() for case in cases(document, fork))


def cases(document: Mapping[str, Any], fork: str | None = None) -> Iterator[Case]:
    """The tests in one file before they are read. `DecodeError` for a file of another kind; an entry of another kind among blockchain
    tests is a case that cannot be read."""
    if document and not any(map(_is_block_test, document.values())):
        raise DecodeError(f"{next(iter(document))!r} is not a blockchain test")
    for name, test in document.items():
        if not _is_block_test(test):
            yield Case(name, "", partial(_refuse, f"{name!r} is not a blockchain test"))
        elif fork is None or test["network"].lower() == fork.lower():
            yield Case(name, test["network"], partial(BlockTest, name, test["network"], test))


def _is_block_test(test: Any) -> bool:
    return isinstance(test, dict) and isinstance(test.get("network"), str)


def _refuse(words: str) -> NoReturn:
    raise DecodeError(words)


def run(test: BlockTest, executor: Callable[[ChainConfig], Executor], tracer: Tracer | None = None) -> Outcome:
    """Import the test's blocks and compare. Raises only for a test that is malformed."""
    document = test.document
    genesis = _genesis(document)
    world = World.from_json(document["pre"], lambda number: None)
    if genesis.hash != from_hex(document["genesisBlockHeader"]["hash"]) or world.root != genesis.state_root:
        return Outcome(test.name, test.network, False, world.root, "genesis differs")
    chain = Chain(network(test.network), executor, Node(genesis, world, genesis.difficulty), tracer)
    for index, entry in enumerate(document["blocks"]):
        expected = next((value for key, value in entry.items() if key.startswith("expectException")), None)
        try:
            chain.add(from_hex(entry["rlp"]))
        except L2EngineError as error:
            if expected is None:
                return Outcome(test.name, test.network, False, None, f"block {index} refused: {type(error).__name__}: {error}")
        else:
            if expected is not None:
                return Outcome(test.name, test.network, False, None, f"block {index} must be refused: {expected}")
    return _compare(test, chain.head)


def _genesis(document: Mapping[str, Any]) -> Header:
    """Block 0's header, from its bytes or, in files of evmone's, from its fields."""
    encoded = from_hex(document.get("genesisRLP") or "0x")
    return decode_block(encoded).header if encoded else _header(document["genesisBlockHeader"])


def _header(fields: Mapping[str, Any]) -> Header:
    number, data = _optional(to_int, fields), _optional(from_hex, fields)
    return Header(
        parent_hash=from_hex(fields["parentHash"]),
        ommers_hash=from_hex(fields["uncleHash"]),
        beneficiary=from_hex(fields["coinbase"]),
        state_root=from_hex(fields["stateRoot"]),
        transactions_root=from_hex(fields["transactionsTrie"]),
        receipts_root=from_hex(fields["receiptTrie"]),
        logs_bloom=from_hex(fields["bloom"]),
        difficulty=to_int(fields["difficulty"]),
        number=to_int(fields["number"]),
        gas_limit=to_int(fields["gasLimit"]),
        gas_used=to_int(fields["gasUsed"]),
        timestamp=to_int(fields["timestamp"]),
        extra_data=from_hex(fields["extraData"]),
        prev_randao=from_hex(fields["mixHash"]),
        nonce=from_hex(fields["nonce"]),
        base_fee_per_gas=number("baseFeePerGas"),
        withdrawals_root=data("withdrawalsRoot"),
        blob_gas_used=number("blobGasUsed"),
        excess_blob_gas=number("excessBlobGas"),
        parent_beacon_block_root=data("parentBeaconBlockRoot"),
        requests_hash=data("requestsHash"),
    )


def _optional(read: Callable[[str], T], fields: Mapping[str, Any]) -> Callable[[str], T | None]:
    """Reads a field by name; None when it is absent."""
    return lambda name: None if fields.get(name) is None else read(fields[name])


def _compare(test: BlockTest, head: "Node") -> Outcome:
    expected = from_hex(test.document["lastblockhash"])
    if head.header.hash != expected:
        return Outcome(test.name, test.network, False, None, f"head is {head.header.hash.hex()}, not {expected.hex()}")
    root = head.header.state_root
    if "postState" in test.document:
        post = World.from_json(test.document["postState"], lambda number: None).root
    else:
        post = from_hex(test.document["postStateHash"])
    if post != root:
        return Outcome(test.name, test.network, False, root, f"state root {root.hex()}, not {post.hex()}")
    return Outcome(test.name, test.network, True, root)


# ---- the chain ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Node:
    """A valid block, with the state after it."""

    header: Header
    world: World
    total_difficulty: int
    ommer_hashes: tuple[Hash32, ...] = ()


class Chain:
    """All valid blocks of one test, by hash; a `StateStore` as far as processing a block needs one."""

    def __init__(self, rules: "Network", executor: Callable[[ChainConfig], Executor], genesis: Node, tracer: Tracer | None = None) -> None:
        self._rules, self._executor, self._tracer = rules, executor, tracer
        self._nodes = {genesis.header.hash: genesis}
        self._parent_state = genesis.world
        self.head = genesis

    def add(self, encoded: bytes) -> None:
        """Import one block; `L2EngineError` when it is invalid."""
        block = decode_block(encoded)
        header = block.header
        parent = self._nodes.get(header.parent_hash)
        if parent is None:
            raise UnknownBlock(f"unknown parent {header.parent_hash.hex()}")
        config = self._rules.config(parent.total_difficulty)
        self._rules.check(header, parent.total_difficulty)
        self._check_ommers(config, block)
        world = parent.world.with_block_hashes(lambda number: self._ancestor(parent.header, number))
        self._parent_state = _move_dao_funds(world) if header.number == self._rules.dao_block else world
        executed = process_block(config, self._executor(config), cast(StateStore, self), parent.header, block, self._tracer)
        total_difficulty = parent.total_difficulty + header.difficulty
        node = Node(header, cast(World, executed.state), total_difficulty, tuple(ommer.hash for ommer in block.ommers))
        self._nodes[block.hash] = node
        if header.difficulty == 0 or total_difficulty > self.head.total_difficulty:
            self.head = node

    def view(self, block_hash: Hash32) -> World:
        return self._parent_state

    def prepare(self, parent_hash: Hash32, diff: StateDiff) -> World:
        return self._parent_state.after(diff)

    def _ancestor(self, header: Header, number: BlockNumber) -> Hash32 | None:
        while header.number > number:
            header = self._nodes[header.parent_hash].header
        return header.hash if header.number == number else None

    def _check_ommers(self, config: ChainConfig, block: Block) -> None:
        """At most two, valid, at most six generations back, no ancestor, none rewarded before (Yellow Paper 11.1)."""
        if not block.ommers:
            return
        if len(block.ommers) > 2 or config.fork_at(block.number, block.header.timestamp).has(L1Rules.PARIS):
            raise InvalidBlock(f"{len(block.ommers)} ommers")
        ancestors: dict[Hash32, Header] = {}
        rewarded: set[Hash32] = set()
        parent_hash = block.header.parent_hash
        for _ in range(7):
            node = self._nodes.get(parent_hash)
            if node is None:
                break
            ancestors[parent_hash] = node.header
            rewarded.update(node.ommer_hashes)
            parent_hash = node.header.parent_hash
        for ommer in block.ommers:
            parent = ancestors.get(ommer.parent_hash)
            if ommer.hash in ancestors or ommer.hash in rewarded or parent is None or ommer.parent_hash == block.header.parent_hash:
                raise InvalidBlock("invalid ommer")
            validate_header(config, config.fork_at(ommer.number, ommer.timestamp), ommer, parent)
            self._rules.check_dao(ommer)
            rewarded.add(ommer.hash)


def _move_dao_funds(world: World) -> World:
    """EIP-779's irregular state change: what the DAO and its children held goes to the refund contract."""
    refund = world.account(dao_refund_contract) or Account()
    changes, total = {}, 0
    for address in map(from_hex, dao_drain_list):
        account = world.account(address)
        if account is not None:
            total += account.balance
            changes[address] = AccountDiff(replace(account, balance=0))
    changes[dao_refund_contract] = AccountDiff(replace(refund, balance=refund.balance + total))
    return world.after(StateDiff(changes, {}))


# ---- networks -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Network:
    """A network name's rules. The merge comes at a difficulty where `merge_difficulty` is set."""

    before: ChainConfig
    after: ChainConfig | None = None
    merge_difficulty: int = 0
    dao_block: BlockNumber | None = None

    def config(self, total_difficulty: int) -> ChainConfig:
        """The rules for a block whose parent has this difficulty behind it."""
        return self.after if self.after is not None and total_difficulty >= self.merge_difficulty else self.before

    def check(self, header: Header, total_difficulty: int) -> None:
        """Checks that a header's own rules cannot make: `InvalidBlock` for a merge before its time or a missing DAO mark."""
        if self.after is not None and total_difficulty < self.merge_difficulty and header.difficulty == 0:
            raise InvalidBlock("no difficulty before the merge")
        self.check_dao(header)

    def check_dao(self, header: Header) -> None:
        """The first ten blocks after the DAO fork carry its mark (EIP-779)."""
        if self.dao_block is not None and 0 <= header.number - self.dao_block < 10 and header.extra_data != b"dao-hard-fork":
            raise InvalidBlock("extra data lacks the mark of the DAO fork")


def network(name: str) -> Network:
    """The rules behind a suite's network name, such as `Cancun`, `BerlinToLondonAt5` or `ShanghaiToCancunAtTime15k`."""
    transition = re.fullmatch(r"(\w+?)To(\w+?)At(Time|Diff)?(\w+)", name)
    if transition is None:
        return Network(_config(Activation(FORKS[fork_named(name)], block=0)))
    first, second, unit, at = transition.groups()
    start = Activation(FORKS[first], block=0)
    if second == "Dao":
        return Network(_config(start), dao_block=int(at))
    if unit == "Diff":
        return Network(_config(start), _config(Activation(FORKS[second], block=0)), int(at, 16))
    if unit == "Time":
        return Network(_config(start, Activation(FORKS[second], time=int(at.removesuffix("k")) * 1000)))
    return Network(_config(start, Activation(FORKS[second], block=int(at))))


def _config(*activations: Activation) -> ChainConfig:
    merged = activations[0].fork.has(L1Rules.PARIS)
    return ChainConfig(1, activations, terminal_total_difficulty=0 if merged else None, deposit_contract=MAINNET_DEPOSIT_CONTRACT)
