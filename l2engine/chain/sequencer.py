"""The dev chain's sequencer: drives the engine through the same four calls as a rollup node, with no private door.

It makes a block for each transaction that enters the pool, or one every `block_time` seconds. L1 is imagined: an origin
every six blocks with constant fees, so that the same transactions give the same chain.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor as ThreadExecutor
from dataclasses import dataclass

from l2engine.chain.engine import Engine
from l2engine.chain.events import Event, PooledTransaction, StoreReopened
from l2engine.chain.payload import from_block
from l2engine.errors import L2EngineError
from l2engine.rules.config import ChainConfig
from l2engine.rules.deposits import l1_attributes_source
from l2engine.rules.forks import ExtraDataForm, Fork, L1Rules
from l2engine.rules.l1_attributes import L1Attributes, encode_calldata, format_of
from l2engine.rules.predeploys import DEPOSITOR, L1_BLOCK, SEQUENCER_FEE_VAULT
from l2engine.types.base import ZERO_HASH, Gas, Hash32, Timestamp, keccak
from l2engine.types.block import Block
from l2engine.types.header import Header
from l2engine.types.payload import ForkchoiceState, PayloadAttributes, Status
from l2engine.types.transaction import DepositTransaction
from l2engine.types.transaction_codec import encode_transaction
from l2engine.types.transactions import Transactions

log = logging.getLogger(__name__)

BLOCKS_PER_L1_ORIGIN = 6
_SYSTEM_DEPOSIT_GAS, _DEPOSIT_GAS = 150_000_000, 1_000_000  # before Regolith and since


@dataclass(frozen=True, slots=True)
class SequencerSettings:
    """What the dev chain's blocks are like."""

    block_time: float | None = None
    """Seconds between blocks; None makes a block for each transaction."""
    gas_limit: Gas = 30_000_000
    l1_base_fee: int = 10**9
    l1_blob_base_fee: int = 1
    base_fee_scalar: int = 1368
    blob_base_fee_scalar: int = 810_949
    da_footprint_gas_scalar: int = 400
    safe_distance: int = 4
    """How many blocks behind the head the safe one is."""
    finalized_distance: int = 16


class Sequencer:
    """Makes blocks until it is cancelled."""

    def __init__(
        self,
        engine: Engine,
        engine_thread: ThreadExecutor,
        settings: SequencerSettings | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`engine_thread` is the one thread that calls the engine."""
        self.settings = settings or SequencerSettings()
        self._engine, self._thread, self._now = engine, engine_thread, now
        self._wanted = asyncio.Event()

    async def run(self) -> None:
        """Make blocks; returns only by cancellation."""
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
            self._engine.builder.close()  # a block that is being made on the engine's thread ends soon

    async def _mine_on_demand(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._engine.pool.status()[0]:
                block = await self._make_block_safely()
                if block is None or len(block.transactions) == 1:  # the rest cannot be included now
                    break

    async def _mine_by_the_clock(self, block_time: float) -> None:
        while True:
            await asyncio.sleep(max(0.0, block_time - self._now() % block_time))
            await self._make_block_safely()

    async def _make_block_safely(self) -> Block | None:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self.make_block)
        except L2EngineError as error:
            log.error("No block could be made", extra={"fields": {"err": error}})
            return None

    def make_block(self, timestamp: Timestamp | None = None) -> Block:
        """Build, execute and adopt one block with the pool's transactions; call it on the engine's thread.

        The timestamp is the clock's, but always later than the head's. `L2EngineError` when the engine refuses.
        """
        engine, head = self._engine, self._engine.head
        when = max(head.timestamp + 1, int(self._now()) if timestamp is None else timestamp)
        attributes = dev_attributes(engine.config, head, when, self.settings)
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

    def _labels(self, head: Header) -> ForkchoiceState:
        return ForkchoiceState(
            head.hash, self._behind(head, self.settings.safe_distance), self._behind(head, self.settings.finalized_distance)
        )

    def _behind(self, head: Header, distance: int) -> Hash32:
        if head.number == 0:
            return head.hash
        return self._engine.blocks.canonical_hash(max(0, head.number - distance)) or ZERO_HASH


def dev_attributes(config: ChainConfig, head: Header, timestamp: Timestamp, settings: SequencerSettings) -> PayloadAttributes:
    """The attributes of the dev chain's next block: an L1-attributes deposit and the pool."""
    number = head.number + 1
    fork = config.fork_at(number, timestamp)
    cancun = fork.has(L1Rules.CANCUN)
    return PayloadAttributes(
        timestamp=timestamp,
        prev_randao=keccak(b"randao" + number.to_bytes(8, "big")),
        suggested_fee_recipient=SEQUENCER_FEE_VAULT,
        withdrawals=() if fork.has(L1Rules.SHANGHAI) else None,
        parent_beacon_block_root=_l1_hash(b"beacon", number // BLOCKS_PER_L1_ORIGIN) if cancun else None,
        transactions=Transactions([l1_attributes_deposit(fork, config.fork_at(head.number, head.timestamp), number, timestamp, settings)]),
        no_tx_pool=False,
        gas_limit=settings.gas_limit,
        eip_1559_params=bytes(8) if fork.extra_data in (ExtraDataForm.HOLOCENE, ExtraDataForm.JOVIAN) else None,
        min_base_fee=0 if fork.min_base_fee else None,
    )


def l1_attributes_deposit(fork: Fork, parent_fork: Fork, number: int, timestamp: Timestamp, settings: SequencerSettings) -> bytes:
    """The raw first transaction of block `number`. In an activation block it still has the parent's format."""
    origin, sequence = divmod(number, BLOCKS_PER_L1_ORIGIN)
    attributes = L1Attributes(
        base_fee=settings.l1_base_fee,
        number=origin,
        timestamp=timestamp,
        hash=_l1_hash(b"block", origin),
        sequence_number=sequence,
        overhead=188,
        scalar=684_000,
        blob_base_fee=settings.l1_blob_base_fee,
        base_fee_scalar=settings.base_fee_scalar,
        blob_base_fee_scalar=settings.blob_base_fee_scalar,
        operator_fee_scalar=0,
        operator_fee_constant=0,
        da_footprint_gas_scalar=settings.da_footprint_gas_scalar,
    )
    regolith = fork.deposits_report_gas
    deposit = DepositTransaction(
        l1_attributes_source(attributes.hash, sequence),
        DEPOSITOR,
        L1_BLOCK,
        mint=0,
        value=0,
        gas=_DEPOSIT_GAS if regolith else _SYSTEM_DEPOSIT_GAS,
        is_system_transaction=not regolith,
        data=encode_calldata(format_of(parent_fork if number > 1 else fork), attributes),
    )
    return encode_transaction(deposit)


def _l1_hash(what: bytes, number: int) -> Hash32:
    return keccak(b"l1 " + what + number.to_bytes(8, "big"))
