"""Engines on the dev genesis, without RPC: one that makes blocks of any branch, and those under test that receive them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from genesis import loader
from genesis.chains import L1_FORKS
from genesis.dev import dev_genesis
from l2engine.chain.engine import Engine, EngineSettings
from l2engine.chain.events import Events
from l2engine.chain.payload import from_block
from l2engine.chain.pool import Pool
from l2engine.dev.l1 import ImaginedL1, dev_attributes
from l2engine.evm.executor import Executor
from l2engine.evm.reference.machine import ReferenceExecutor
from l2engine.store.blocks import BlockStore
from l2engine.store.genesis import write_genesis
from l2engine.store.kv import MemoryKeyValue
from l2engine.store.state import LayeredState
from l2engine.types.base import ZERO_HASH, Hash32
from l2engine.types.block import Block
from l2engine.types.header import Header
from l2engine.types.payload import ForkchoiceState, PayloadAttributes, PayloadStatus, Status
from l2engine.types.storage import KeyValue
from tests.helpers.accounts import Signer, signer

GENESIS_TIME = 1_700_000_000
FUNDED = ("alice", "bob", "carol")


def document(fork: str = "jovian", later: Mapping[str, int] | None = None) -> dict[str, Any]:
    """A geth-format genesis with a fork from block 0 on and `later` ones so many seconds after it. The signers of FUNDED have ether."""
    genesis = dev_genesis(fork, GENESIS_TIME, accounts=[signer(name).address for name in FUNDED])
    for name, seconds in (later or {}).items():
        genesis["config"][f"{name}Time"] = GENESIS_TIME + seconds
        if name in L1_FORKS:
            genesis["config"][f"{L1_FORKS[name]}Time"] = GENESIS_TIME + seconds
    return genesis


def open_engine(
    genesis: Mapping[str, Any],
    kv: KeyValue | None = None,
    settings: EngineSettings | None = None,
    executor: Executor | None = None,
    layers: int = 128,
) -> Engine:
    """An engine on a genesis; with the `kv` of an earlier one it goes on there, as after a restart."""
    loaded = loader.load(genesis)
    kv = kv or MemoryKeyValue()
    write_genesis(kv, loaded.block, loaded.alloc, b"{}")
    events = Events()
    state = LayeredState(kv, layers=layers)
    pool = Pool(loaded.config, events=events)
    return Engine(loaded.config, kv, BlockStore(kv), state, executor or ReferenceExecutor(loaded.config), pool, events, settings)


class Forge:
    """Makes valid blocks on any parent that it made or was shown."""

    def __init__(self, genesis: Mapping[str, Any]) -> None:
        self.engine = open_engine(genesis)
        self.genesis = self.engine.head

    def attributes(self, parent: Header, *raws: bytes, seconds: int = 2, **changes: Any) -> PayloadAttributes:
        """The attributes of a child of `parent`: an L1-attributes deposit, then `raws`, and no pool."""
        attributes = dev_attributes(self.engine.config, parent, parent.timestamp + seconds, ImaginedL1())
        forced = (*(attributes.transactions or ()), *raws)
        return replace(attributes, **{"transactions": forced, "no_tx_pool": True, **changes})

    def block(self, parent: Header, *raws: bytes, seconds: int = 2, **changes: Any) -> Block:
        """A child of `parent`."""
        attributes = self.attributes(parent, *raws, seconds=seconds, **changes)
        result = self.engine.forkchoice_updated(forkchoice(parent), attributes)
        assert result.payload_id is not None
        block = self.engine.get_payload(result.payload_id).block
        assert submit(self.engine, block).status is Status.VALID
        return block

    def chain(self, parent: Header, length: int, seconds: int = 2) -> list[Block]:
        """A run of blocks with nothing but the deposit in them; `seconds` between them tells branches apart."""
        blocks: list[Block] = []
        for _ in range(length):
            blocks.append(self.block(blocks[-1].header if blocks else parent, seconds=seconds))
        return blocks


def submit(engine: Engine, block: Block) -> PayloadStatus:
    """newPayload with a block."""
    requests = () if block.header.requests_hash is not None else None
    return engine.new_payload(from_block(engine.config, block), (), block.header.parent_beacon_block_root, requests)


def adopt(engine: Engine, *blocks: Block) -> None:
    """Feed blocks and make each the head."""
    for block in blocks:
        assert submit(engine, block).status is Status.VALID
        engine.forkchoice_updated(forkchoice(block.header))


def forkchoice(head: Header | Hash32, safe: Header | None = None, finalized: Header | None = None) -> ForkchoiceState:
    """A forkchoice; labels that are not given stay as they are."""
    return ForkchoiceState(
        head if isinstance(head, bytes) else head.hash,
        safe.hash if safe else ZERO_HASH,
        finalized.hash if finalized else ZERO_HASH,
    )


def spoiled(block: Block, **changes: Any) -> Block:
    """The block with header fields changed and a hash that fits them."""
    return Block(replace(block.header, **changes), block.transactions, block.ommers, block.withdrawals)


def funded(name: str) -> Signer:
    """A signer who has ether on the genesis of `document`."""
    assert name in FUNDED
    return signer(name)
