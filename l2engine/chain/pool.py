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

from l2engine.chain.events import Events, PooledTransaction
from l2engine.errors import DecodeError, InvalidTransaction, PoolError
from l2engine.rules import eip1559, fees
from l2engine.rules.config import ChainConfig
from l2engine.rules.forks import Fork, L1Rules
from l2engine.rules.intrinsic_gas import TRANSACTION_GAS_CAP, floor_gas, intrinsic_gas, validate_form
from l2engine.rules.l1_attributes import L1Attributes, from_storage
from l2engine.rules.predeploys import L1_BLOCK
from l2engine.types.accelerated import fast_lz_length
from l2engine.types.base import Address, Gas, Hash32, Wei, keccak
from l2engine.types.block import Block
from l2engine.types.header import Header
from l2engine.types.state import Account, StateView
from l2engine.types.transaction import (
    BlobTransaction,
    DepositTransaction,
    SignedTransaction,
    Transaction,
    decode_transaction,
    recover_sender,
)

ByNonce: TypeAlias = dict[Address, dict[int, bytes]]

MAX_TRANSACTION_SIZE = 128 * 1024
_POOL_WORDS = {
    "invalid chain id": "invalid sender: {}",  # geth finds these two while it recovers the sender
    "invalid transaction v, r, s values": "invalid sender: {}",
    "max priority fee per gas higher than max fee": "max priority fee per gas higher than max fee per gas",
    "EIP-7702 transaction with empty auth list": "set code tx must have at least one authorization tuple",
}
"""Where geth's pool words a refusal otherwise than its state transition, by how the latter begins."""
_L1_ATTRIBUTES_GAS = 70_000  # what op-geth keeps free of a block for the L1-attributes deposit


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """geth's --txpool.* flags."""

    price_limit: Wei = 1
    """The least tip."""
    price_bump: int = 10
    """By how many percent a replacement must pay more."""
    account_slots: int = 16
    """Executable transactions that each sender may always have."""
    global_slots: int = 5120
    account_queue: int = 64
    """Transactions of one sender that wait for an earlier nonce."""
    global_queue: int = 1024
    lifetime_seconds: float = 3 * 3600
    """How long a transaction may wait for an earlier nonce."""


@dataclass(frozen=True, slots=True)
class Pooled:
    """A transaction in the pool."""

    tx: SignedTransaction
    sender: Address
    hash: Hash32
    added_at: float
    cost: Wei
    """The most that it can take from its sender, L1 and operator fee as of the head that it was admitted on."""

    @property
    def raw(self) -> bytes:
        return self.tx.raw

    def tip(self, base_fee: Wei) -> Wei:
        """What the beneficiary earns per gas; negative when the base fee is not even covered."""
        return min(self.tx.max_priority_fee_per_gas, self.tx.max_fee_per_gas - base_fee)


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
        raise PoolError(f"oversized data: transaction size {len(raw)}, limit {MAX_TRANSACTION_SIZE}")
    try:
        return decode_transaction(raw)
    except DecodeError as error:
        raise PoolError(str(error)) from error


class Pool:
    """Transactions waiting for a block. Any thread may use it."""

    def __init__(
        self, config: ChainConfig, settings: PoolSettings | None = None, events: Events | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings or PoolSettings()
        self.minimum_tip = self.settings.price_limit
        """The least tip in wei per gas (miner_setGasPrice)."""
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

    def add(self, raw: bytes) -> Hash32:
        """Take a signed transaction and give its hash. `PoolError` in geth's words when it cannot be taken."""
        tx = decode_pooled(raw)
        with self._lock:
            pooled = self._check(tx)
            executable = self._insert(pooled)
            self.revision += 1
        self._announce(executable)
        return pooled.hash

    def _announce(self, executable: Iterable[Pooled]) -> None:
        if self._events is not None:
            for pooled in executable:
                self._events.publish(PooledTransaction(pooled.hash, pooled.raw))

    def _check(self, tx: object) -> Pooled:
        """Everything that keeps a transaction out, in geth's order."""
        if self._fork is None or self._head is None:
            raise PoolError("the pool is not ready")
        fork, head = self._fork, self._head
        if (isinstance(tx, DepositTransaction | BlobTransaction) and fork.is_optimism) or isinstance(tx, DepositTransaction):
            raise PoolError("transaction type not supported")
        assert isinstance(tx, SignedTransaction)
        if tx.hash in self._by_hash:
            raise PoolError("already known")
        try:
            validate_form(fork, tx, self._config.chain_id)
            if tx.gas > self._gas_limit(fork, head):
                raise PoolError("exceeds block gas limit")
            sender = recover_sender(tx)
            needed = intrinsic_gas(fork, tx)
            if tx.gas < needed:
                raise PoolError(f"intrinsic gas too low: gas {tx.gas}, minimum needed {needed}")
            floor = floor_gas(fork, tx)
            if tx.gas < floor:
                raise PoolError(f"insufficient gas for floor data gas cost: gas {tx.gas}, minimum needed {floor}")
        except PoolError:
            raise
        except InvalidTransaction as error:
            text = str(error)
            raise PoolError(next((words for begin, words in _POOL_WORDS.items() if text.startswith(begin)), "{}").format(text)) from error
        if tx.max_priority_fee_per_gas < self.minimum_tip:
            raise PoolError(
                f"transaction gas price below minimum: gas tip cap {tx.max_priority_fee_per_gas}, minimum needed {self.minimum_tip}"
            )
        pooled = Pooled(tx, sender, tx.hash, self._now(), self._cost(tx))
        self._check_account(pooled)
        return pooled

    def _check_account(self, pooled: Pooled) -> None:
        """Nonce, funds, replacement and room against the sender's account and the other transactions."""
        tx, cost, queue = pooled.tx, pooled.cost, self._queue(pooled.sender)
        if tx.nonce < queue.nonce:
            raise PoolError(f"nonce too low: next nonce {queue.nonce}, tx nonce {tx.nonce}")
        words = f"insufficient funds for gas * price + value: balance {queue.balance}"
        if queue.balance < cost:
            raise PoolError(f"{words}, tx cost {cost}, overshot {cost - queue.balance}")
        replaced = queue.by_nonce.get(tx.nonce)
        spent = sum(other.cost for other in queue.pending)
        if replaced is not None and tx.nonce < queue.end:
            bump = cost - replaced.cost
            if queue.balance < spent + bump:
                raise PoolError(f"{words}, queued cost {spent}, tx bumped {bump}, overshot {spent + bump - queue.balance}")
        elif queue.balance < spent + cost:
            raise PoolError(f"{words}, queued cost {spent}, tx cost {cost}, overshot {spent + cost - queue.balance}")
        if replaced is not None:
            least = 100 + self.settings.price_bump
            if tx.max_fee_per_gas * 100 < replaced.tx.max_fee_per_gas * least or (
                tx.max_priority_fee_per_gas * 100 < replaced.tx.max_priority_fee_per_gas * least
            ):
                raise PoolError("replacement transaction underpriced")
            return
        if tx.nonce > queue.end:
            self._make_room_in_queue(queue)
        if len(self._by_hash) >= self.settings.global_slots + self.settings.global_queue:
            self._make_room(pooled, queue)

    def _make_room_in_queue(self, queue: _Sender) -> None:
        """See that one more may wait for an earlier nonce; when too many do, the one that waits longest goes."""
        if len(queue.queued) >= self.settings.account_queue:
            raise PoolError("account limit exceeded: too many queued transactions of this sender")
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
            raise PoolError("transaction underpriced")
        self._remove(cheapest)

    def _insert(self, pooled: Pooled) -> list[Pooled]:
        """Put a checked transaction in; those that are executable now and were not before."""
        queue = self._senders.setdefault(pooled.sender, self._queue(pooled.sender))
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
        return min(limit, TRANSACTION_GAS_CAP) if fork.has(L1Rules.OSAKA) else limit

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
            self._fork = self._config.fork_at(head.number + 1, head.timestamp + 1)
            self._base_fee = eip1559.base_fee(self._config, head, head.number + 1, head.timestamp + 1) or 0
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
                if raw[0] != DepositTransaction.type and keccak(raw) not in included
                for pooled in self._take_back(raw)
            ]
            self.revision += 1
        self._announce(executable)

    def _take_back(self, raw: bytes) -> list[Pooled]:
        try:
            return self._insert(self._check(decode_transaction(raw)))
        except PoolError:  # it stands no longer: spent, replaced or out of funds on the new branch
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
