"""The imagined L1 of a dev chain, and the payload attributes that a rollup node would derive from it.

Its origin changes every six blocks and its fees are constant, so that the same transactions give the same chain.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from l2engine.dev.upgrades import Upgrade
from l2engine.rules.config import ChainConfig
from l2engine.rules.deposits import l1_attributes_source
from l2engine.rules.forks import ExtraDataForm, Fork, L1Rules
from l2engine.rules.l1_attributes import L1Attributes, encode_calldata, format_of
from l2engine.rules.predeploys import DEPOSITOR, L1_BLOCK, SEQUENCER_FEE_VAULT
from l2engine.types.base import Gas, Hash32, Timestamp, Wei, keccak
from l2engine.types.header import Header
from l2engine.types.payload import PayloadAttributes
from l2engine.types.transaction import DepositTransaction
from l2engine.types.transaction_codec import encode_transaction
from l2engine.types.transactions import Transactions

BLOCKS_PER_ORIGIN = 6
_SYSTEM_DEPOSIT_GAS, _DEPOSIT_GAS = 150_000_000, 1_000_000  # before Regolith and since


@dataclass(frozen=True, slots=True)
class ImaginedL1:
    """L1's fees, and the chain's SystemConfig there."""

    base_fee: Wei = 10**9
    blob_base_fee: Wei = 1
    base_fee_scalar: int = 1368
    blob_base_fee_scalar: int = 810_949
    da_footprint_gas_scalar: int = 400
    gas_limit: Gas = 30_000_000
    """The gas limit of L2 blocks."""
    upgrades: Mapping[str, Upgrade] = field(default_factory=dict, hash=False)
    """Deposits and gas that the rollup node adds to a fork's activation block, by fork name."""


def dev_attributes(config: ChainConfig, head: Header, timestamp: Timestamp, l1: ImaginedL1) -> PayloadAttributes:
    """The attributes of the next block after `head`: an L1-attributes deposit, the upgrade deposits of a
    fork that begins with this block, and room for the pool."""
    number = head.number + 1
    fork = config.fork_at(number, timestamp)
    cancun = fork.has(L1Rules.CANCUN)
    begun = config.activated((head.number, head.timestamp), (number, timestamp))
    upgrades = [l1.upgrades[row.name] for row in begun if row.name in l1.upgrades]
    first = l1_attributes_deposit(fork, config.fork_at(head.number, head.timestamp), number, timestamp, l1)
    return PayloadAttributes(
        timestamp=timestamp,
        prev_randao=keccak(b"randao" + number.to_bytes(8, "big")),
        suggested_fee_recipient=SEQUENCER_FEE_VAULT,
        withdrawals=() if fork.has(L1Rules.SHANGHAI) else None,
        parent_beacon_block_root=_l1_hash(b"beacon", number // BLOCKS_PER_ORIGIN) if cancun else None,
        transactions=Transactions([first, *(raw for upgrade in upgrades for raw in upgrade.deposits)]),
        no_tx_pool=False,
        gas_limit=l1.gas_limit + sum(upgrade.gas for upgrade in upgrades),
        eip_1559_params=bytes(8) if fork.extra_data in (ExtraDataForm.HOLOCENE, ExtraDataForm.JOVIAN) else None,
        min_base_fee=0 if fork.min_base_fee else None,
    )


def l1_attributes_deposit(fork: Fork, parent_fork: Fork, number: int, timestamp: Timestamp, l1: ImaginedL1) -> bytes:
    """The raw first transaction of block `number`. In an activation block it still has the parent's format."""
    origin, sequence = divmod(number, BLOCKS_PER_ORIGIN)
    attributes = L1Attributes(
        base_fee=l1.base_fee,
        number=origin,
        timestamp=timestamp,
        hash=_l1_hash(b"block", origin),
        sequence_number=sequence,
        overhead=188,
        scalar=684_000,
        blob_base_fee=l1.blob_base_fee,
        base_fee_scalar=l1.base_fee_scalar,
        blob_base_fee_scalar=l1.blob_base_fee_scalar,
        operator_fee_scalar=0,
        operator_fee_constant=0,
        da_footprint_gas_scalar=l1.da_footprint_gas_scalar,
    )
    regolith = fork.deposits_report_gas
    deposit = DepositTransaction(
        l1_attributes_source(attributes.hash, sequence),
        DEPOSITOR,
        L1_BLOCK,
        mint=0,
        value=0,
        gas=_DEPOSIT_GAS if regolith else _SYSTEM_DEPOSIT_GAS,
        is_system_transaction=not regolith,
        data=encode_calldata(format_of(parent_fork if number > 1 else fork), attributes),
    )
    return encode_transaction(deposit)


def _l1_hash(what: bytes, number: int) -> Hash32:
    return keccak(b"l1 " + what + number.to_bytes(8, "big"))
