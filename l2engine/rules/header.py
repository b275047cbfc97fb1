"""The rules for a header, given its parent: all those that can be checked without execution.

OP chains take timestamps and gas limits from the rollup node, so fewer bounds apply there than on Ethereum. Proof-of-work
seals and difficulties are not checked. Sources: Yellow Paper 4.3.4; EIP-1559, 3675, 4399, 4844, 4895, 7685; digest 1.3-1.5.
"""

from typing import NoReturn

from l2engine.errors import InvalidBlock
from l2engine.rules import blobs, eip1559
from l2engine.rules.config import ChainConfig
from l2engine.rules.forks import ExtraDataForm, Fork, L1Rules
from l2engine.types.base import EMPTY_OMMERS_HASH, EMPTY_REQUESTS_HASH, EMPTY_ROOT, Hash32
from l2engine.types.header import Header

MAX_GAS_LIMIT = 2**63 - 1
MIN_GAS_LIMIT = 5000
GAS_LIMIT_BOUND_DIVISOR = 1024
MAX_EXTRA_DATA = 32

_OP_MAINNET, _OP_MAINNET_BEDROCK = 10, 105_235_063


def validate_header(config: ChainConfig, fork: Fork, header: Header, parent: Header) -> None:
    """Check `header`, in which `fork` is in force, as the child of `parent`; `InvalidBlock` names the first rule that it breaks."""
    validate_static(config, fork, header)
    if header.number != parent.number + 1:
        raise InvalidBlock(f"invalid block number: have {header.number}, want {parent.number + 1}")
    if header.timestamp < config.earliest_child(parent.timestamp):
        raise InvalidBlock(f"invalid timestamp, parent {parent.timestamp} given {header.timestamp}")
    if not fork.is_optimism:
        _validate_gas_limit(fork, header, parent)
    expected = eip1559.base_fee(config, fork, parent)
    if header.base_fee_per_gas != expected:
        raise InvalidBlock(
            f"invalid baseFee: have {header.base_fee_per_gas}, want {expected}, "
            f"parentBaseFee {parent.base_fee_per_gas}, parentGasUsed {parent.gas_used}"
        )
    if fork.blobs is not None:
        excess = blobs.excess_blob_gas(config, fork, parent)
        if header.excess_blob_gas != excess:
            raise InvalidBlock(f"invalid excessBlobGas: have {header.excess_blob_gas}, want {excess}")


def validate_static(config: ChainConfig, fork: Fork, header: Header) -> None:
    """Check a header without its parent: which fields its fork requires or forbids, constants, sizes and bounds."""
    validate_extra_data(config, fork, header)
    if header.gas_limit > MAX_GAS_LIMIT:
        raise InvalidBlock(f"invalid gasLimit: have {header.gas_limit}, max {MAX_GAS_LIMIT}")
    if header.gas_used > header.gas_limit:
        raise InvalidBlock(f"invalid gasUsed: have {header.gas_used}, gasLimit {header.gas_limit}")
    if fork.has(L1Rules.PARIS):
        if header.difficulty != 0:
            raise InvalidBlock(f"invalid difficulty: have {header.difficulty}, want 0")
        if header.nonce != bytes(8):
            raise InvalidBlock("invalid nonce: want 8 zero bytes")
        if header.ommers_hash != EMPTY_OMMERS_HASH:
            raise InvalidBlock("invalid uncle hash")
    for field, name, since in _PRESENT:
        value = getattr(header, field)
        if (value is not None) != fork.has(since):
            _refuse_presence(value, name, since)
    if fork.is_optimism:
        _validate_optimism(fork, header)
    elif fork.blobs is not None and header.blob_gas_used is not None:
        if header.blob_gas_used > fork.blobs.max * blobs.GAS_PER_BLOB:
            raise InvalidBlock(f"blob gas used {header.blob_gas_used} exceeds maximum allowance {fork.blobs.max * blobs.GAS_PER_BLOB}")
        if header.blob_gas_used % blobs.GAS_PER_BLOB:
            raise InvalidBlock(f"blob gas used {header.blob_gas_used} not a multiple of blob gas per blob {blobs.GAS_PER_BLOB}")


def _validate_optimism(fork: Fork, header: Header) -> None:
    if fork.has(L1Rules.SHANGHAI) and not fork.withdrawals_root_is_message_passer:
        _constant("withdrawalsRoot", header.withdrawals_root, EMPTY_ROOT)
    if fork.has(L1Rules.PRAGUE):
        _constant("requestsHash", header.requests_hash, EMPTY_REQUESTS_HASH)
    if not fork.has(L1Rules.CANCUN):
        return
    if header.excess_blob_gas != 0:
        raise InvalidBlock(f"invalid excessBlobGas: have {header.excess_blob_gas}, want 0")
    footprint = header.blob_gas_used or 0
    if fork.da_footprint and footprint > header.gas_limit:
        raise InvalidBlock(f"DA footprint {footprint} exceeds block gas limit {header.gas_limit}")
    if not fork.da_footprint and footprint != 0:
        raise InvalidBlock(f"invalid blobGasUsed: have {footprint}, want 0")


def validate_extra_data(config: ChainConfig, fork: Fork, header: Header) -> None:
    """Check the extraData's length and form; `InvalidBlock` otherwise."""
    extra = header.extra_data
    if fork.extra_data is ExtraDataForm.FREE or header.number == 0:
        if len(extra) > MAX_EXTRA_DATA and header.number != 0:
            raise InvalidBlock(f"extra-data too long: {len(extra)} > {MAX_EXTRA_DATA}")
    elif fork.extra_data is ExtraDataForm.EMPTY:
        migrated = config.chain_id == _OP_MAINNET and header.number == _OP_MAINNET_BEDROCK  # "BEDROCK"
        if extra and not migrated:
            raise InvalidBlock(f"extraData must be empty before Holocene, got {len(extra)} bytes")
    else:
        eip1559.decode_extra_data(fork, extra)


def _validate_gas_limit(fork: Fork, header: Header, parent: Header) -> None:
    """Ethereum: the limit moves by less than 1/1024 a block; London doubles it once (EIP-1559)."""
    base = parent.gas_limit
    if fork.has(L1Rules.LONDON) and parent.base_fee_per_gas is None:
        base *= 2
    bound = base // GAS_LIMIT_BOUND_DIVISOR
    if abs(header.gas_limit - base) >= bound:
        raise InvalidBlock(f"invalid gas limit: have {header.gas_limit}, want {base} +/- {bound - 1}")
    if header.gas_limit < MIN_GAS_LIMIT:
        raise InvalidBlock(f"invalid gas limit below {MIN_GAS_LIMIT}")


_PRESENT = (
    ("base_fee_per_gas", "baseFee", L1Rules.LONDON),
    ("withdrawals_root", "withdrawalsRoot", L1Rules.SHANGHAI),
    ("parent_beacon_block_root", "parentBeaconRoot", L1Rules.CANCUN),
    ("blob_gas_used", "blobGasUsed", L1Rules.CANCUN),
    ("excess_blob_gas", "excessBlobGas", L1Rules.CANCUN),
    ("requests_hash", "requestsHash", L1Rules.PRAGUE),
)
"""The fields that headers have from a fork on, and not before."""


def _refuse_presence(value: object, name: str, since: L1Rules) -> NoReturn:
    if value is None:
        raise InvalidBlock(f"header is missing {name}")
    raise InvalidBlock(f"invalid {name}: have {value!r}, expected nil before {since.capitalize()}")


def _constant(name: str, value: Hash32 | None, expected: Hash32) -> None:
    if value != expected:
        raise InvalidBlock(f"invalid {name}: have 0x{(value or b'').hex()}, want 0x{expected.hex()}")
