"""The seam between the chain and an executor: blocks and calls to run, and their results.

Executor and store know each other only through this module, `types/state.py` and `types/storage.py`, so each has a
Python and a native form.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from l2engine.types.base import Address, Gas, Hash32, Wei
from l2engine.types.delegation import Authorization
from l2engine.types.environment import BlockEnv
from l2engine.types.failure import Failure
from l2engine.types.receipt import Log, Receipt
from l2engine.types.state import StateDiff, StateView
from l2engine.types.tracing import Tracer


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
    receipts_root: Hash32
    logs_bloom: bytes
    value: Wei
    """What the beneficiary has earned: gas used times effective tip."""


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

    @property
    def gas_used(self) -> Gas:
        """Gas taken from the block's gas limit so far."""

    def apply(
        self, raw: bytes, sender: Address | None = None, deadline: float | Deadline | None = None, tracer: Tracer | None = None
    ) -> TransactionResult:
        """Execute one signed transaction or deposit (EIP-2718 bytes).

        `sender` spares the signature check when it is already known. Past `deadline` (time.monotonic seconds) the
        transaction is stopped inside the opcode loop with `ExecutionTimeout` and undone. Raises `InvalidTransaction`
        when the transaction cannot stand in this block; the execution is then as if it had never been tried.
        """

    def apply_all(self, raws: Sequence[bytes]) -> tuple[int, Exception] | None:
        """Execute transactions in order until one is refused: its index and the reason; None when all ran."""

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
    authorization_list: tuple[Authorization, ...] = ()
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
    """Return data, or revert data when it has reverted."""
    gas_used: Gas
    """After refunds and the EIP-7623 floor."""
    gas_refund: Gas
    failure: Failure | None
    """None on success."""
    created: Address | None = None
    """The new contract, when one was created."""
    logs: tuple[Log, ...] = ()


class Executor(Protocol):
    """Runs transactions by the rules of one chain. Stateless: all state comes in through the view."""

    def begin(self, view: StateView, env: BlockEnv, intermediate_root: Callable[[StateDiff], Hash32] | None = None) -> BlockExecution:
        """Start a block on the state after its parent: system calls and irregular transitions run here.

        `intermediate_root` gives the state root after each transaction for receipts before Byzantium.
        """

    def prepare(self, env: BlockEnv, call: Call | None, overrides: Mapping[Address, AccountOverride] | None, traced: bool) -> None:
        """Import what such a call (None: such a block) needs, which may take seconds on a busy machine: before its time begins."""

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
