"""Sequencer-defined metering as a block builder does it (Lagoon): whose gas is refunded, and the transaction that says so.

Refunds are given where a policy is chosen, the operator has opted in, and Lagoon is active. Source: digest "Lagoon", section 9.6.
"""

from dataclasses import dataclass

from l2engine.chain.refund_policy import Touches, Warming
from l2engine.errors import DecodeError, InvalidTransaction
from l2engine.evm.executor import BlockExecution
from l2engine.rules.forks import Fork
from l2engine.types.base import Address, BlockNumber, Gas
from l2engine.types.execution import Deadline, TransactionResult
from l2engine.types.transaction import POST_EXECUTION_TYPE, GasRefund, PostExecutionTransaction
from l2engine.types.transaction_codec import decode_transaction, encode_transaction
from l2engine.types.transactions import Transactions


@dataclass(slots=True)
class Metering:
    """The operator's choices; they may change between blocks."""

    policy: str = "none"
    """none, or warming (--sdm.policy)."""
    opted_in: bool = False
    """--rollup.operator-sdm-opt-in, admin_setOperatorSdmOptIn."""

    def is_active(self, fork: Fork) -> bool:
        """Whether the fork has refunds, by whatever policy."""
        return POST_EXECUTION_TYPE in fork.transaction_types

    def is_effective(self, fork: Fork) -> bool:
        """Whether blocks of this fork give refunds."""
        return self.opted_in and self.policy != "none" and self.is_active(fork)


class MeteredExecution:
    """A block under execution whose signed transactions may earn refunds. What fails is forgotten."""

    def __init__(self, execution: BlockExecution) -> None:
        self._execution = execution
        self._warming = Warming()
        self._refunds: list[GasRefund] = []
        self._count = 0

    @property
    def gas_before_refunds(self) -> Gas:
        return self._execution.gas_before_refunds

    def apply_all(self, transactions: Transactions) -> tuple[int, Exception] | None:
        """Execute transactions in order until one is refused: its index and the reason; None when all ran."""
        for index, raw in enumerate(transactions):
            try:
                self.apply(raw)
            except (InvalidTransaction, DecodeError) as error:
                return index, error
        return None

    def apply(self, raw: bytes, sender: Address | None = None, deadline: float | Deadline | None = None) -> TransactionResult:
        """Execute the block's next transaction and settle what it earns; errors as `BlockExecution.apply`."""
        touches = Touches(self._warming, decode_transaction(raw))
        given: Gas = 0

        def decide(gas_used: Gas) -> Gas:
            nonlocal given
            given = touches.warmth.refund if touches.warmth.refund <= gas_used else 0
            return given

        result = self._execution.apply(raw, sender, deadline, touches, decide)
        self._warming.remember(touches.warmth)
        if given:
            self._refunds.append(GasRefund(self._count, given))
        self._count += 1
        return result

    def close(self, number: BlockNumber) -> list[bytes]:
        """Append the post-execution transaction of block `number`, which is needed only where there are refunds; what was appended."""
        if not self._refunds:
            return []
        raw = encode_transaction(PostExecutionTransaction(1, number, tuple(self._refunds)))
        self._execution.apply(raw)
        return [raw]
