"""Builds payloads: forced transactions first, then the pool's best.

With noTxPool the block is exactly its attributes and is built at once. With the pool it is built in a thread and improves
until it is asked for or its time is up; whoever asks waits for the first version, and a long-running transaction is then
stopped between two opcodes. Nobody waits for one that cannot be stopped, since it is in a long precompile: then the block has the
forced transactions alone. What slow transactions get instead: `slow.py`. Sources: OP specs, exec-engine.md, holocene, jovian; digest 4.2, 4.7, 4.8 and section 0.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

from l2engine.chain.disagreements import Disagreements
from l2engine.chain.metering import MeteredExecution, Metering
from l2engine.chain.payload import draft_block, payload_id
from l2engine.chain.pool import Pool
from l2engine.chain.process import ExecutedBlock, block_env, seal, validate_l1_attributes
from l2engine.chain.slow import LAST_TRANSACTION_SECONDS, SlowTransactions
from l2engine.errors import ExecutionTimeout, ExecutorsDisagree, InvalidAttributes, InvalidBlock, InvalidTransaction, L2EngineError
from l2engine.evm.executor import BlockExecution, Executor
from l2engine.refusals import Reason
from l2engine.rules import eip1559, fees
from l2engine.rules.config import ChainConfig
from l2engine.rules.header import MAX_GAS_LIMIT
from l2engine.rules.intrinsic_gas import TRANSACTION_GAS
from l2engine.rules.l1_attributes import Format, deposit_format, from_calldata
from l2engine.types.base import MAX_UINT256, ZERO_ADDRESS, Gas, Hash32, checksum_address, keccak
from l2engine.types.block import Block
from l2engine.types.execution import Deadline
from l2engine.types.header import Header
from l2engine.types.limits import BuilderSettings
from l2engine.types.native_functions import fast_lz_length
from l2engine.types.payload import BuiltPayload, PayloadAttributes
from l2engine.types.storage import StateStore
from l2engine.types.transaction import DEPOSIT_TYPE, POST_EXECUTION_TYPE, record_of
from l2engine.types.transaction_codec import decode_transaction, recover_sender
from l2engine.types.transactions import Transactions

log = logging.getLogger(__name__)

_KEPT_BUILDS = 10  # what op-geth keeps
_REFRESH_SECONDS = 0.2  # how soon a build looks for a better pool again
_STUCK_SECONDS = 0.1  # a transaction that still runs so long after its deadline cannot be stopped

_Fill: TypeAlias = Callable[[BlockExecution | MeteredExecution], list[bytes]]
"""Adds transactions to a block under execution and returns those that were added."""


@dataclass(slots=True)
class _Running:
    """The pool transaction that a build is executing."""

    hash: Hash32
    started: float
    deadline: Deadline
    until: float
    """Its time goes on until then at least, whoever asks for the payload."""


class _Build:
    """One payload under construction."""

    def __init__(self, deadline: Deadline, forced: tuple[ExecutedBlock, int], generation: int) -> None:
        self.deadline, self.forced = deadline, forced
        self.generation = generation
        """How often the builder had forgotten all its builds when this one began."""
        self.done = threading.Event()
        """Set when a first version is there."""
        self.version: tuple[ExecutedBlock, int] | None = None
        """The best one so far, and its value."""
        self.stopped = False
        self.running: _Running | None = None
        self._lock = threading.Lock()

    def offer(self, executed: ExecutedBlock, value: int) -> None:
        """Take a version when it is the first, or a better one before the payload is asked for."""
        with self._lock:
            if self.version is None or (value > self.version[1] and not self.stopped):
                self.version = executed, value
                self.done.set()

    def stop(self) -> None:
        """End soon: what is running gets a little time."""
        self.stopped = True
        self.deadline.bring_forward(time.monotonic() + LAST_TRANSACTION_SECONDS)
        self.hurry()

    def hurry(self) -> None:
        """Let a transaction that had more time than others have what is left of it."""
        running = self.running
        if running is not None:
            running.deadline.bring_forward(max(self.deadline.at, running.until))

    @property
    def is_stuck(self) -> bool:
        """Whether a transaction is running that does not stop at its deadline."""
        running = self.running
        return running is not None and time.monotonic() > running.deadline.at + _STUCK_SECONDS


class Builder:
    """The payloads being built and the last ones built."""

    def __init__(
        self,
        config: ChainConfig,
        executor: Executor,
        state: StateStore,
        pool: Pool,
        settings: BuilderSettings,
        disagreements: Disagreements,
        built: Callable[[ExecutedBlock], None] = lambda executed: None,
    ) -> None:
        """`built` hears of each version that a payload had, from the thread that has made it, until the payload is forgotten."""
        self.max_transaction_da_size = 0
        """Largest DA size of a pool transaction in bytes (miner_setMaxDASize); 0 is unlimited."""
        self.max_block_da_size = 0
        """Largest sum of the DA sizes of a block's pool transactions; 0 is unlimited."""
        self.metering = Metering(settings.sdm_policy, settings.sdm_opt_in)
        """The refund policy for blocks that take transactions from the pool (admin_setOperatorSdmOptIn)."""
        self._config, self._executor, self._state, self._pool, self._settings = config, executor, state, pool, settings
        self._disagreements, self._built = disagreements, built
        self._builds: OrderedDict[bytes, _Build] = OrderedDict()
        self._generation = 0
        self._publishing = threading.Lock()
        self._slow = SlowTransactions(settings.patience_seconds)

    # ---- checks -----------------------------------------------------------------------------------------------------

    def validate(self, attributes: PayloadAttributes) -> None:
        """Check attributes by themselves: `InvalidAttributes` in op-geth's words; `UnknownFork` when no rules here fit their time."""
        config = self._config
        config.require_known(0, attributes.timestamp)
        if not config.is_optimism:
            return
        if attributes.gas_limit is None:
            raise InvalidAttributes("gasLimit parameter is required")
        if attributes.gas_limit > MAX_GAS_LIMIT:
            raise InvalidAttributes(f"invalid gasLimit: have {attributes.gas_limit}, max {MAX_GAS_LIMIT}")
        if attributes.withdrawals:
            raise InvalidAttributes("non-empty withdrawals post-Canyon")
        fork = config.fork_at_time(attributes.timestamp)
        eip1559.validate_attributes(fork, attributes.eip_1559_params, attributes.min_base_fee)
        wrong = attributes.transactions and attributes.transactions.first_undecodable
        if wrong:
            raise InvalidAttributes(f"transaction {wrong[0]} is not valid: {wrong[1]}") from wrong[1]

    def validate_against_parent(self, attributes: PayloadAttributes, parent: Header) -> None:
        """Check attributes as the child of `parent`: `InvalidAttributes` when no block can come of them."""
        self._config.require_known(parent.number + 1, attributes.timestamp)
        if attributes.timestamp < self._config.earliest_child(parent.timestamp):
            raise InvalidAttributes(f"invalid timestamp, parent {parent.timestamp} given {attributes.timestamp}")
        fork = self._config.fork_at(parent.number + 1, attributes.timestamp)
        transactions = attributes.transactions or Transactions()
        if not fork.is_optimism:
            return
        for raw in transactions:
            if record_of(raw).type not in fork.transaction_types:
                raise _not_forced(raw, InvalidTransaction(Reason.TYPE_NOT_SUPPORTED))
            if raw[0] == POST_EXECUTION_TYPE and not attributes.no_tx_pool:
                raise InvalidAttributes("post-execution transaction in attributes that take transactions of the pool")
        for index, deposit in transactions.deposits:
            if deposit.mint > MAX_UINT256:
                raise _not_forced(transactions[index], InvalidTransaction(Reason.MINT_OVERFLOWS))
        if not fork.da_footprint:
            return
        activates = fork in self._config.activated((parent.number, parent.timestamp), (parent.number + 1, attributes.timestamp))
        first = transactions.first
        if not activates and first is not None and first.type == DEPOSIT_TYPE and len(first.data) < Format.JOVIAN.length:
            raise InvalidAttributes(f"L1 attributes transaction data too short for DA footprint gas scalar: {len(first.data)}")
        try:
            validate_l1_attributes(fork, transactions)
        except InvalidBlock as error:
            raise InvalidAttributes(str(error)) from error
        if activates and fork.only_deposits_on_activation and any(record_of(raw).is_signed for raw in transactions):
            raise InvalidAttributes(f"unexpected non-deposit transaction in {fork.name} activation block")

    # ---- building ---------------------------------------------------------------------------------------------------

    def start(self, parent: Header, attributes: PayloadAttributes, version: int) -> bytes:
        """Begin a build on `parent` and give its id; one with the same id goes on instead.

        With noTxPool the block is finished when this returns; `InvalidAttributes` when a forced transaction cannot be included.
        """
        identity = payload_id(parent.hash, attributes, version)
        if identity in self._builds:
            return identity
        for build in self._builds.values():  # a new payload ends the race for older ones
            build.stop()
        generation, deadline = self._generation, Deadline(time.monotonic() + self._settings.deadline_seconds)
        task = _Task(self._config, self._executor, self._state, parent, attributes)
        forced = self._build(task)  # with or without the pool: an invalid forced transaction is reported at once
        build = _Build(deadline, forced, generation)
        if attributes.no_tx_pool:
            self._publish(build, forced)
        self._builds[identity] = build
        if len(self._builds) > _KEPT_BUILDS:
            self._builds.popitem(last=False)[1].stop()
        if not attributes.no_tx_pool:
            threading.Thread(target=self._improve, args=(build, task), name="payload-builder", daemon=True).start()
        return identity

    def wait(self, identity: bytes, seconds: float | None = None) -> None:
        """Wait until a first version is there, which takes the build's time at most, or `seconds` have passed. For the dev chain's sequencer
        alone: a rollup node waits by its own clock."""
        build = self._builds.get(identity)
        if build is not None:
            build.done.wait(seconds)

    def get(self, identity: bytes) -> BuiltPayload | None:
        """The best version so far, which becomes the last; None for an id that is not known."""
        build = self._builds.get(identity)
        if build is None:
            return None
        build.stop()
        while not build.done.wait(_STUCK_SECONDS / 2):
            running = build.running
            if build.is_stuck and running is not None:
                self._slow.stopped(running.hash, time.monotonic() - running.started)
                self._publish(build, build.forced)
        return None if build.version is None else BuiltPayload(build.version[0].block, build.version[1])

    def forget(self) -> None:
        """Stop all builds and forget them. No thread publishes one of them once this has returned."""
        self.close()
        self._builds.clear()
        with self._publishing:
            self._generation += 1

    def close(self) -> None:
        """Stop all builds."""
        for build in list(self._builds.values()):
            build.stop()

    def _publish(self, build: _Build, version: tuple[ExecutedBlock, int]) -> None:
        with self._publishing:
            if build.generation == self._generation:
                self._built(version[0])
        build.offer(*version)

    def _build(self, task: "_Task", fill: _Fill | None = None) -> tuple[ExecutedBlock, int]:
        try:
            return task.build(fill, self.metering if fill is not None else None)
        except ExecutorsDisagree as error:
            self._disagreements.keep(error, task.parent, replace(task.block, transactions=Transactions(error.transactions)), sealed=False)
            for raw in error.transactions[-1:]:  # so that the next block does not fail because of it
                self._pool.drop(keccak(raw))
            raise

    def _improve(self, build: _Build, task: "_Task") -> None:
        """Build again whenever the pool has changed, until the build is stopped or its time is up. Should that fail, the
        block with the forced transactions alone is the answer."""
        seen = -1
        try:
            while not build.stopped or build.version is None:
                if self._pool.revision != seen:
                    seen = self._pool.revision
                    self._publish(build, self._build(task, lambda execution: self._fill(execution, task, build)))
                if time.monotonic() + _REFRESH_SECONDS > build.deadline.at:
                    break
                time.sleep(_REFRESH_SECONDS / 10 if build.version is None else _REFRESH_SECONDS)
        except L2EngineError as error:
            log.error("Building a payload failed", extra={"fields": {"parent": task.parent.hash, "err": error}})
        except Exception:
            log.exception("Building a payload failed")
        finally:
            if build.version is None:
                self._publish(build, build.forced)

    def _fill(self, execution: BlockExecution | MeteredExecution, task: "_Task", build: _Build) -> list[bytes]:
        """Apply the pool's best transactions for as long as gas, DA limits and time allow; the raw ones that went in."""
        gas_limit, base_fee = task.header.gas_limit, task.header.base_fee_per_gas or 0
        max_transaction, max_block = self.max_transaction_da_size, self.max_block_da_size
        measured = bool(max_transaction or max_block or task.footprint_scalar)
        raws: list[bytes] = []
        da_size, footprint = 0, task.forced_footprint
        candidates = self._pool.best(base_fee, last=self._slow.hashes)
        for pooled in candidates:
            started = time.monotonic()
            if started > build.deadline.at or gas_limit - execution.gas_before_refunds < TRANSACTION_GAS:
                break
            size = fees.da_size(pooled.raw, fast_lz_length) if measured else 0
            too_large = (
                gas_limit - execution.gas_before_refunds < pooled.tx.gas
                or (max_transaction and size > max_transaction)
                or (max_block and da_size + size > max_block)
                or footprint + size * task.footprint_scalar > gas_limit
            )
            if too_large:
                candidates.skip_sender()
                continue
            try:
                execution.apply(pooled.raw, pooled.sender, self._begin_transaction(build, pooled.hash, started))
            except InvalidTransaction as error:
                if error.reason is not Reason.NONCE_TOO_LOW:  # a forced one took its place; the next may follow
                    candidates.skip_sender()
                continue
            except ExecutionTimeout:
                self._slow.stopped(pooled.hash, time.monotonic() - started)
                break
            finally:
                build.running = None
            raws.append(pooled.raw)
            da_size += size
            footprint += size * task.footprint_scalar
        return raws

    def _begin_transaction(self, build: _Build, transaction_hash: Hash32, started: float) -> Deadline:
        """Note what the build is executing; when it has to end: with the build, or later for one that has been stopped before."""
        until = started + self._slow.seconds(transaction_hash)
        deadline = build.deadline if until <= started else Deadline(max(build.deadline.at, until))
        build.running = _Running(transaction_hash, started, deadline, until)
        if build.stopped:
            build.hurry()
        return deadline


class _Task:
    """The inputs of one build; `build` may be called repeatedly."""

    def __init__(self, config: ChainConfig, executor: Executor, state: StateStore, parent: Header, attributes: PayloadAttributes) -> None:
        self.parent, self.attributes = parent, attributes
        self._config, self._executor, self._state = config, executor, state
        self._fork = config.fork_at(parent.number + 1, attributes.timestamp)
        begun = config.activated((parent.number, parent.timestamp), (parent.number + 1, attributes.timestamp))
        self._only_deposits = self._fork.only_deposits_on_activation and self._fork in begun
        self.block = draft_block(config, parent, attributes)
        self.header = self.block.header
        self.footprint_scalar = self._read_footprint_scalar()
        """Gas per byte of DA size; 0 where there is no footprint."""

    @cached_property
    def forced_footprint(self) -> Gas:
        """The DA footprint of the forced transactions, which only a block with pool transactions needs to know beforehand."""
        forced = [raw for raw in self.block.transactions if record_of(raw).counts_for_da]
        return sum(fees.da_footprint(raw, self.footprint_scalar, fast_lz_length) for raw in forced) if self.footprint_scalar else 0

    def build(self, fill: _Fill | None = None, metering: Metering | None = None) -> tuple[ExecutedBlock, int]:
        """The sealed block and its value. `fill` may add transactions of the pool after the forced ones, and with `metering` all may
        earn refunds.

        `InvalidAttributes` when a forced transaction cannot be included, or they do not all fit in one block.
        """
        started = time.perf_counter()
        execution = self._begin()
        metered = MeteredExecution(execution) if metering is not None and metering.is_effective(self._fork) else None
        transactions = self.block.transactions
        self._apply_forced(metered or execution)
        added: list[bytes] = []
        if fill is not None and not self._only_deposits:
            added += fill(metered or execution)
        if metered is not None:
            added += metered.close(self.header.number)
        if added:
            transactions = Transactions((*transactions, *added))
        result = execution.finish()
        prepared = self._state.prepare(self.parent.hash, result.diff)
        block = Block(self.header, transactions, (), self.block.withdrawals)
        if self._fork.da_footprint and result.blob_gas_used > block.header.gas_limit:
            raise InvalidAttributes(f"DA footprint {result.blob_gas_used} exceeds block gas limit {block.header.gas_limit}")
        header = seal(block.header, self._fork, block, result, prepared, self._state)
        sealed = Block(header, block.transactions, (), block.withdrawals)
        return ExecutedBlock(sealed, result.receipts, prepared, time.perf_counter() - started), result.value

    def _begin(self) -> BlockExecution:
        try:
            env = block_env(self._config, self.block, self.parent, self._fork)
        except InvalidBlock as error:
            raise InvalidAttributes(str(error)) from error
        return self._executor.begin(self._state.view(self.parent.hash), env, fork=self._fork)

    def _apply_forced(self, execution: BlockExecution | MeteredExecution) -> None:
        failed = execution.apply_all(self.block.transactions)
        if failed is not None:
            index, reason = failed
            raise _not_forced(self.block.transactions[index], reason) from reason

    def _read_footprint_scalar(self) -> int:
        """The DA footprint gas scalar in the block's own L1-attributes deposit; 0 where there is no footprint."""
        first = self.block.transactions.first if self._fork.da_footprint else None
        if first is None or deposit_format(first) is not Format.JOVIAN:
            return 0
        return from_calldata(first.data).da_footprint_gas_scalar or 0


_WITHOUT_SENDER = {Reason.TYPE_NOT_SUPPORTED, Reason.WRONG_CHAIN_ID, Reason.INVALID_SIGNATURE, Reason.RECOVERY_FAILED}
"""op-geth finds these while it recovers the sender, and reports the zero address."""


def _not_forced(raw: bytes, error: Exception) -> InvalidAttributes:
    """The error for a forced transaction that the block cannot hold, in op-geth's words."""
    tx = decode_transaction(raw)
    is_unknown = isinstance(error, InvalidTransaction) and error.reason in _WITHOUT_SENDER
    sender = checksum_address(ZERO_ADDRESS if is_unknown else recover_sender(tx))
    nonce = tx.nonce if tx.is_signed else 0
    return InvalidAttributes(f"failed to force-include tx: 0x{tx.hash.hex()} type: {tx.type} sender: {sender} nonce: {nonce}, err: {error}")
