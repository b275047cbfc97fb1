"""Ethereum's blob market (EIP-4844, 7691, 7840, 7892, 7918). OP chains have none: there the blob base fee is always 1."""

from l2engine.rules.config import ChainConfig
from l2engine.rules.forks import Fork, L1Rules
from l2engine.types.base import Gas, Wei
from l2engine.types.header import Header

GAS_PER_BLOB = 2**17
MAX_BLOBS_PER_TRANSACTION = 6  # from Osaka on (EIP-7594)
_BASE_COST = 2**13  # EIP-7918


def blob_base_fee(fork: Fork, excess_blob_gas: int) -> Wei:
    """Wei per unit of blob gas."""
    if fork.blobs is None:
        return 1
    return fake_exponential(1, excess_blob_gas, fork.blobs.base_fee_update_fraction)


def excess_blob_gas(config: ChainConfig, fork: Fork, parent: Header) -> Gas:
    """The excess blob gas of a block of this fork after `parent`; 0 on OP chains and in the first block with blobs."""
    if fork.blobs is None or parent.excess_blob_gas is None or parent.blob_gas_used is None:
        return 0
    target, maximum = fork.blobs.target * GAS_PER_BLOB, fork.blobs.max * GAS_PER_BLOB
    total = parent.excess_blob_gas + parent.blob_gas_used
    if total < target:
        return 0
    if fork.has(L1Rules.OSAKA):
        # EIP-7918: while execution gas is dearer than blobs, the excess does not fall.
        price = blob_base_fee(fork, parent.excess_blob_gas)
        if _BASE_COST * (parent.base_fee_per_gas or 0) > GAS_PER_BLOB * price:
            return parent.excess_blob_gas + parent.blob_gas_used * (maximum - target) // maximum
    return total - target


def fake_exponential(factor: int, numerator: int, denominator: int) -> int:
    """factor * e ** (numerator / denominator), by its Taylor series in integers (EIP-4844)."""
    output, term, i = 0, factor * denominator, 1
    while term > 0:
        output += term
        term = term * numerator // (denominator * i)
        i += 1
    return output // denominator
