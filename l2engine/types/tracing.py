"""The seam between an executor and who listens to it: a `Tracer`, and what it is shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from l2engine.types.base import Address, Gas, Hash32, Wei
from l2engine.types.environment import BlockEnv
from l2engine.types.failure import Failure
from l2engine.types.state import StateView


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
    """Listens to the execution of one transaction or call; see `evm/tracers` for those of debug_*, `evm/reference/trace.py`
    and `evm/native/trace.py` for how the executors attach them. Every method may do nothing."""

    steps: frozenset[int]
    """The opcodes for which `step` and `step_done` are called; without any, tracing costs next to nothing."""

    memory: bool
    """Whether a step's frame shows its memory."""

    def begin(self, transaction: TracedTransaction) -> None:
        """Before anything is charged."""

    def enter(self, kind: str, sender: Address, to: Address, value: Wei, gas: Gas, data: bytes) -> None:
        """A call or create frame begins; `kind` is the opcode's name (CALL, CREATE2, SELFDESTRUCT, …)."""

    def leave(self, output: bytes, gas_used: Gas, failure: Failure | None) -> None:
        """The innermost frame ends."""

    def log(self, address: Address, topics: tuple[Hash32, ...], data: bytes) -> None:
        """The running frame emitted an event."""

    def step(self, frame: TracedFrame, pc: int, opcode: int) -> None:
        """Before an opcode runs."""

    def step_done(self, frame: TracedFrame, cost: Gas, error: str | None) -> None:
        """The opcode's cost is known: before the frame that it opens, or after it ran; `error` is geth's text, to be shown."""

    def end(self, gas_used: Gas, error: str | None) -> None:
        """After everything is charged and refunded. All that is told of a post-execution transaction (Lagoon)."""
