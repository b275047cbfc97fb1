"""The records of the Engine API: payloads, attributes, forkchoice and statuses, as bytes and ints.

Sources: execution-apis src/engine; OP specs, exec-engine.md, holocene, isthmus and jovian exec-engine.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from l2engine.types.base import Address, BlockNumber, Gas, Hash32, Timestamp, Wei
from l2engine.types.block import Block, Withdrawal
from l2engine.types.transactions import Transactions


@dataclass(frozen=True, slots=True)
class ForkchoiceState:
    """The blocks that the rollup node regards as head, safe and finalized; a zero hash leaves a label unchanged."""

    head: Hash32
    safe: Hash32
    finalized: Hash32


@dataclass(frozen=True, slots=True)
class PayloadAttributes:
    """The required contents of a block to be built."""

    timestamp: Timestamp
    prev_randao: Hash32
    suggested_fee_recipient: Address
    withdrawals: tuple[Withdrawal, ...] | None = None
    parent_beacon_block_root: Hash32 | None = None
    transactions: Transactions | None = None
    """Forced transactions, in order; None and empty hash to the same payload id. Any sequence of raw transactions may be given."""
    no_tx_pool: bool = False
    gas_limit: Gas | None = None
    """Required on OP chains."""
    eip_1559_params: bytes | None = None
    """Denominator and elasticity, u32 big-endian each; from Holocene on."""
    min_base_fee: Wei | None = None
    """From Jovian on."""
    slot_number: int | None = None
    """Of no fork so far: only part of the payload id, as in op-geth."""

    def __post_init__(self) -> None:
        if self.transactions is not None and not isinstance(self.transactions, Transactions):
            object.__setattr__(self, "transactions", Transactions(self.transactions))


@dataclass(frozen=True, slots=True)
class ExecutionPayload:
    """A block in the form of the Engine API; None for fields that its version does not have."""

    parent_hash: Hash32
    fee_recipient: Address
    state_root: Hash32
    receipts_root: Hash32
    logs_bloom: bytes
    prev_randao: Hash32
    block_number: BlockNumber
    gas_limit: Gas
    gas_used: Gas
    timestamp: Timestamp
    extra_data: bytes
    base_fee_per_gas: Wei
    block_hash: Hash32
    transactions: Sequence[bytes]
    withdrawals: tuple[Withdrawal, ...] | None = None
    blob_gas_used: int | None = None
    excess_blob_gas: int | None = None
    withdrawals_root: Hash32 | None = None


class Status(StrEnum):
    """PayloadStatus.status."""

    VALID = "VALID"
    INVALID = "INVALID"
    SYNCING = "SYNCING"
    ACCEPTED = "ACCEPTED"


@dataclass(frozen=True, slots=True)
class PayloadStatus:
    """The engine's verdict on a payload."""

    status: Status
    latest_valid_hash: Hash32 | None = None
    validation_error: str | None = None


@dataclass(frozen=True, slots=True)
class ForkchoiceResult:
    """The answer to forkchoiceUpdated."""

    payload_status: PayloadStatus
    payload_id: bytes | None = None
    """8 bytes; None when nothing is being built."""


@dataclass(frozen=True, slots=True)
class BuiltPayload:
    """A block built here, with the fields that getPayload adds to it."""

    block: Block
    block_value: Wei
    """The beneficiary's earnings: gas used times effective tip, summed over non-deposit transactions."""
