"""The transaction pool: per sender a queue by nonce, of which the executable front is pending.

What a sender must afford includes the L1 data fee and the operator fee, read from the head's state. Limits, lifetimes
and error texts are geth's. Sources: digest section 7; EIP-7825, 7623, 3860.
"""

import heapq
import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from l2engine.chain.events import Events, Origin, PooledTransaction
from l2engine.errors import DecodeError, InvalidTransaction, PoolError
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
from l2engine.types.transaction import SetCodeTransaction, SignedTransaction, Transaction, effective_tip, record_of
from l2engine.types.transaction_codec import decode_transaction, recover_sender

ByNonce: TypeAlias = dict[Address, dict[int, bytes]]

MAX_TRANSACTION_SIZE = 128 * 1024
_CAME_WITH = {1: "Berlin", 2: "London", SetCodeTransaction.type: "Prague"}
"""The Ethereum fork that a type came with, as geth's pool names it."""
_L1_ATTRIBUTES_GAS = 70_000  # what op-geth keeps free of a block for the L1-attributes deposit


@dataclass(frozen=True, slots=True)
class Pooled:
    """A transaction in the pool."""

    tx: SignedTransaction
    sender: Address
    hash: Hash32
    added_at: float
    cost: Wei
    """The most that it can take from its sender, L1 and operator fee as of the head that it was admitted on."""
    origin: Origin = Origin.LOCAL

    @property
    def raw(self) -> bytes:
        return self.tx.raw

    def tip(self, base_fee: Wei) -> Wei:
        """What the beneficiary earns per gas; negative when the base fee is not even covered."""
        return effective_tip(self.tx, base_fee)


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
        self, config: ChainConfig, settings: PoolSettings | None = None, events: Events | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings or PoolSettings()
        self.minimum_tip = self.settings.price_limit
        """The least tip in wei per gas (miner_setGasPrice)."""
        self.refuses_below_base_fee = False
        """Whether a transaction sent here must cover the next block's base fee, as on a dev chain. geth's pool lets it wait."""
        self.revision = 0
        """Counts changes, so that the builder knows when to look again."""
        self._config, self._events, self._now = config, events, now
        self._lock = threading.RLock()
        self._senders: dict[Address, _Sender] = {}
        self._by_hash: dict[Hash32, Pooled] = {}
        self._head: Header | None = None
        self._view: StateView | None = None
        self._fork: Fork | None = None
        self._base_fee: Wei = 0
        self._l1 = L1Attributes()

    # ---- adding -----------------------------------------------------------------------------------------------------

    def add(self, raw: bytes, origin: Origin = Origin.LOCAL) -> Hash32:
        """Take a signed transaction and give its hash. `PoolError` in geth's words when it cannot be taken."""
        return self.add_decoded(decode_pooled(raw), origin)

    def add_decoded(self, tx: Transaction, origin: Origin = Origin.LOCAL) -> Hash32:
        """`add` for a transaction that `decode_pooled` or a signer has made."""
        with self._lock:
            executable = self._admit(tx, origin)
            self.revision += 1
        self._announce(executable)
        return tx.hash

    def _announce(self, executable: Iterable[Pooled]) -> None:
        if self._events is not None:
            for pooled in executable:
                self._events.publish(PooledTransaction(pooled.hash, pooled.raw, pooled.origin))

    def _admit(self, tx: Transaction, origin: Origin) -> list[Pooled]:
        """Check everything that keeps a transaction out, in the order of geth's pool, and put it in; those that it makes executable."""
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
        pooled = Pooled(tx, sender, tx.hash, self._now(), self._cost(tx), origin)
        queue = self._queue(sender)
        self._check_account(pooled, queue)
        return self._insert(pooled, queue)

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

    def _check_account(self, pooled: Pooled, queue: _Sender) -> None:
        """Nonce, funds, replacement and room against the sender's account and the other transactions."""
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
            return
        if tx.nonce > queue.end:
            self._make_room_in_queue(queue)
        if len(self._by_hash) >= self.settings.global_slots + self.settings.global_queue:
            self._make_room(pooled, queue)

    def _make_room_in_queue(self, queue: _Sender) -> None:
        """Make room for one more queued transaction, dropping the oldest queued one if the limit is reached."""
        if len(queue.queued) >= self.settings.account_queue:
            raise PoolError(Reason.ACCOUNT_QUEUE_FULL)
        if self.status()[1] >= self.settings.global_queue:
            waiting = [item for other in self._senders.values() for item in other.queued]
            self._remove(min(waiting, key=lambda item: item.added_at))

    def _make_room(self, pooled: Pooled, queue: _Sender) -> None:
        """Drop the cheapest transaction that no other one depends on; the newcomer must beat it.

        Senders with more executable transactions than every sender may have give way without that.
        """
        fair = self.settings.account_slots
        greedy = [other for other in self._senders.values() if other.end - other.nonce > fair]
        last = [other.by_nonce[max(other.by_nonce)] for other in greedy or self._senders.values()]
        cheapest = min(last, key=lambda item: item.tip(self._base_fee))
        is_fair = greedy and queue.end - queue.nonce < fair
        if cheapest.sender == pooled.sender or not (is_fair or pooled.tip(self._base_fee) > cheapest.tip(self._base_fee)):
            raise PoolError(Reason.UNDERPRICED)
        self._remove(cheapest)

    def _insert(self, pooled: Pooled, queue: _Sender) -> list[Pooled]:
        """Put a checked transaction into its sender's queue; those that are executable now and were not before."""
        self._senders[pooled.sender] = queue  # also when making room has just taken its last transaction out
        replaced = queue.by_nonce.get(pooled.tx.nonce)
        if replaced is not None:
            del self._by_hash[replaced.hash]
        before = queue.end
        queue.put(pooled)
        self._by_hash[pooled.hash] = pooled
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
            oldest, gas_limit = self._now() - self.settings.lifetime_seconds, self._gas_limit(self._fork, head)
            for sender, queue in list(self._senders.items()):
                queue.move_to(*self._account(sender))
                for pooled in list(queue.by_nonce.values()):
                    is_late = pooled.tx.nonce > queue.end and pooled.added_at < oldest
                    if pooled.tx.nonce < queue.nonce or pooled.cost > queue.balance or pooled.tx.gas > gas_limit or is_late:
                        self._remove(pooled)
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

    def _take_back(self, raw: bytes) -> list[Pooled]:
        try:
            return self._admit(decode_transaction(raw), Origin.CHAIN)
        except PoolError:  # no longer valid: spent, replaced or out of funds on the new branch
            return []

    def clear(self) -> None:
        """Forget all transactions."""
        with self._lock:
            self._senders.clear()
            self._by_hash.clear()
            self.revision += 1

    def drop(self, transaction_hash: Hash32) -> bool:
        """Forget one transaction; whether it was there."""
        with self._lock:
            pooled = self._by_hash.get(transaction_hash)
            if pooled is not None:
                self._remove(pooled)
                self.revision += 1
            return pooled is not None

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
            return BestFirst({sender: queue.pending for sender, queue in self._senders.items()}, base_fee, last)


class BestFirst(Iterator[Pooled]):
    """Iterates over pending transactions by tip; `skip_sender` gives up on the rest of the last one's sender."""

    def __init__(self, pending: dict[Address, list[Pooled]], base_fee: Wei, put_last: Container[Hash32] = ()) -> None:
        self._base_fee, self._put_last = base_fee, put_last
        self._waiting = {sender: iter(items) for sender, items in pending.items()}
        self._heap: list[tuple[bool, Wei, float, int, Pooled]] = []
        self._count = 0
        self._last: Pooled | None = None
        self._push(self._waiting)

    def _push(self, senders: Iterable[Address]) -> None:
        for sender in senders:
            following = next(self._waiting[sender], None)
            if following is not None and following.tip(self._base_fee) >= 0:
                self._count += 1
                is_last = following.hash in self._put_last
                heapq.heappush(self._heap, (is_last, -following.tip(self._base_fee), following.added_at, self._count, following))

    def __next__(self) -> Pooled:
        if self._last is not None:
            self._push([self._last.sender])
            self._last = None
        if not self._heap:
            raise StopIteration
        self._last = heapq.heappop(self._heap)[4]
        return self._last

    def skip_sender(self) -> None:
        """Leave out the sender of the transaction that came last: what follows in its queue depends on it."""
        self._last = None
