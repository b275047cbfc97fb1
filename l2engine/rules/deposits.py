"""Source hashes, which make each deposit's hash unique. The execution engine never checks them; code that makes deposits
(the dev chain's sequencer, tests) needs them. Source: OP specs, deposits.md "Source hash computation".
"""

from l2engine.types.base import Hash32, keccak

USER_DEPOSIT, L1_ATTRIBUTES_DEPOSIT, UPGRADE_DEPOSIT = 0, 1, 2


def user_deposit_source(l1_block_hash: Hash32, log_index: int) -> Hash32:
    """The source hash of a deposit requested by a TransactionDeposited event on L1."""
    return _source(USER_DEPOSIT, keccak(l1_block_hash + log_index.to_bytes(32, "big")))


def l1_attributes_source(l1_block_hash: Hash32, sequence_number: int) -> Hash32:
    """The source hash of the L1-attributes deposit; `sequence_number` counts L2 blocks with the same L1 origin."""
    return _source(L1_ATTRIBUTES_DEPOSIT, keccak(l1_block_hash + sequence_number.to_bytes(32, "big")))


def upgrade_source(intent: str) -> Hash32:
    """The source hash of a network-upgrade deposit; `intent` is its text in the specification."""
    return _source(UPGRADE_DEPOSIT, keccak(intent.encode()))


def _source(domain: int, inner: Hash32) -> Hash32:
    return keccak(domain.to_bytes(32, "big") + inner)
