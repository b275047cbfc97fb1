"""The base fee, and the extraData forms that carry its parameters from Holocene on.

Sources: EIP-1559; OP specs, canyon, holocene and jovian exec-engine.md; digest 1.4, 1.5 and section 0.
"""

import struct
from dataclasses import dataclass

from l2engine.errors import InvalidAttributes, InvalidBlock
from l2engine.rules.config import ChainConfig
from l2engine.rules.forks import ExtraDataForm, Fork, L1Rules
from l2engine.types.base import Wei
from l2engine.types.header import Header

INITIAL_BASE_FEE: Wei = 1_000_000_000

_LENGTHS = {ExtraDataForm.HOLOCENE: 9, ExtraDataForm.JOVIAN: 17}
_VERSIONS = {ExtraDataForm.HOLOCENE: 0, ExtraDataForm.JOVIAN: 1}


@dataclass(frozen=True, slots=True)
class HeaderFeeParameters:
    """The base fee parameters in a header's extraData."""

    denominator: int
    elasticity: int
    min_base_fee: Wei = 0


def base_fee(config: ChainConfig, fork: Fork, parent: Header) -> Wei | None:
    """The base fee of the block after `parent`, in which `fork` is in force, in wei; None before London.

    Holocene's and Jovian's parameters are read from the parent's extraData, if the fork was active at the *parent's*
    time. Canyon's denominator depends on the *new* block's time. `InvalidBlock` when the parent's extraData has the wrong form.
    """
    if not fork.has(L1Rules.LONDON):
        return None
    if parent.base_fee_per_gas is None:
        return INITIAL_BASE_FEE
    parent_fork = config.fork_of_parent(fork, (parent.number, parent.timestamp))
    used, minimum = parent.gas_used, 0
    if parent_fork.extra_data in _LENGTHS:
        parameters = _unpack(parent_fork, parent.extra_data)
        elasticity, denominator, minimum = parameters.elasticity, parameters.denominator, parameters.min_base_fee
        if elasticity == 0 or denominator == 0:  # no valid header has a zero, but even a trusted parent must not cause a division by zero
            elasticity, denominator = config.eip_1559.elasticity, config.eip_1559.denominator_canyon
        if parent_fork.da_footprint:
            used = max(used, parent.blob_gas_used or 0)
    else:
        elasticity = config.eip_1559.elasticity
        past_canyon = fork.is_optimism and fork.has(L1Rules.SHANGHAI)
        denominator = config.eip_1559.denominator_canyon if past_canyon else config.eip_1559.denominator
    return max(minimum, _next_base_fee(parent.base_fee_per_gas, used, parent.gas_limit, elasticity, denominator))


def _next_base_fee(fee: Wei, gas_used: int, gas_limit: int, elasticity: int, denominator: int) -> Wei:
    target = gas_limit // elasticity
    if gas_used == target:
        return fee
    if gas_used > target:
        return fee + max(1, fee * (gas_used - target) // max(1, target) // denominator)
    return max(0, fee - fee * (target - gas_used) // target // denominator)


def decode_extra_data(fork: Fork, extra_data: bytes) -> HeaderFeeParameters:
    """The parameters in a Holocene or Jovian header; `InvalidBlock` for a wrong length or version, or for zeros."""
    parameters = _unpack(fork, extra_data)
    if parameters.denominator == 0 or parameters.elasticity == 0:
        raise InvalidBlock(f"{fork.extra_data.name.capitalize()} extraData must encode a non-zero denominator and elasticity")
    return parameters


def _unpack(fork: Fork, extra_data: bytes) -> HeaderFeeParameters:
    name, length = fork.extra_data.name.capitalize(), _LENGTHS[fork.extra_data]
    if len(extra_data) != length:
        raise InvalidBlock(f"{name} extraData should be {length} bytes, got {len(extra_data)}")
    if extra_data[0] != _VERSIONS[fork.extra_data]:
        raise InvalidBlock(f"{name} extraData version byte should be {_VERSIONS[fork.extra_data]}, got {extra_data[0]}")
    denominator, elasticity = struct.unpack(">II", extra_data[1:9])
    return HeaderFeeParameters(denominator, elasticity, int.from_bytes(extra_data[9:], "big"))


def encode_extra_data(config: ChainConfig, fork: Fork, eip_1559_params: bytes | None, min_base_fee: Wei | None) -> bytes:
    """The extraData of a block built with these attributes; empty before Holocene. Zero or missing parameters mean the
    chain's constants."""
    if fork.extra_data not in _LENGTHS:
        return b""
    parameters = eip_1559_params or bytes(8)
    if parameters == bytes(8):
        parameters = struct.pack(">II", config.eip_1559.denominator_canyon, config.eip_1559.elasticity)
    extra = bytes([_VERSIONS[fork.extra_data]]) + parameters
    return extra + (min_base_fee or 0).to_bytes(8, "big") if fork.extra_data is ExtraDataForm.JOVIAN else extra


def validate_attributes(fork: Fork, eip_1559_params: bytes | None, min_base_fee: Wei | None) -> None:
    """Check the fee parameters of payload attributes; `InvalidAttributes` when missing, unexpected or unusable."""
    if fork.extra_data in _LENGTHS:
        if eip_1559_params is None or len(eip_1559_params) != 8:
            raise InvalidAttributes(f"holocene eip-1559 params should be 8 bytes, got {len(eip_1559_params or b'')}")
        denominator, elasticity = struct.unpack(">II", eip_1559_params)
        if denominator == 0 and elasticity != 0:
            raise InvalidAttributes("holocene params cannot have a 0 denominator unless elasticity is also 0")
        if elasticity == 0 and denominator != 0:
            raise InvalidAttributes("holocene params cannot have a 0 elasticity unless denominator is also 0")
    elif eip_1559_params:
        raise InvalidAttributes("got eip1559 params but fork is before holocene")
    if fork.min_base_fee and min_base_fee is None:
        raise InvalidAttributes("missing minBaseFee")
    if not fork.min_base_fee and min_base_fee is not None:
        raise InvalidAttributes("minBaseFee is not supported before Jovian")
