"""The engine: payloads in, verdicts out. It alone writes, and one change at a time.

A payload becomes a block, is executed over its parent's state, and is on disk before VALID is answered; a forkchoice
moves head, safe and finalized in one batch. INVALID and SYNCING are answers, not errors. Sources: execution-apis
src/engine/paris.md; OP specs, exec-engine.md; digest 4.5, 4.6 and section 0.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from l2engine.chain import forkchoice
from l2engine.chain.builder import Builder
from l2engine.chain.disagreements import Disagreements
from l2engine.chain.events import AncestorsWanted, BlockImported, Events, NewHead, StoreFailed, StoreReopened
from l2engine.chain.payload import to_block
from l2engine.chain.pool import Pool
from l2engine.chain.process import ExecutedBlock, process_block
from l2engine.chain.stages import Stages
from l2engine.chain.witness import Witnesses
from l2engine.errors import (
    ExecutorsDisagree,
    InvalidBlock,
    InvalidPayload,
    StateUnavailable,
    StoreError,
    StoreUnavailable,
    UnknownBlock,
    UnknownPayload,
)
from l2engine.evm.executor import Executor
from l2engine.rules.config import ChainConfig
from l2engine.rules.forks import Fork
from l2engine.store.blocks import BlockStore
from l2engine.types.base import ZERO_HASH, BlockNumber, Hash32
from l2engine.types.block import Block
from l2engine.types.header import Header
from l2engine.types.limits import BuilderSettings
from l2engine.types.payload import (
    BuiltPayload,
    ExecutionPayload,
    ForkchoiceResult,
    ForkchoiceState,
    PayloadAttributes,
    PayloadStatus,
    Status,
)
from l2engine.types.storage import KeyValue, StateStore

log = logging.getLogger(__name__)

K = TypeVar("K")
V = TypeVar("V")

_BUILT_BLOCKS = 20  # two versions of each payload that the builder keeps
_BAD_BLOCKS = 512  # what op-geth remembers
_WAITING_HEADERS = 96
_BAD_BLOCK_RETRY = 128  # how often a bad block is refused unseen before it is tried again


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How the engine behaves where nodes may differ."""

    allow_unwind_canonical_header: bool = False
    """A forkchoice to a canonical ancestor moves `latest` back to it."""
    sync_acknowledgements: bool = False
    """Wait for the disk before every answer (--db.sync always)."""
    builder: BuilderSettings = field(default_factory=BuilderSettings)
    witness_folder: Path | None = None
    """The folder for witnesses of blocks on which two executors differ; None for the system's temporary folder."""


@dataclass(slots=True)
class _BadBlock:
    parent: Header | None
    """The last valid ancestor."""
    reason: str
    hits: int = 0


class Engine:
    """One chain. Methods that write are serialised by a lock; properties and look-ups may be used from any thread."""

    def __init__(
        self,
        config: ChainConfig,
        kv: KeyValue,
        blocks: BlockStore,
        state: StateStore,
        executor: Executor,
        pool: Pool | None = None,
        events: Events | None = None,
        settings: EngineSettings | None = None,
    ) -> None:
        """Continue from the head in the database; its genesis must have been written. `UnknownBlock` when there is none."""
        self.config, self.blocks, self.state, self.executor = config, blocks, state, executor
        self.settings = settings or EngineSettings()
        self.events = events or Events()
        self.pool = pool or Pool(config)
        self.witnesses = Witnesses(config, state, blocks)
        self._disagreements = Disagreements(config, self.witnesses, self.settings.witness_folder)
        self.builder = Builder(config, executor, state, self.pool, self.settings.builder, self._disagreements, self._keep_built)
        self._built: OrderedDict[Hash32, ExecutedBlock] = OrderedDict()
        """The blocks built here lately, kept executed: their payloads mostly come back."""
        self._built_lock = threading.Lock()
        self._kv = kv
        self._lock = threading.RLock()
        self._bad: OrderedDict[Hash32, _BadBlock] = OrderedDict()
        self._waiting: OrderedDict[Hash32, Header] = OrderedDict()
        head = blocks.header(blocks.head or ZERO_HASH)
        if head is None:
            raise UnknownBlock("the database holds no chain")
        self._head = self._announced = self._wanted = head
        self._safe = self._marked(blocks.safe)
        self._finalized = self._marked(blocks.finalized)
        self._failure: str | None = None
        self._latest_stored = head.hash
        self._ensure_state(head)
        self.pool.reset(head, state.view(head.hash))

    # ---- what everybody may read ------------------------------------------------------------------------------------

    @property
    def head(self) -> Header:
        """The canonical chain's last block, `latest`."""
        return self._head

    @property
    def safe(self) -> Header | None:
        """None until a forkchoice has named one."""
        return self._safe

    @property
    def finalized(self) -> Header | None:
        """None until a forkchoice has named one."""
        return self._finalized

    # ---- a write that failed ----------------------------------------------------------------------------------------

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Wraps everything that is acknowledged. After a failed write, which is published as an event, it is refused with
        `StoreUnavailable`, unless the database can be reopened right away."""
        with self._lock:
            if self._failure is not None and not self.recover():
                raise StoreUnavailable(f"the database takes no writes: {self._failure}")
            try:
                yield
            except StoreError:
                if self._failure is None and self._kv.failure is not None:
                    self._failure = self._kv.failure
                    said = "Writing to the database failed: nothing is acknowledged until it has been reopened"
                    log.error(said, extra={"fields": {"err": self._failure}})
                    self.events.publish(StoreFailed())
                raise

    def recover(self, without_room: bool = False) -> bool:
        """Reopen the database after a failed write and go on from what it holds; does nothing while all is well.

        False when the disk has no room yet, which `without_room` does not look at: reads go on meanwhile. `L2EngineError`
        when the database cannot be opened or lacks something acknowledged; then it may be tried again.
        """
        with self._lock:
            if self._failure is None:
                return True
            if not (without_room or self._kv.has_room()):
                return False
            self._kv.reopen()
            head = self._marked(self.blocks.head)
            if head is None or head.hash not in (self._head.hash, self._wanted.hash):
                raise StoreError(f"the reopened database does not have the head, block {self._head.number} 0x{self._head.hash.hex()}")
            for block_hash in (head.hash, self._latest_stored):
                if not self.blocks.is_complete(block_hash):
                    raise StoreError(f"the reopened database lacks block 0x{block_hash.hex()}")
            self.builder.forget()
            with self._built_lock:
                self._built.clear()
            self.state.reload()
            self._ensure_state(head)
            self._head, self._wanted = head, head
            self._safe, self._finalized = self._marked(self.blocks.safe), self._marked(self.blocks.finalized)
            self._failure = None
            log.warning("The database has been reopened: going on", extra={"fields": {"number": head.number, "hash": head.hash}})
            self._announce(head, forkchoice.switch(self.blocks, self._announced, head))
            self.events.publish(StoreReopened())
            return True

    @property
    def failure(self) -> str | None:
        """Why a write failed, until `recover` has succeeded; None while all is well."""
        return self._failure

    # ---- payloads ---------------------------------------------------------------------------------------------------

    def new_payload(
        self,
        payload: ExecutionPayload,
        versioned_hashes: Sequence[Hash32] = (),
        parent_beacon_block_root: Hash32 | None = None,
        requests: Sequence[bytes] | None = None,
        fork: Fork | None = None,
    ) -> PayloadStatus:
        """Judge a payload: VALID once it is executed and stored, INVALID with the last valid ancestor, or SYNCING when its
        parent is not known. The head does not move. `UnknownFork` when this build has no rules for it. `fork` is the one in force,
        where the caller has looked it up already."""
        with self._changing():
            stages = Stages()
            self.config.require_known(payload.block_number, payload.timestamp)
            fork = fork or self.config.fork_at(payload.block_number, payload.timestamp)
            try:
                block = to_block(self.config, fork, payload, versioned_hashes, parent_beacon_block_root, requests)
            except InvalidPayload as error:
                log.warning("Invalid payload", extra={"fields": {"number": payload.block_number, "hash": payload.block_hash, "err": error}})
                return PayloadStatus(Status.INVALID, None, str(error))
            stages.end("decode")
            return self._judge(block, fork, stages)

    def _judge(self, block: Block, fork: Fork, stages: Stages) -> PayloadStatus:
        block_hash = block.hash
        if self.blocks.has(block_hash):
            return PayloadStatus(Status.VALID, block_hash)
        known_bad = self._refuse_bad(block_hash, block_hash) or self._refuse_bad(block.header.parent_hash, block_hash)
        if known_bad is not None:
            return known_bad
        parent = self.blocks.header(block.header.parent_hash)
        if parent is None:
            _remember(self._waiting, block_hash, block.header, _WAITING_HEADERS)
            leads_to_bad = self._refuse_descendant(block_hash)
            if leads_to_bad is not None:
                return leads_to_bad
            log.warning(
                "Payload with unknown parent, waiting for its ancestors",
                extra={"fields": {"number": block.number, "hash": block_hash, "parent": block.header.parent_hash}},
            )
            self.events.publish(AncestorsWanted(block_hash, block.header))
            return PayloadStatus(Status.SYNCING)
        self._waiting.pop(block_hash, None)
        try:
            self._insert(block, parent, stages, fork)
        except InvalidBlock as error:
            _remember(self._bad, block_hash, _BadBlock(parent, str(error)), _BAD_BLOCKS)
            log.error("Bad block", extra={"fields": {"number": block.number, "hash": block_hash, "err": error}})
            return PayloadStatus(Status.INVALID, _last_valid(parent), str(error))
        except StateUnavailable as error:
            log.warning(
                "Payload on a state that is no longer kept", extra={"fields": {"number": block.number, "hash": block_hash, "err": error}}
            )
            return PayloadStatus(Status.SYNCING)
        return PayloadStatus(Status.VALID, block_hash)

    def import_block(self, block: Block) -> None:
        """Execute and store a block from a chain file and make it the head. `InvalidBlock`, `UnknownBlock` or `UnknownFork` when it
        cannot be."""
        with self._changing():
            if not self.blocks.has(block.hash):
                parent = self.blocks.header(block.header.parent_hash)
                if parent is None:
                    raise UnknownBlock(f"unknown parent 0x{block.header.parent_hash.hex()} of block {block.number}")
                self._insert(block, parent, Stages())
            self.set_head(block.header)

    def _insert(self, block: Block, parent: Header, stages: Stages, fork: Fork | None = None) -> None:
        """Execute (unless it was built here) and store a block: durable before this returns."""
        executed = self._built.get(block.hash)
        self._ensure_state(parent)
        if executed is None:
            executed = self._process(parent, block, stages, fork)
        self._store(executed)
        stages.end("store")
        elapsed = executed.built_in + stages.total  # for a block built here what its building took, not just looking it up
        log.info(
            "Imported new potential chain segment",
            extra={
                "fields": {
                    "number": block.number,
                    "hash": block.hash,
                    "txs": len(block.transactions),
                    "mgas": round(block.header.gas_used / 1e6, 3),
                    "elapsed": f"{elapsed * 1e3:.3f}ms",
                    "mgasps": round(block.header.gas_used / 1e6 / max(elapsed, 1e-9), 3),
                }
            },
        )
        self.events.publish(BlockImported(block, stages.total, stages.seconds))

    def _keep_built(self, executed: ExecutedBlock) -> None:
        """Called from the threads of builds, which the engine may be waiting for: not under its own lock."""
        with self._built_lock:
            _remember(self._built, executed.block.hash, executed, _BUILT_BLOCKS)

    def _store(self, executed: ExecutedBlock) -> None:
        batch = self._kv.batch()
        self.blocks.put(batch, executed.block, executed.receipts)
        self.state.push(batch, executed.block, executed.state)
        batch.write(sync=self.settings.sync_acknowledgements)
        self._latest_stored = executed.block.hash
        self.blocks.remember(executed.block, executed.receipts)
        self.state.attach(executed.block, executed.state)

    def _ensure_state(self, header: Header) -> None:
        """Make sure that the state after a known block is at hand, executing blocks again from the nearest one that is."""
        missing: list[Header] = []
        while not self.state.has(header.hash):
            missing.append(header)
            parent = self.blocks.header(header.parent_hash)
            if parent is None:
                raise StateUnavailable(f"no state at or below block {header.number}")
            header = parent
        for child in reversed(missing):
            block = self.blocks.block(child.hash)
            if block is None:
                raise StateUnavailable(f"missing body of block {child.number}")
            self._store(self._process(header, block))
            header = child

    def _process(self, parent: Header, block: Block, stages: Stages | None = None, fork: Fork | None = None) -> ExecutedBlock:
        try:
            return process_block(self.config, self.executor, self.state, parent, block, fork=fork, stages=stages)
        except ExecutorsDisagree as error:
            self._disagreements.keep(error, parent, block)
            raise

    def _refuse_bad(self, suspect: Hash32, block_hash: Hash32) -> PayloadStatus | None:
        """INVALID when `suspect` is known to be bad; `block_hash`, which leads to it, is then remembered as well."""
        bad = self._bad.get(suspect)
        if bad is None:
            return None
        bad.hits += 1
        if bad.hits >= _BAD_BLOCK_RETRY:
            del self._bad[suspect]
            return None
        if suspect != block_hash:
            _remember(self._bad, block_hash, _BadBlock(bad.parent, bad.reason), _BAD_BLOCKS)
        return PayloadStatus(Status.INVALID, _last_valid(bad.parent), "links to previously rejected block")

    def _refuse_descendant(self, block_hash: Hash32) -> PayloadStatus | None:
        """INVALID when the headers that wait for their ancestors lead from this block down to a bad one."""
        ancestor = block_hash
        while ancestor in self._waiting and ancestor not in self._bad:
            ancestor = self._waiting[ancestor].parent_hash
        return self._refuse_bad(ancestor, block_hash)

    # ---- forkchoice -------------------------------------------------------------------------------------------------

    def forkchoice_updated(self, state: ForkchoiceState, attributes: PayloadAttributes | None = None, version: int = 3) -> ForkchoiceResult:
        """Move head, safe and finalized, and start building when attributes are given.

        A head that is a canonical ancestor leaves `latest` where it is (unless the settings say otherwise), but blocks are
        built on it. `InvalidForkchoice` for labels off the chain, `InvalidAttributes` for what cannot be built, `UnknownFork` for
        attributes of a fork that this build does not know; what can be known of attributes beforehand is checked before anything moves.
        """
        with self._changing():
            if attributes is not None:
                self.builder.validate(attributes)
            if state.head == ZERO_HASH:
                return ForkchoiceResult(PayloadStatus(Status.INVALID))
            head = self.blocks.header(state.head)
            if head is None:
                return ForkchoiceResult(self._unknown_head(state.head))
            if attributes is not None:
                self.builder.validate_against_parent(attributes, head)
            try:
                if attributes is not None:
                    self._ensure_state(head)
                self._choose(head, state)
            except StateUnavailable as error:
                log.warning(
                    "Forkchoice to a block whose state is no longer kept",
                    extra={"fields": {"number": head.number, "hash": head.hash, "err": error}},
                )
                return ForkchoiceResult(PayloadStatus(Status.SYNCING))
            status = PayloadStatus(Status.VALID, head.hash)
            return ForkchoiceResult(status, None if attributes is None else self.builder.start(head, attributes, version))

    def _choose(self, head: Header, state: ForkchoiceState) -> None:
        """Move to a known head, or only the labels when it is a canonical ancestor that must not be unwound."""
        if self.blocks.is_canonical(head) and head.number < self._head.number and not self.settings.allow_unwind_canonical_header:
            log.info("Forkchoice to a canonical ancestor", extra={"fields": {"number": head.number, "hash": head.hash}})
            self._move(self._head, state, head)
        else:
            self._move(head, state)

    def set_head(self, head: Header) -> None:
        """Make a known block the head without touching safe and finalized."""
        with self._changing():
            self._move(head, ForkchoiceState(head.hash, ZERO_HASH, ZERO_HASH))

    def rewind(self, number: BlockNumber) -> None:
        """Move the head back to the canonical block with this number; safe and finalized follow it down.

        `UnknownBlock` above the head, `StateUnavailable` below the kept history.
        """
        with self._changing():
            header = self._canonical(number)
            self._ensure_state(header)
            down = [label if label is None or label.number <= number else header for label in (self._safe, self._finalized)]
            labels = [ZERO_HASH if label is None else label.hash for label in down]
            self._move(header, ForkchoiceState(header.hash, labels[0], labels[1]))

    def set_finalized(self, number: BlockNumber) -> None:
        """Make the canonical block with this number finalized, and safe if the safe block is below it or there is none.

        `UnknownBlock` above the head.
        """
        with self._changing():
            header = self._canonical(number)
            safe = header.hash if self._safe is None or self._safe.number < number else ZERO_HASH
            self._move(self._head, ForkchoiceState(self._head.hash, safe, header.hash))

    def _canonical(self, number: BlockNumber) -> Header:
        block_hash = self.blocks.canonical_hash(number)
        header = None if block_hash is None else self.blocks.header(block_hash)
        if header is None or number > self._head.number:
            raise UnknownBlock(f"block {number} is not on the canonical chain")
        return header

    def _move(self, head: Header, state: ForkchoiceState, label_head: Header | None = None) -> None:
        """Write the new canonical chain and labels in one batch, then update the state and the pool and publish the event."""
        safe, finalized = forkchoice.labels(self.blocks, state, label_head or head)
        way = forkchoice.switch(self.blocks, self._head, head)
        self._ensure_state(head)
        batch = self._kv.batch()
        if way.removed or way.added:
            self.blocks.set_canonical(batch, way.removed, way.added)
        self.blocks.set_markers(batch, head=head.hash, safe=safe, finalized=finalized)
        self._wanted = head
        batch.write(sync=self.settings.sync_acknowledgements)
        moved = head.hash != self._head.hash
        self._head = head
        self._safe = self._marked(safe) or self._safe
        self._finalized = self._marked(finalized) or self._finalized
        if not moved:
            return
        self.state.set_head([block.header for block in way.added] or [head])
        if way.removed:
            log.warning(
                "Chain reorg detected",
                extra={
                    "fields": {"number": way.ancestor.number, "hash": way.ancestor.hash, "drop": len(way.removed), "add": len(way.added)}
                },
            )
        log.info("Chain head was updated", extra={"fields": {"number": head.number, "hash": head.hash, "root": head.state_root}})
        self._announce(head, way)

    def _announce(self, head: Header, way: forkchoice.Switch) -> None:
        """Tell the pool, and the world when the head is a new one."""
        self.pool.reset(head, self.state.view(head.hash), way.removed, way.added)
        if head.hash != self._announced.hash:
            self._announced = head
            self._tell_of_forks(way)
            self.events.publish(NewHead(head, way.added, way.removed))

    def _tell_of_forks(self, way: forkchoice.Switch) -> None:
        parent = way.ancestor
        for block in way.added:
            header = block.header
            for fork in self.config.activated((parent.number, parent.timestamp), (header.number, header.timestamp)):
                log.info("A fork begins", extra={"fields": {"fork": fork.name, "number": header.number, "timestamp": header.timestamp}})
            parent = header

    def _unknown_head(self, head: Hash32) -> PayloadStatus:
        bad = self._refuse_bad(head, head) or self._refuse_descendant(head)
        if bad is not None:
            return bad
        waiting = self._waiting.get(head)
        log.warning(
            "Forkchoice to an unknown head: its blocks must come from the rollup node, no peer serves them",
            extra={"fields": {"hash": head, "number": None if waiting is None else waiting.number}},
        )
        self.events.publish(AncestorsWanted(head, waiting))
        return PayloadStatus(Status.SYNCING)

    def _marked(self, block_hash: Hash32 | None) -> Header | None:
        return None if block_hash is None else self.blocks.header(block_hash)

    # ---- building ---------------------------------------------------------------------------------------------------

    def get_payload(self, identity: bytes) -> BuiltPayload:
        """The payload built under this id so far; the build ends. `UnknownPayload` when there is none."""
        built = self.builder.get(identity)
        if built is None:
            raise UnknownPayload("Unknown payload")
        return built

    def close(self) -> None:
        """Stop building. The database is closed by who opened it."""
        self.builder.close()


def _last_valid(parent: Header | None) -> Hash32 | None:
    """latestValidHash for a bad child of `parent`: zero when the parent was still mined with proof of work."""
    if parent is None:
        return None
    return ZERO_HASH if parent.difficulty else parent.hash


def _remember(cache: "OrderedDict[K, V]", key: K, value: V, limit: int) -> None:
    cache[key] = value
    if len(cache) > limit:
        cache.popitem(last=False)
