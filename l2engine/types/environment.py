"""The block data that all transactions of one block share."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from l2engine.types.base import Address, BlockNumber, Gas, Hash32, Timestamp, Wei
from l2engine.types.block import Withdrawal
from l2engine.types.header import Header


@dataclass(frozen=True, slots=True)
class BlockEnv:
    """The block data that all transactions of one block share, known before the first one runs."""

    number: BlockNumber
    timestamp: Timestamp
    gas_limit: Gas
    beneficiary: Address
    prev_randao: Hash32
    base_fee_per_gas: Wei | None
    """None before London."""
    parent: Header
    """Shows whether this is an activation block, and gives its hash to the EIP-2935 call."""
    parent_beacon_block_root: Hash32 | None = None
    excess_blob_gas: int | None = None
    difficulty: int = 0
    """Non-zero only before the merge."""
    extra_data: bytes = b""
    withdrawals: tuple[Withdrawal, ...] | None = None
    """Ethereum rules only; on OP chains always empty."""
    ommers: tuple[Header, ...] = ()
    """Ethereum before the merge only: they earn rewards."""
    refunds: Mapping[int, Gas] = field(default_factory=dict)
    """Lagoon: gas that the block's last transaction gives back to others, by their index in the block."""
    blob_base_fee: Wei | None = None
    """The result of BLOBBASEFEE in a call that overrides it; None computes it from the excess blob gas."""
