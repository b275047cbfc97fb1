"""Builds payloads: forced transactions first, then the pool's best.

With noTxPool the block is exactly its attributes and is built at once. With the pool it is built in a thread and improves
until it is asked for or its time is up; whoever asks waits for the first version, and a long-running transaction is then
stopped inside its opcode loop. Sources: OP specs, exec-engine.md, holocene, jovian; digest 4.2, 4.7, 4.8 and section 0.
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
_LAST_TRANSACTION_SECONDS = 0.3  # what a running pool transaction gets once the payload is asked for
_SLOW_SECONDS = 0.25  # a transaction that was stopped after this long comes last from then on
_SLOW_KEPT = 1024

_Fill: TypeAlias = Callable[[BlockExecution | MeteredExecution], list[bytes]]
"""Adds transactions to a block under execution and returns those that were added."""


@dataclass(slots=True)
class _Build:
    """One payload under construction."""

    deadline: Deadline
    done: threading.Event
    """Set when a first version is there or none can be."""
    executed: ExecutedBlock | None = None
    value: int = 0
    stopped: bool = False
    generation: int = 0
    """How often the builder had forgotten all its builds when this one began."""


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
        self._slow: dict[Hash32, None] = {}

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
            self._stop(build)
        build = _Build(Deadline(time.monotonic() + self._settings.deadline_seconds), threading.Event(), generation=self._generation)
        task = _Task(self._config, self._executor, self._state, parent, attributes)
        forced = self._build(task)  # with or without the pool: an invalid forced transaction is reported at once
        if attributes.no_tx_pool:
            self._publish(build, *forced)
        self._builds[identity] = build
        if len(self._builds) > _KEPT_BUILDS:
            self._stop(self._builds.popitem(last=False)[1])
        if not attributes.no_tx_pool:
            threading.Thread(target=self._improve, args=(build, task, forced), name="payload-builder", daemon=True).start()
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
        self._stop(build)
        build.done.wait()
        executed = build.executed
        return None if executed is None else BuiltPayload(executed.block, build.value)

    def forget(self) -> None:
        """Stop all builds and forget them. No thread publishes one of them once this has returned."""
        self.close()
        self._builds.clear()
        with self._publishing:
            self._generation += 1

    def close(self) -> None:
        """Stop all builds."""
        for build in list(self._builds.values()):
            self._stop(build)

    @staticmethod
    def _stop(build: _Build) -> None:
        build.stopped = True
        build.deadline.at = min(build.deadline.at, time.monotonic() + _LAST_TRANSACTION_SECONDS)

    def _publish(self, build: _Build, executed: ExecutedBlock, value: int) -> None:
        build.executed, build.value = executed, value
        with self._publishing:
            if build.generation == self._generation:
                self._built(executed)
        build.done.set()

    def _build(self, task: "_Task", fill: _Fill | None = None) -> tuple[ExecutedBlock, int]:
        try:
            return task.build(fill, self.metering if fill is not None else None)
        except ExecutorsDisagree as error:
            self._disagreements.keep(error, task.parent, replace(task.block, transactions=Transactions(error.transactions)), sealed=False)
            for raw in error.transactions[-1:]:  # so that the next block does not fail because of it
                self._pool.drop(keccak(raw))
            raise

    def _improve(self, build: _Build, task: "_Task", forced: tuple[ExecutedBlock, int]) -> None:
        """Build again whenever the pool has changed, until the build is stopped or its time is up. Should that fail, the
        block with the forced transactions alone is the answer."""
        seen = -1
        try:
            while not build.stopped or build.executed is None:
                if self._pool.revision != seen:
                    seen = self._pool.revision
                    executed, value = self._build(task, lambda execution: self._fill(execution, task, build.deadline))
                    if build.executed is None or (value > build.value and not build.stopped):
                        self._publish(build, executed, value)
                if time.monotonic() + _REFRESH_SECONDS > build.deadline.at:
                    break
                time.sleep(_REFRESH_SECONDS / 10 if build.executed is None else _REFRESH_SECONDS)
        except L2EngineError as error:
            log.error("Building a payload failed", extra={"fields": {"parent": task.parent.hash, "err": error}})
        except Exception:
            log.exception("Building a payload failed")
        finally:
            if build.executed is None:
                self._publish(build, *forced)

    def _fill(self, execution: BlockExecution | MeteredExecution, task: "_Task", deadline: Deadline) -> list[bytes]:
        """Apply the pool's best transactions for as long as gas, DA limits and time allow; the raw ones that went in."""
        gas_limit, base_fee = task.header.gas_limit, task.header.base_fee_per_gas or 0
        max_transaction, max_block = self.max_transaction_da_size, self.max_block_da_size
        measured = bool(max_transaction or max_block or task.footprint_scalar)
        raws: list[bytes] = []
        da_size, footprint = 0, task.forced_footprint
        candidates = self._pool.best(base_fee, last=self._slow)
        for pooled in candidates:
            started = time.monotonic()
            if started > deadline.at or gas_limit - execution.gas_before_refunds < TRANSACTION_GAS:
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
                execution.apply(pooled.raw, pooled.sender, deadline)
            except InvalidTransaction as error:
                if error.reason is not Reason.NONCE_TOO_LOW:  # a forced one took its place; the next may follow
                    candidates.skip_sender()
                continue
            except ExecutionTimeout:
                if time.monotonic() - started > _SLOW_SECONDS:
                    self._set_aside(pooled.hash)
                break
            raws.append(pooled.raw)
            da_size += size
            footprint += size * task.footprint_scalar
        return raws

    def _set_aside(self, transaction_hash: Hash32) -> None:
        """Try this transaction after all others from now on, so that it does not keep them out of every block."""
        slow = {**self._slow, transaction_hash: None}
        if len(slow) > _SLOW_KEPT:
            del slow[next(iter(slow))]
        self._slow = slow


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
        return ExecutedBlock(sealed, result.receipts, prepared), result.value

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
