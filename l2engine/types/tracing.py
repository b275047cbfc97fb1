"""The interface between an executor and a `Tracer` that follows its execution, with the data that the tracer sees."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from l2engine.types.base import Address, Gas, Hash32, Wei
from l2engine.types.environment import BlockEnv
from l2engine.types.failure import Failure
from l2engine.types.state import StateView


@dataclass(frozen=True, slots=True)
class TracedTransaction:
    """The data that a tracer gets before a transaction or call begins, when nothing has been paid yet."""

    env: BlockEnv
    sender: Address
    to: Address
    """The address of the new contract when `creates` is True."""
    creates: bool
    gas: Gas
    """The transaction's gas limit."""
    precompiles: frozenset[Address]
    state: StateView
    """The state under execution. Unlike other views it changes: each read returns the current value."""
    authorities: tuple[Address, ...] = ()
    """Accounts whose delegation the transaction may change (EIP-7702)."""
    base_fee_recipient: Address | None = None
    """OP chains: the vault that the base fee goes to."""


class TracedFrame(Protocol):
    """The running call frame, as a tracer sees it. Read it only during the call of the tracer."""

    @property
    def address(self) -> Address:
        """The account whose storage and balance the frame uses."""

    @property
    def depth(self) -> int:
        """The call depth, 1 for the outermost frame."""

    @property
    def gas(self) -> Gas:
        """The gas left before the step."""

    @property
    def stack(self) -> Sequence[int]:
        """The stack, with the top item last."""

    @property
    def memory(self) -> bytes:
        """The frame's memory; empty unless the tracer asks for it (`Tracer.memory`)."""

    @property
    def memory_size(self) -> int: ...

    @property
    def return_data(self) -> bytes:
        """The data that the last call returned."""

    @property
    def refund(self) -> int:
        """The refund counter of the whole transaction; correct only once the step is done."""


class Tracer(Protocol):
    """Follows the execution of one transaction or call. The tracers of debug_* are in `evm/tracers`; `evm/reference/trace.py`
    and `evm/native/trace.py` attach tracers to the executors. Every method may do nothing."""

    steps: frozenset[int]
    """The opcodes for which `step` and `step_done` are called; with an empty set, tracing costs next to nothing."""

    memory: bool
    """Whether a step's frame shows its memory."""

    def begin(self, transaction: TracedTransaction) -> None:
        """Called before anything is charged."""

    def enter(self, kind: str, sender: Address, to: Address, value: Wei, gas: Gas, data: bytes) -> None:
        """A call or create frame begins; `kind` is the opcode's name (CALL, CREATE2, SELFDESTRUCT, …)."""

    def leave(self, output: bytes, gas_used: Gas, failure: Failure | None) -> None:
        """The innermost frame ends."""

    def log(self, address: Address, topics: tuple[Hash32, ...], data: bytes) -> None:
        """The running frame emitted an event."""

    def step(self, frame: TracedFrame, pc: int, opcode: int) -> None:
        """Called before an opcode runs."""

    def step_done(self, frame: TracedFrame, cost: Gas, error: str | None) -> None:
        """Called when the opcode's cost is known: before the frame that it opens, or after it ran. `error` is geth's text for display."""

    def end(self, gas_used: Gas, error: str | None) -> None:
        """Called after everything is charged and refunded. It is the only call for a post-execution transaction (Lagoon)."""
