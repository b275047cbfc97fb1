"""What state is, seen by those who read it and those who change it, and the seams between them.

An executor reads a `StateView` and answers with a `StateDiff`; a `StateStore` turns diffs into roots, layers and
bytes on disk. Executor and store know each other only through this module, so each has a Python and a native form.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from l2engine.types.base import EMPTY_CODE_HASH, Address, BlockNumber, Gas, Hash32, Timestamp, Wei
from l2engine.types.block import Block, Header, Receipt, Withdrawal


@dataclass(frozen=True, slots=True)
class Account:
    """An account without its storage; storage roots are the store's business."""

    nonce: int = 0
    balance: Wei = 0
    code_hash: Hash32 = EMPTY_CODE_HASH

    @property
    def is_empty(self) -> bool:
        """Whether EIP-161 removes the account when it is touched."""
        return self.nonce == 0 and self.balance == 0 and self.code_hash == EMPTY_CODE_HASH


class StateView(Protocol):
    """The state after one block, read-only. Reads may touch the disk; answers never change."""

    def account(self, address: Address) -> Account | None:
        """The account, or None when it does not exist."""

    def storage(self, address: Address, slot: int) -> int:
        """The slot's value, 0 when never set."""

    def has_storage(self, address: Address) -> bool:
        """Whether any slot of the account is set. Asked only where a contract is created over an account without code and nonce."""

    def code(self, code_hash: Hash32) -> bytes:
        """The code with this hash; `StoreError` when it is missing."""

    def block_hash(self, number: BlockNumber) -> Hash32 | None:
        """The hash of the ancestor with this number, the viewed block included; None when unknown."""


class TrieView(StateView, Protocol):
    """A view whose Merkle trie can be walked as well; what stores hand out."""

    @property
    def state_root(self) -> Hash32: ...
    def storage_root(self, address: Address) -> Hash32:
        """The root of the account's storage trie, the empty root when there is no such account."""

    def node(self, key: bytes) -> bytes | None:
        """A trie node by database key (`store.schema.node_key`); `StateUnavailable` where no nodes are kept."""


@dataclass(frozen=True, slots=True)
class AccountDiff:
    """One account after a block, as far as the block changed it."""

    account: Account | None
    """The account after the block; None when it is gone."""
    storage: Mapping[int, int] = field(default_factory=dict)
    """Changed slots and their new values; 0 clears the slot."""
    destroyed: bool = False
    """All storage from before the block vanishes first (SELFDESTRUCT before Cancun); `storage` then applies to an empty one."""


@dataclass(frozen=True, slots=True)
class StateDiff:
    """All that a block changed. Unchanged accounts and slots (same value as before the block) do not appear."""

    accounts: Mapping[Address, AccountDiff]
    codes: Mapping[Hash32, bytes]
    """Code that the block deployed, by its hash."""


@dataclass(frozen=True, slots=True)
class BlockEnv:
    """What is fixed for all transactions of one block, known before the first one runs."""

    number: BlockNumber
    timestamp: Timestamp
    gas_limit: Gas
    beneficiary: Address
    prev_randao: Hash32
    base_fee_per_gas: Wei | None
    """None before London."""
    parent: Header
    """The parent decides activation blocks and feeds the EIP-2935 call."""
    parent_beacon_block_root: Hash32 | None = None
    excess_blob_gas: int | None = None
    difficulty: int = 0
    """Non-zero only before the merge."""
    extra_data: bytes = b""
    withdrawals: tuple[Withdrawal, ...] | None = None
    """Ethereum rules only; on OP chains always empty."""
    ommers: tuple[Header, ...] = ()
    """Ethereum before the merge only: they earn rewards."""
    blob_base_fee: Wei | None = None
    """What BLOBBASEFEE gives a call that overrides it; None: what follows from the excess."""


@dataclass(frozen=True, slots=True)
class TransactionResult:
    """One executed transaction."""

    receipt: Receipt
    gas_used: Gas
    output: bytes
    """Return or revert data."""
    l1_fee: Wei = 0
    operator_fee: Wei = 0


@dataclass(frozen=True, slots=True)
class BlockResult:
    """An executed block, before its state root is known."""

    receipts: Sequence[Receipt]
    gas_used: Gas
    blob_gas_used: int
    """EIP-4844 gas under Ethereum rules, the DA footprint from Jovian on, else 0."""
    requests: tuple[bytes, ...] | None
    """EIP-7685 requests under Ethereum's Prague rules; on OP chains always empty."""
    diff: StateDiff
    receipts_root: Hash32 | None = None
    """Set by executors that compute it along the way, like the next one."""
    logs_bloom: bytes | None = None


@dataclass(frozen=True, slots=True)
class TracedTransaction:
    """What a tracer learns before a transaction or call begins, when nothing has been paid yet."""

    env: BlockEnv
    sender: Address
    to: Address
    """The created address when `creates`."""
    creates: bool
    gas: Gas
    """The transaction's gas limit."""
    precompiles: frozenset[Address]
    state: StateView
    """The state under execution: it answers with what is true at the moment of asking, unlike other views."""
    authorities: tuple[Address, ...] = ()
    """Accounts whose delegation the transaction may change (EIP-7702)."""
    base_fee_recipient: Address | None = None
    """OP chains: the vault that the base fee goes to."""


class TracedFrame(Protocol):
    """The running frame, as a tracer sees it; to be looked at only while the tracer is called."""

    @property
    def address(self) -> Address:
        """The account whose storage and balance it works on."""

    @property
    def depth(self) -> int:
        """1 for the outermost."""

    @property
    def gas(self) -> Gas:
        """What is left before the step."""

    @property
    def stack(self) -> Sequence[int]:
        """The top is last."""

    @property
    def memory(self) -> bytes:
        """Empty unless the tracer asks for it (`Tracer.memory`)."""

    @property
    def memory_size(self) -> int: ...

    @property
    def return_data(self) -> bytes:
        """What the last call handed back."""

    @property
    def refund(self) -> int:
        """The refund counter of the whole transaction; true once the step is done."""


class Tracer(Protocol):
    """Listens to the execution of one transaction or call; see `evm/tracers` for those of debug_*, `evm/trace.py` and
    `evm/native_trace.py` for how the executors attach them. Every method may do nothing."""

    steps: frozenset[int]
    """The opcodes for which `step` and `step_done` are called; without any, tracing costs next to nothing."""

    memory: bool
    """Whether a step's frame shows its memory."""

    def begin(self, transaction: TracedTransaction) -> None:
        """Before anything is charged."""

    def enter(self, kind: str, sender: Address, to: Address, value: Wei, gas: Gas, data: bytes) -> None:
        """A call or create frame begins; `kind` is the opcode's name (CALL, CREATE2, SELFDESTRUCT, …)."""

    def leave(self, output: bytes, gas_used: Gas, error: str | None) -> None:
        """The innermost frame ends; `error` is geth's text."""

    def log(self, address: Address, topics: tuple[Hash32, ...], data: bytes) -> None:
        """The running frame emitted an event."""

    def step(self, frame: TracedFrame, pc: int, opcode: int) -> None:
        """Before an opcode runs."""

    def step_done(self, frame: TracedFrame, cost: Gas, error: str | None) -> None:
        """The opcode's cost is known: before the frame that it opens, or after it ran."""

    def end(self, gas_used: Gas, error: str | None) -> None:
        """After everything is charged and refunded."""


class Deadline:
    """A moment (time.monotonic seconds) that may be brought forward while the execution it bounds is running.

    Compares with floats, so that `time.monotonic() > deadline` works for both.
    """

    __slots__ = ("at",)

    def __init__(self, at: float) -> None:
        self.at = at

    def __lt__(self, now: float) -> bool:
        return self.at < now

    def __le__(self, now: float) -> bool:
        return self.at <= now

    def __gt__(self, now: float) -> bool:
        return self.at > now

    def __ge__(self, now: float) -> bool:
        return self.at >= now


class BlockExecution(Protocol):
    """One block under execution; used alike for verifying and for building."""

    gas_used: Gas
    """Gas taken from the block's pool so far."""

    def apply(
        self, raw: bytes, sender: Address | None = None, deadline: float | Deadline | None = None, tracer: Tracer | None = None
    ) -> TransactionResult:
        """Execute one signed transaction or deposit (EIP-2718 bytes).

        `sender` spares the signature check when it is already known. Past `deadline` (time.monotonic seconds) the
        transaction is stopped inside the opcode loop with `ExecutionTimeout` and undone. Raises `InvalidTransaction`
        when the transaction cannot stand in this block; the execution is then as if it had never been tried.
        """

    def finish(self) -> BlockResult:
        """Close the block (rewards, withdrawals, requests under Ethereum rules) and hand out the result. Call once."""


@dataclass(frozen=True, slots=True)
class Call:
    """A message call that pays nothing, as eth_call makes it."""

    sender: Address
    to: Address | None
    """None creates a contract."""
    gas: Gas
    gas_price: Wei = 0
    max_fee_per_gas: Wei | None = None
    max_priority_fee_per_gas: Wei | None = None
    value: Wei = 0
    data: bytes = b""
    access_list: tuple[tuple[Address, tuple[Hash32, ...]], ...] = ()
    authorization_list: tuple[object, ...] = ()
    """`Authorization` records (EIP-7702)."""
    blob_versioned_hashes: tuple[Hash32, ...] = ()
    nonce: int | None = None
    """None takes the account's own."""


@dataclass(frozen=True, slots=True)
class AccountOverride:
    """eth_call's state override for one account; None keeps what is there."""

    nonce: int | None = None
    balance: Wei | None = None
    code: bytes | None = None
    state: Mapping[int, int] | None = None
    """Replaces the whole storage."""
    state_diff: Mapping[int, int] | None = None
    """Replaces single slots."""
    move_precompile_to: Address | None = None


@dataclass(frozen=True, slots=True)
class CallResult:
    """The outcome of a `Call`."""

    success: bool
    output: bytes
    """Return data, or revert data when `error` is "execution reverted"."""
    gas_used: Gas
    """After refunds and the EIP-7623 floor."""
    gas_refund: Gas
    error: str | None
    """geth's text: "execution reverted", "out of gas", "invalid opcode: INVALID", …; None on success."""
    created: Address | None = None
    """The new contract, when one was created."""
    logs: tuple[object, ...] = ()


class Executor(Protocol):
    """Runs transactions by the rules of one chain. Stateless: all state comes in through the view."""

    def begin(self, view: StateView, env: BlockEnv, intermediate_root: Callable[[StateDiff], Hash32] | None = None) -> BlockExecution:
        """Start a block on the state after its parent: system calls and irregular transitions run here.

        `intermediate_root` gives the state root after each transaction for receipts before Byzantium.
        """

    def call(
        self,
        view: StateView,
        env: BlockEnv,
        call: Call,
        overrides: Mapping[Address, AccountOverride] | None = None,
        deadline: float | Deadline | None = None,
        tracer: Tracer | None = None,
    ) -> CallResult:
        """Run one message call on the state after a block, with that block's environment; nothing is kept.

        Raises `InvalidTransaction` when the call could not even start (funds, intrinsic gas), `ExecutionTimeout` past `deadline`.
        """


class Batch(Protocol):
    """Writes that become durable together or not at all."""

    def put(self, key: bytes, value: bytes) -> None: ...
    def delete(self, key: bytes) -> None: ...
    def write(self, sync: bool = False) -> None:
        """Apply all of it atomically; `sync` waits for the disk."""


class Snapshot(Protocol):
    """A frozen picture of a `KeyValue`."""

    def get(self, key: bytes) -> bytes | None: ...
    def iterate(self, start: bytes, stop: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < stop, in key order."""


class KeyValue(Snapshot, Protocol):
    """An ordered byte store: LevelDB, or a dictionary for tests and the dev chain."""

    def batch(self) -> Batch: ...
    def snapshot(self) -> Snapshot: ...
    def close(self) -> None: ...

    @property
    def failure(self) -> str | None:
        """Why a write failed, since when every other raises `StoreUnavailable`; reads go on. None while all is well."""

    def has_room(self) -> bool:
        """Whether the disk takes about as much as `reopen` may write."""

    def reopen(self) -> None:
        """Close and open again, so that writes are taken. Snapshots from before raise `StoreUnavailable` from then on. On a
        `StoreError` the store is closed, and may be reopened later."""


@dataclass(frozen=True, slots=True)
class AccountProof:
    """A Merkle proof of one account and some of its slots (EIP-1186), nodes from the root down, RLP."""

    address: Address
    account: Account | None
    storage_root: Hash32
    nodes: tuple[bytes, ...]
    storage: tuple[tuple[int, int, tuple[bytes, ...]], ...]
    """(slot, value, nodes) in the order asked."""


class PreparedState(Protocol):
    """A diff whose root is known and that can be pushed without computing it again."""

    @property
    def root(self) -> Hash32: ...


class StateStore(Protocol):
    """State of every kept block: a canonical base on disk, its past, and one layer per recent block."""

    def view(self, block_hash: Hash32) -> TrieView:
        """The state after that block; `StateUnavailable` when it is not kept."""

    def prepare(self, parent_hash: Hash32, diff: StateDiff) -> PreparedState:
        """Compute the state root of `diff` on top of the parent. Writes nothing."""

    def storage_root(self, state: Hash32 | PreparedState, address: Address) -> Hash32:
        """An account's storage root after a block (by hash) or in a prepared state."""

    def push(self, batch: Batch, block: Block, prepared: PreparedState) -> None:
        """Add the block's diff and code to `batch`, to be written before VALID is answered; `attach` follows the write.

        The order for one block: `blocks.put(batch, …)`, `state.push(batch, …)`, `batch.write()`, `blocks.remember(…)`,
        `state.attach(…)`.
        """

    def reload(self) -> None:
        """Take up what the reopened database holds. Views from before raise `StoreUnavailable`."""

    def attach(self, block: Block, prepared: PreparedState) -> None:
        """Make a pushed state readable under the block's hash, once its batch is written. Cannot fail for lack of anything."""

    def has(self, block_hash: Hash32) -> bool:
        """Whether `view` would answer."""

    def set_head(self, path: Sequence[Header]) -> None:
        """Move the base where the canonical chain, given from the common ancestor upward, wants it (only the last header, the
        new head, is looked at; an empty path does nothing).

        Call it after the batch with the new head marker is written. It writes batches of its own, and a crash between them
        loses nothing. A head at or below the base moves nothing. When the head stands on another branch, states of the old
        branch that were in the base are gone afterwards (`has` is False): their blocks must be executed again to return.
        """

    def proof(self, block_hash: Hash32, address: Address, slots: Sequence[int]) -> AccountProof:
        """`StateUnavailable` below the window of kept proofs."""
