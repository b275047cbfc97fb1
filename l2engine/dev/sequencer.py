"""The dev chain's sequencer: drives the engine through the same four calls as a rollup node, with no private shortcut.

It makes a block when a transaction enters the pool, with all that are there by then, or one every `block_time` seconds, on an
imagined L1.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor as ThreadExecutor
from dataclasses import dataclass, field

from l2engine.chain.engine import Engine
from l2engine.chain.events import Event, PooledTransaction, StoreReopened
from l2engine.chain.payload import from_block
from l2engine.dev.attempts import Attempts
from l2engine.dev.l1 import ImaginedL1, dev_attributes
from l2engine.errors import L2EngineError
from l2engine.rules.forks import L1Rules
from l2engine.types.base import ZERO_HASH, Hash32, Timestamp
from l2engine.types.block import Block
from l2engine.types.header import Header
from l2engine.types.payload import ForkchoiceState, Status
from l2engine.types.transaction import DEPOSIT_TYPE

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SequencerSettings:
    """How the dev chain's blocks are made."""

    block_time: float | None = None
    """Seconds between blocks; None makes a block as soon as there is a transaction."""
    l1: ImaginedL1 = field(default_factory=ImaginedL1)
    safe_distance: int = 4
    """The number of blocks from the safe head to the head."""
    finalized_distance: int = 16


class Sequencer:
    """Makes blocks until it is cancelled."""

    def __init__(
        self,
        engine: Engine,
        engine_thread: ThreadExecutor,
        settings: SequencerSettings | None = None,
        now: Callable[[], float] = time.time,
        attempts: Attempts | None = None,
    ) -> None:
        """`engine_thread` is the one thread that calls the engine. Senders of transactions wait at `attempts` for their blocks."""
        self.settings, self._attempts = settings or SequencerSettings(), attempts or Attempts()
        self._engine, self._thread, self._now = engine, engine_thread, now
        self._wanted = asyncio.Event()

    def begin(self) -> None:
        """Name the head safe and finalized where a new chain has neither; call it on the engine's thread, before `run`."""
        if self._engine.safe is None or self._engine.finalized is None:
            self._engine.forkchoice_updated(self._labels(self._engine.head))

    async def run(self) -> None:
        """Make blocks until it is cancelled."""
        loop = asyncio.get_running_loop()

        def listen(event: Event) -> None:
            if isinstance(event, PooledTransaction | StoreReopened):
                loop.call_soon_threadsafe(self._wanted.set)

        unsubscribe = self._engine.events.subscribe(listen)
        try:
            if self.settings.block_time is None:
                await self._mine_on_demand()
            else:
                await self._mine_by_the_clock(self.settings.block_time)
        finally:
            unsubscribe()
            self._attempts.close()
            self._engine.builder.close()  # a block that is being made on the engine's thread ends soon

    async def _mine_on_demand(self) -> None:
        self._wanted.set()  # the pool may hold transactions of the last run
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            with self._attempts.attempt():
                while self._engine.pool.status()[0]:
                    block = await self._make_block_safely()
                    self._attempts.look()
                    if block is None or (_has_deposits_only(block) and not self._begins_fork(block)):  # the rest cannot be included now
                        break

    async def _mine_by_the_clock(self, block_time: float) -> None:
        tick = 0.0
        while True:
            now = self._now()
            tick = max(tick, now - now % block_time) + block_time
            await asyncio.sleep(tick - now)
            await self._make_block_safely(int(tick))  # a timer may wake a moment early, and would give the second before

    async def _make_block_safely(self, timestamp: Timestamp | None = None) -> Block | None:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self.make_block, timestamp)
        except L2EngineError as error:
            log.error("No block could be made", extra={"fields": {"err": error}})
            return None

    def make_block(self, timestamp: Timestamp | None = None) -> Block:
        """Build, execute and adopt one block with the pool's transactions; call it on the engine's thread.

        `timestamp` (default: the clock's time) is raised to the lowest one that the chain allows. `L2EngineError` when the engine
        refuses the block.
        """
        engine, head = self._engine, self._engine.head
        when = max(engine.config.earliest_child(head.timestamp), int(self._now()) if timestamp is None else timestamp)
        attributes = dev_attributes(engine.config, head, when, self.settings.l1)
        fork = engine.config.fork_at(head.number + 1, when)
        version = 3 if fork.has(L1Rules.CANCUN) else 2 if fork.has(L1Rules.SHANGHAI) else 1
        started = engine.forkchoice_updated(self._labels(head), attributes, version)
        if started.payload_id is None:
            raise L2EngineError(f"the engine did not start a build: {started.payload_status.status}")
        engine.builder.wait(started.payload_id, self.settings.block_time)
        block = engine.get_payload(started.payload_id).block
        status = engine.new_payload(
            from_block(engine.config, block),
            (),
            block.header.parent_beacon_block_root,
            () if block.header.requests_hash is not None else None,
        )
        if status.status is not Status.VALID:
            raise L2EngineError(f"the engine refused its own payload: {status.validation_error}")
        engine.forkchoice_updated(self._labels(block.header))
        return block

    def _begins_fork(self, block: Block) -> bool:
        """Whether a fork begins with this block, so that it may be unable to hold user transactions."""
        parent = self._engine.blocks.header(block.header.parent_hash)
        assert parent is not None
        return bool(self._engine.config.activated((parent.number, parent.timestamp), (block.header.number, block.header.timestamp)))

    def _labels(self, head: Header) -> ForkchoiceState:
        return ForkchoiceState(
            head.hash, self._behind(head, self.settings.safe_distance), self._behind(head, self.settings.finalized_distance)
        )

    def _behind(self, head: Header, distance: int) -> Hash32:
        if head.number == 0:
            return head.hash
        return self._engine.blocks.canonical_hash(max(0, head.number - distance)) or ZERO_HASH


def _has_deposits_only(block: Block) -> bool:
    return all(raw[0] == DEPOSIT_TYPE for raw in block.transactions)
