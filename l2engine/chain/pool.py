"""The transaction pool: per sender a queue by nonce, of which the executable front is pending.

What a sender must afford includes the L1 data fee and the operator fee, read from the head's state. Limits, lifetimes
and error texts are geth's. Sources: digest section 7; EIP-7825, 7623, 3860.
"""

import logging
import threading
import time
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TypeAlias

from l2engine.chain.events import Events, Origin, PooledTransaction
from l2engine.chain.interop import AGAIN_SECONDS, MessageFilter, message_keys
from l2engine.chain.journal import Entry, Journal
from l2engine.chain.pooled import BestFirst, Messages, Pooled
from l2engine.errors import DecodeError, InvalidTransaction, JournalUnavailable, PoolError
from l2engine.refusals import Reason
from l2engine.rules import checks, eip1559, fees
from l2engine.rules.config import ChainConfig
from l2engine.rules.forks import Fork, L1Rules
from l2engine.rules.l1_attributes import L1Attributes, from_storage
from l2engine.rules.predeploys import L1_BLOCK
from l2engine.types.base import MAX_UINT64, MAX_UINT256, Address, Gas, Hash32, Wei, keccak
from l2engine.types.block import Block
from l2engine.types.header import Header
from l2engine.types.limits import PoolSettings
from l2engine.types.native_functions import fast_lz_length
from l2engine.types.state import Account, StateView
from l2engine.types.transaction import POST_EXECUTION_TYPE, SetCodeTransaction, SignedTransaction, Transaction, record_of
from l2engine.types.transaction_codec import decode_transaction, recover_sender

log = logging.getLogger(__name__)

ByNonce: TypeAlias = dict[Address, dict[int, bytes]]

MAX_TRANSACTION_SIZE = 128 * 1024
_CAME_WITH = {1: "Berlin", 2: "London", SetCodeTransaction.type: "Prague"}
"""The Ethereum fork that a type came with, as geth's pool names it."""
_L1_ATTRIBUTES_GAS = 70_000  # what op-geth keeps free of a block for the L1-attributes deposit


@dataclass(slots=True)
class _Sender:
    """One sender's transactions by nonce, and what the head's state says of the account."""

    nonce: int = 0
    balance: Wei = 0
    by_nonce: dict[int, Pooled] = field(default_factory=dict)
    end: int = 0
    """The nonce after the executable ones: from `nonce` up to here nothing is missing."""

    def put(self, pooled: Pooled) -> None:
        self.by_nonce[pooled.tx.nonce] = pooled
        self._extend()

    def take(self, nonce: int) -> None:
        del self.by_nonce[nonce]
        if nonce >= self.nonce:
            self.end = min(self.end, nonce)

    def move_to(self, nonce: int, balance: Wei) -> None:
        """Follow the account; transactions before its nonce must be taken out afterwards."""
        self.nonce, self.balance, self.end = nonce, balance, nonce
        self._extend()

    def _extend(self) -> None:
        while self.end in self.by_nonce:
            self.end += 1

    @property
    def pending(self) -> list[Pooled]:
        """The executable transactions in order."""
        return [self.by_nonce[nonce] for nonce in range(self.nonce, self.end)]

    @property
    def queued(self) -> list[Pooled]:
        """Those that wait for an earlier nonce, in order."""
        return [self.by_nonce[nonce] for nonce in sorted(self.by_nonce) if nonce > self.end]


def decode_pooled(raw: bytes) -> Transaction:
    """A transaction from its EIP-2718 bytes. `PoolError` when it is none, or larger than the pool takes: that is looked at
    first, since decoding takes its time."""
    if len(raw) > MAX_TRANSACTION_SIZE:
        raise PoolError(Reason.OVERSIZED, size=len(raw), limit=MAX_TRANSACTION_SIZE)
    try:
        return decode_transaction(raw)
    except DecodeError as error:
        raise PoolError(Reason.UNDECODABLE, why=str(error)) from error


class Pool:
    """Transactions waiting for a block. Any thread may use it."""

    def __init__(
        self,
        config: ChainConfig,
        settings: PoolSettings | None = None,
        events: Events | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings or PoolSettings()
        self.minimum_tip = self.settings.price_limit
        """The least tip in wei per gas (miner_setGasPrice)."""
        self.refuses_below_base_fee = False
        """Whether a transaction sent here must cover the next block's base fee, as on a dev chain. geth's pool lets it wait."""
        self.revision = 0
        """Counts changes, so that the builder knows when to look again."""
        self.message_filter: MessageFilter | None = None
        """Asked about transactions that execute messages of other chains; without it they are ordinary ones."""
        self._config, self._events, self._now = config, events, now
        self._lock = threading.RLock()
        self._senders: dict[Address, _Sender] = {}
        self._by_hash: dict[Hash32, Pooled] = {}
        self._head: Header | None = None
        self._view: StateView | None = None
        self._fork: Fork | None = None
        self._base_fee: Wei = 0
        self._l1 = L1Attributes()
        self._journal: Journal | None = None

    # ---- adding -----------------------------------------------------------------------------------------------------

    def add(self, raw: bytes, origin: Origin = Origin.LOCAL) -> Hash32:
        """Take a signed transaction and give its hash. `PoolError` in geth's words when it cannot be taken."""
        return self.add_decoded(decode_pooled(raw), origin)

    def add_decoded(self, tx: Transaction, origin: Origin = Origin.LOCAL) -> Hash32:
        """`add` for a transaction that `decode_pooled` or a signer has made. `JournalUnavailable` when it would not survive a restart."""
        if self._journal is not None and self._journal.is_due:
            self.rejournal(if_due=True)
        messages = self._check_messages(tx, origin)
        with self._lock:
            pooled, queue, leaving = self._check(tx, origin)
            pooled.messages = messages
            self._keep(pooled)
            executable = self._insert(pooled, queue, leaving)
        self._settle(pooled)
        self._announce(executable)
        return tx.hash

    def _check_messages(self, tx: Transaction, origin: Origin) -> Messages | None:
        """The messages that a transaction executes, after the filter has vouched for them; None without any, or without a filter.
        This waits, so it holds no lock, and comes after all other checks. `PoolError` when the filter refuses them."""
        if self.message_filter is None or not tx.is_signed or not message_keys(tx.access_list):
            return None
        with self._lock:
            messages, head = self._check(tx, origin)[0].messages, self._head
        assert messages is not None and head is not None
        if POST_EXECUTION_TYPE not in self._config.fork_at(head.number, head.timestamp).transaction_types:
            raise PoolError(Reason.MESSAGES_BEFORE_LAGOON)
        now = self._now()
        self.message_filter.check(messages.keys, head.timestamp)
        messages.vouch(head, now)
        return messages

    def _messages(self, tx: SignedTransaction) -> Messages | None:
        keys = message_keys(tx.access_list) if self.message_filter is not None else []
        return Messages(keys) if keys else None

    def _announce(self, executable: Iterable[Pooled]) -> None:
        if self._events is not None:
            for pooled in executable:
                self._events.publish(PooledTransaction(pooled.hash, pooled.raw, pooled.origin))

    def _check(self, tx: Transaction, origin: Origin) -> tuple[Pooled, _Sender, list[Pooled]]:
        """Check everything that keeps a transaction out, in the order of geth's pool. Gives its place in the pool: its sender's queue,
        and the transactions that must leave for it. Nothing is changed."""
        if self._fork is None or self._head is None:
            raise PoolError(Reason.POOL_NOT_READY)
        if not tx.is_pooled or not tx.is_signed:
            raise PoolError(Reason.TYPE_NOT_ACCEPTED, type=tx.type)
        if tx.hash in self._by_hash:
            raise PoolError(Reason.ALREADY_KNOWN)
        try:
            sender = self._check_form(self._fork, self._head, tx)
        except PoolError:
            raise
        except InvalidTransaction as error:
            raise PoolError(error.reason, **error.facts) from error
        if self.refuses_below_base_fee and origin is Origin.LOCAL and tx.max_fee_per_gas < self._base_fee:
            raise PoolError(Reason.FEE_CAP_TOO_LOW)
        pooled = Pooled(tx, sender, tx.hash, self._now(), self._cost(tx), origin, self._messages(tx))
        queue = self._queue(sender)
        return pooled, queue, self._check_account(pooled, queue)

    def _check_form(self, fork: Fork, head: Header, tx: SignedTransaction) -> Address:
        """The checks that need no account; the sender."""
        if tx.type not in fork.transaction_types and tx.type in _CAME_WITH:
            raise PoolError(Reason.TYPE_NOT_YET_SUPPORTED, type=tx.type, fork=_CAME_WITH[tx.type])
        checks.check_type(fork, tx)
        checks.check_initcode(fork, tx.to, tx.data)
        checks.check_gas_cap(fork, tx.gas)
        if tx.gas > self._gas_limit(fork, head):
            raise PoolError(Reason.ABOVE_BLOCK_GAS_LIMIT)
        checks.check_tip(b"", tx.max_priority_fee_per_gas, tx.max_fee_per_gas)
        checks.check_signer(fork, tx, self._config.chain_id)
        sender = recover_sender(tx)
        if tx.nonce == MAX_UINT64:
            raise PoolError(Reason.NONCE_MAX)
        checks.check_gas(fork, tx)
        if tx.max_priority_fee_per_gas < self.minimum_tip:
            raise PoolError(Reason.TIP_TOO_LOW, tip=tx.max_priority_fee_per_gas, minimum=self.minimum_tip)
        checks.check_authorizations(tx, sender)
        return sender

    def _check_account(self, pooled: Pooled, queue: _Sender) -> list[Pooled]:
        """Nonce, funds, replacement and room against the sender's account and the other transactions; those that must leave."""
        tx, cost = pooled.tx, pooled.cost
        if tx.nonce < queue.nonce:
            raise PoolError(Reason.NONCE_TOO_LOW, tx=tx.nonce, state=queue.nonce)
        balance = queue.balance
        if cost > MAX_UINT256:
            raise PoolError(Reason.COST_OVERFLOWS)
        if balance < cost:
            raise PoolError(Reason.INSUFFICIENT_FUNDS, have=balance, want=cost, overshot=cost - balance)
        replaced = queue.by_nonce.get(tx.nonce)
        spent = sum(other.cost for other in queue.pending)
        if replaced is not None and tx.nonce < queue.end:
            bump = cost - replaced.cost
            overshot = spent + bump - balance
            if overshot > 0:
                raise PoolError(Reason.INSUFFICIENT_FUNDS_TO_REPLACE, balance=balance, queued=spent, bump=bump, overshot=overshot)
        elif balance < spent + cost:
            overshot = spent + cost - balance
            raise PoolError(Reason.INSUFFICIENT_FUNDS_WITH_QUEUED, balance=balance, queued=spent, cost=cost, overshot=overshot)
        if replaced is not None:
            least = 100 + self.settings.price_bump
            if tx.max_fee_per_gas * 100 < replaced.tx.max_fee_per_gas * least or (
                tx.max_priority_fee_per_gas * 100 < replaced.tx.max_priority_fee_per_gas * least
            ):
                raise PoolError(Reason.REPLACEMENT_UNDERPRICED)
            return []
        leaving = self._room_in_queue(queue) if tx.nonce > queue.end else []
        if len(self._by_hash) - len(leaving) >= self.settings.global_slots + self.settings.global_queue:
            leaving.append(self._cheapest_for(pooled, queue))
        return leaving

    def _room_in_queue(self, queue: _Sender) -> list[Pooled]:
        """Make room for one more queued transaction: the oldest queued one leaves if the limit is reached."""
        if len(queue.queued) >= self.settings.account_queue:
            raise PoolError(Reason.ACCOUNT_QUEUE_FULL)
        if self.status()[1] < self.settings.global_queue:
            return []
        waiting = [item for other in self._senders.values() for item in other.queued]
        return [min(waiting, key=lambda item: item.added_at)]

    def _cheapest_for(self, pooled: Pooled, queue: _Sender) -> Pooled:
        """The cheapest transaction that no other one depends on, which leaves a full pool; the newcomer must beat it.

        Senders with more executable transactions than every sender may have give way without that.
        """
        fair = self.settings.account_slots
        greedy = [other for other in self._senders.values() if other.end - other.nonce > fair]
        last = [other.by_nonce[max(other.by_nonce)] for other in greedy or self._senders.values()]
        cheapest = min(last, key=lambda item: item.tip(self._base_fee))
        is_fair = greedy and queue.end - queue.nonce < fair
        if cheapest.sender == pooled.sender or not (is_fair or pooled.tip(self._base_fee) > cheapest.tip(self._base_fee)):
            raise PoolError(Reason.UNDERPRICED)
        return cheapest

    def _insert(self, pooled: Pooled, queue: _Sender, leaving: Iterable[Pooled] = ()) -> list[Pooled]:
        """Put a checked transaction into its sender's queue in place of `leaving`; those that are executable now and were not before."""
        for other in leaving:
            self._remove(other)
        self._senders[pooled.sender] = queue  # also when its last transaction has just left
        replaced = queue.by_nonce.get(pooled.tx.nonce)
        if replaced is not None:
            del self._by_hash[replaced.hash]
        before = queue.end
        queue.put(pooled)
        self._by_hash[pooled.hash] = pooled
        self.revision += 1
        if pooled.tx.nonce < before:
            return [pooled]
        return [queue.by_nonce[nonce] for nonce in range(before, queue.end)]

    def _remove(self, pooled: Pooled) -> None:
        del self._by_hash[pooled.hash]
        queue = self._senders[pooled.sender]
        queue.take(pooled.tx.nonce)
        if not queue.by_nonce:
            del self._senders[pooled.sender]

    def _queue(self, sender: Address) -> _Sender:
        """The sender's queue; an empty one, not kept, for a sender without transactions."""
        queue = self._senders.get(sender)
        if queue is None:
            queue = _Sender()
            queue.move_to(*self._account(sender))
        return queue

    def _account(self, sender: Address) -> tuple[int, Wei]:
        account = (self._view.account(sender) if self._view is not None else None) or Account()
        return account.nonce, account.balance

    @staticmethod
    def _gas_limit(fork: Fork, head: Header) -> Gas:
        limit = head.gas_limit
        if fork.is_optimism:
            limit -= _L1_ATTRIBUTES_GAS
        return min(limit, checks.TRANSACTION_GAS_CAP) if fork.has(L1Rules.OSAKA) else limit

    def _cost(self, tx: SignedTransaction) -> Wei:
        """The most that a transaction can take from its sender."""
        cost = tx.gas * tx.max_fee_per_gas + tx.value
        if self._fork is not None and self._fork.is_optimism:
            cost += fees.l1_fee(self._fork, tx.raw, self._l1, fast_lz_length).fee + fees.operator_fee(self._fork, tx.gas, self._l1)
        return cost

    # ---- following the chain ----------------------------------------------------------------------------------------

    def reset(self, head: Header, view: StateView, removed: Sequence[Block] = (), added: Sequence[Block] = ()) -> None:
        """Follow the chain to a new head: drop what was included or became too old, take back what a reorg dropped."""
        with self._lock:
            self._head, self._view = head, view
            self._fork = self._config.fork_at(head.number + 1, self._config.earliest_child(head.timestamp))
            self._base_fee = eip1559.base_fee(self._config, self._fork, head) or 0
            self._l1 = from_storage(lambda slot: view.storage(L1_BLOCK, slot)) if self._fork.is_optimism else L1Attributes()
            for sender, queue in list(self._senders.items()):
                queue.move_to(*self._account(sender))
            self._drop_stale(head, self._gas_limit(self._fork, head))
            included = {keccak(raw) for block in added for raw in block.transactions} if removed else set()
            executable = [
                pooled
                for block in reversed(removed)
                for raw in block.transactions
                if record_of(raw).is_pooled and keccak(raw) not in included
                for pooled in self._take_back(raw)
            ]
            self.revision += 1
        self._announce(executable)

    def _drop_stale(self, head: Header, gas_limit: Gas) -> None:
        """Drop what was included, can no longer be paid for, fits into no block, or has waited too long: for an earlier nonce, or since
        its messages were checked."""
        oldest = self._now() - self.settings.lifetime_seconds
        for queue in list(self._senders.values()):
            for pooled in list(queue.by_nonce.values()):
                is_late = pooled.tx.nonce > queue.end and pooled.added_at < oldest
                is_late |= pooled.messages is not None and head.timestamp > pooled.messages.valid_until
                if pooled.tx.nonce < queue.nonce or pooled.cost > queue.balance or pooled.tx.gas > gas_limit or is_late:
                    self._remove(pooled)

    def _take_back(self, raw: bytes) -> list[Pooled]:
        try:
            pooled, queue, leaving = self._check(decode_transaction(raw), Origin.CHAIN)
        except PoolError:  # no longer valid: spent, replaced or out of funds on the new branch
            return []
        with suppress(JournalUnavailable):  # it was accepted once, and waits at least as long as this process runs
            self._keep(pooled)
        return self._insert(pooled, queue, leaving)

    def look_at_messages(self) -> None:
        """Check messages of waiting transactions again when it is time, and drop the transactions whose messages turned out invalid;
        all of them while the failsafe is on. Waits for filters; to be called about once a second."""
        if self.message_filter is None:
            return
        self.message_filter.look_at_failsafe()
        with self._lock:
            head = self._head
            waiting = [(item.hash, item.messages) for item in self._by_hash.values() if item.messages is not None]
        for tx_hash, messages in waiting:
            now = self._now()
            due = messages.checked_at is None or now - messages.checked_at >= AGAIN_SECONDS
            if head is None or not (due or self.message_filter.failsafe):
                continue
            try:
                self.message_filter.check(messages.keys, head.timestamp)
                messages.vouch(head, now)
            except PoolError as error:
                if error.reason in (Reason.MESSAGES_INVALID, Reason.MESSAGES_FAILSAFE):
                    self.drop(tx_hash)

    def clear(self) -> None:
        """Forget all transactions."""
        with self._lock:
            self._senders.clear()
            self._by_hash.clear()
            self.revision += 1
        self.rejournal()

    def drop(self, transaction_hash: Hash32) -> bool:
        """Forget one transaction; whether it was there."""
        with self._lock:
            pooled = self._by_hash.get(transaction_hash)
            if pooled is None:
                return False
            self._remove(pooled)
            self.revision += 1
        self.rejournal()
        return True

    # ---- surviving a restart ----------------------------------------------------------------------------------------

    def restore(self, journal: Journal) -> None:
        """Take back what `journal` holds, and keep in it from now on what is accepted; call it once, after the first `reset`. Of
        several transactions with one nonce only the last has a claim: it had replaced the others. `ConfigError` or
        `JournalUnavailable` when the journal cannot be read or written."""
        entries = journal.entries()
        with self._lock:
            latest: dict[tuple[Address, int], Pooled] = {}
            for entry in entries:
                with suppress(InvalidTransaction):
                    tx = decode_pooled(entry.raw)
                    if tx.is_pooled and tx.is_signed:
                        sender = recover_sender(tx)
                        latest[sender, tx.nonce] = Pooled(
                            tx, sender, tx.hash, entry.added_at, self._cost(tx), entry.origin, self._messages(tx)
                        )
            executable = [item for pooled in sorted(latest.values(), key=lambda pooled: pooled.tx.nonce) for item in self._readmit(pooled)]
            if self._fork is not None and self._head is not None:
                self._drop_stale(self._head, self._gas_limit(self._fork, self._head))
            self._journal, kept = journal, len(self._by_hash)
        journal.rotate(self._journaled)
        if entries:
            facts = {"transactions": kept, "outdated": len({entry.raw for entry in entries}) - kept, "file": journal.path}
            log.info("Transactions are back in the pool", extra={"fields": facts})
        self._announce(pooled for pooled in executable if pooled.hash in self._by_hash)

    def _readmit(self, pooled: Pooled) -> list[Pooled]:
        """Put an accepted transaction back, as long as the pool as a whole has room. How many of its sender's may wait for an earlier
        nonce is not asked: that decides only what is accepted, and this has been."""
        if self._fork is None or self._head is None:
            return []
        try:
            self._check_form(self._fork, self._head, pooled.tx)
        except InvalidTransaction:
            return []
        queue = self._queue(pooled.sender)
        if pooled.tx.nonce < queue.nonce or pooled.cost > queue.balance:
            return []
        leaving = []
        if len(self._by_hash) >= self.settings.global_slots + self.settings.global_queue:
            try:
                leaving = [self._cheapest_for(pooled, queue)]
            except PoolError:
                return []
        return self._insert(pooled, queue, leaving)

    def rejournal(self, if_due: bool = False) -> None:
        """Write the journal anew, without what has left the pool; with `if_due` only if its size still asks for it."""
        if self._journal is None:
            return
        try:
            self._journal.rotate(self._journaled, if_due)
        except JournalUnavailable as error:
            log.warning("The transaction journal could not be written anew; the old one goes on", extra={"fields": {"err": error}})

    def close(self) -> None:
        """Accept no more transactions that are kept in a journal, and close it."""
        if self._journal is not None:
            self._journal.close()

    def _journaled(self) -> list[Entry]:
        """What the journal must hold."""
        with self._lock:
            return [Entry(pooled.added_at, pooled.origin, pooled.raw) for pooled in self._by_hash.values()]

    def _keep(self, pooled: Pooled) -> None:
        if self._journal is not None:
            self._journal.append(Entry(pooled.added_at, pooled.origin, pooled.raw))

    def _settle(self, pooled: Pooled) -> None:
        """Wait for the disk if the journal is told to; a transaction that may not be there leaves the pool again."""
        try:
            if self._journal is not None:
                self._journal.settle()
        except JournalUnavailable:
            with self._lock:
                if pooled.hash in self._by_hash:
                    self._remove(pooled)
                    self.revision += 1
            raise

    # ---- reading ----------------------------------------------------------------------------------------------------

    def get(self, transaction_hash: Hash32) -> bytes | None:
        """The pooled transaction with this hash, as it was signed."""
        pooled = self._by_hash.get(transaction_hash)
        return None if pooled is None else pooled.raw

    def is_pending(self, transaction_hash: Hash32) -> bool:
        """Whether the transaction waits here and could be included now: no earlier nonce is missing."""
        with self._lock:
            pooled = self._by_hash.get(transaction_hash)
            return pooled is not None and pooled.tx.nonce < self._senders[pooled.sender].end

    def hashes(self) -> list[Hash32]:
        """The hashes of all pooled transactions."""
        with self._lock:
            return list(self._by_hash)

    def next_nonce(self, sender: Address) -> int:
        """The nonce after the sender's executable transactions: the "pending" transaction count."""
        with self._lock:
            return self._queue(sender).end

    def content(self) -> tuple[ByNonce, ByNonce]:
        """Pending and queued transactions as signed, by sender and nonce."""
        pending: ByNonce = {}
        queued: ByNonce = {}
        with self._lock:
            for sender, queue in self._senders.items():
                for part, items in ((pending, queue.pending), (queued, queue.queued)):
                    if items:
                        part[sender] = {item.tx.nonce: item.raw for item in items}
        return pending, queued

    def status(self) -> tuple[int, int]:
        """How many transactions are pending and how many queued."""
        with self._lock:
            pending = sum(queue.end - queue.nonce for queue in self._senders.values())
            return pending, len(self._by_hash) - pending

    def best(self, base_fee: Wei, last: Container[Hash32] = ()) -> "BestFirst":
        """The pending transactions that cover `base_fee`, best tip first, each sender's in nonce order; those in `last` at the end."""
        with self._lock:
            return BestFirst({sender: self._buildable(queue) for sender, queue in self._senders.items()}, base_fee, last)

    def _buildable(self, queue: _Sender) -> list[Pooled]:
        """The executable transactions up to the first whose messages nobody vouches for."""
        if self.message_filter is None:
            return queue.pending
        closed = self.message_filter.failsafe
        return list(takewhile(lambda item: item.messages is None or not (closed or item.messages.checked_at is None), queue.pending))
