"""The interface that runs transactions for the block loop (`block.py`): py-evm with the state of one block, or the Rust core."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from l2engine.types.base import Address, Gas, Hash32, Wei
from l2engine.types.execution import Deadline, RefundRule, TransactionResult
from l2engine.types.receipt import Receipt
from l2engine.types.state import StateDiff
from l2engine.types.tracing import Tracer
from l2engine.types.transactions import Transactions


@dataclass(frozen=True, slots=True)
class SealedReceipts:
    """A block's receipts with the root and bloom of its header."""

    receipts: Sequence[Receipt]
    root: Hash32
    bloom: bytes


class Machine(Protocol):
    """The state of one block under execution, and the totals that each transaction adds to."""

    @property
    def gas_used(self) -> Gas:
        """Gas that the transactions so far have used after their refunds (`BlockEnv.refunds`), as their receipts say."""

    @property
    def gas_before_refunds(self) -> Gas:
        """Gas taken from the block's gas limit so far."""

    @property
    def blob_gas_used(self) -> Gas:
        """EIP-4844 gas of the transactions so far."""

    @property
    def da_size(self) -> int:
        """Estimated compressed size in bytes of the transactions so far that pay for L1 data (OP chains)."""

    @property
    def value(self) -> Wei:
        """Wei that the beneficiary has earned so far: gas used times effective tip."""

    def run(
        self,
        raw: bytes,
        sender: Address | None,
        deadline: float | Deadline | None,
        tracer: Tracer | None,
        refund: RefundRule | None,
    ) -> TransactionResult:
        """Execute one transaction; arguments and errors are those of `evm.executor.BlockExecution.apply`, and undo it."""

    def run_all(self, transactions: Transactions) -> tuple[int, Exception] | None:
        """Execute transactions in order until one is refused: its index and the reason; None when all ran."""

    def system_call(self, contract: Address, data: bytes) -> bytes | None:
        """Call a contract as the system does, outside the block's gas: the output, None when the call failed."""

    def has_code(self, address: Address) -> bool:
        """Whether there is code at `address`."""

    def set_code(self, address: Address, code: bytes) -> None:
        """Put code in place without a transaction (Canyon's irregular transition)."""

    def credit(self, address: Address, wei: Wei) -> None:
        """Add to a balance without a transaction (rewards and withdrawals); touches the account even when nothing is added."""

    def receipts(self) -> Sequence[Receipt]:
        """The receipts so far."""

    def seal(self) -> SealedReceipts:
        """All receipts. Nothing runs after it."""

    def diff(self) -> StateDiff:
        """The block's state changes so far."""
