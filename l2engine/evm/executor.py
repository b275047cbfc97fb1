"""The interface for executing blocks and calls. The reference and the native executor are interchangeable."""

from collections.abc import Callable, Mapping
from typing import Protocol

from l2engine.rules.forks import Fork
from l2engine.types.base import Address, Gas, Hash32
from l2engine.types.environment import BlockEnv
from l2engine.types.execution import AccountOverride, BlockResult, Call, CallResult, Deadline, RefundRule, TransactionResult
from l2engine.types.state import StateDiff, StateView
from l2engine.types.tracing import Tracer
from l2engine.types.transactions import Transactions


class BlockExecution(Protocol):
    """One block under execution; used alike for verifying and for building."""

    @property
    def gas_before_refunds(self) -> Gas:
        """Gas taken from the block's gas limit so far: what later transactions cannot ask for, even if it is refunded (Lagoon)."""

    def apply(
        self,
        raw: bytes,
        sender: Address | None = None,
        deadline: float | Deadline | None = None,
        tracer: Tracer | None = None,
        refund: RefundRule | None = None,
    ) -> TransactionResult:
        """Execute one transaction (EIP-2718 bytes), and settle what the block refunds of its gas (`BlockEnv.refunds`).

        `refund` decides about it instead where a block builder does; it is asked for signed transactions, once they have run.
        `sender` spares the signature check when it is already known. Past `deadline` (time.monotonic seconds) the
        transaction is stopped inside the opcode loop with `ExecutionTimeout` and undone. Raises `InvalidTransaction`
        when the block cannot hold the transaction; the execution is then as if it had never been tried.
        """

    def apply_all(self, transactions: Transactions) -> tuple[int, Exception] | None:
        """Execute transactions in order until one is refused: its index and the reason; None when all ran."""

    def diff(self) -> StateDiff:
        """What the block has changed so far."""

    def finish(self) -> BlockResult:
        """Close the block (rewards, withdrawals, requests under Ethereum rules) and hand out the result. Call once."""


class Executor(Protocol):
    """Runs transactions by the rules of one chain. Stateless: all state comes in through the view."""

    def begin(
        self,
        view: StateView,
        env: BlockEnv,
        intermediate_root: Callable[[StateDiff], Hash32] | None = None,
        fork: Fork | None = None,
    ) -> BlockExecution:
        """Start a block on the state after its parent: system calls and irregular transitions run here.

        `intermediate_root` gives the state root after each transaction for receipts before Byzantium. `fork` is the one in force,
        where the caller has looked it up already.
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
