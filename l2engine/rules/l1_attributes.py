"""An L2 block's data about its L1 origin: in the calldata of the first deposit, and in L1Block's storage slots after it ran.

The format is recognised by its selector, never by the fork: an activation block still uses the older one. Sources: OP specs,
deposits.md, ecotone, isthmus and jovian l1-attributes.md; for slot 8 the clients, since the Isthmus page is wrong there.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from l2engine.errors import DecodeError
from l2engine.rules.forks import Fork, L1FeeRule, OperatorFeeRule
from l2engine.types.base import ZERO_ADDRESS, ZERO_HASH, Address, Hash32, Wei
from l2engine.types.transaction import DEPOSIT_TYPE, Transaction


class Format(Enum):
    """The layouts of the calldata: selector and length in bytes."""

    BEDROCK = (bytes.fromhex("015d8eb9"), 260)
    ECOTONE = (bytes.fromhex("440a5e20"), 164)
    ISTHMUS = (bytes.fromhex("098999be"), 176)
    JOVIAN = (bytes.fromhex("3db6be2b"), 178)

    def __init__(self, selector: bytes, length: int) -> None:
        self.selector, self.length = selector, length


_BY_SELECTOR = {form.selector: form for form in Format}


@dataclass(frozen=True, slots=True)
class L1Attributes:
    """One L1 origin with the fee parameters in force; None where the format has no such field."""

    base_fee: Wei = 0
    number: int = 0
    timestamp: int = 0
    hash: Hash32 = bytes(32)
    sequence_number: int = 0
    batcher: Address = bytes(20)

    overhead: int | None = None
    scalar: int | None = None
    """Scaled by 10^6; used before Ecotone."""
    blob_base_fee: Wei | None = None
    base_fee_scalar: int | None = None
    blob_base_fee_scalar: int | None = None
    operator_fee_scalar: int | None = None
    operator_fee_constant: int | None = None
    da_footprint_gas_scalar: int | None = None


def format_of(fork: Fork) -> Format:
    """The format that a fork's blocks use, except its activation block."""
    if fork.da_footprint:
        return Format.JOVIAN
    if fork.operator_fee is not OperatorFeeRule.NONE:
        return Format.ISTHMUS
    return Format.BEDROCK if fork.l1_fee in (L1FeeRule.BEDROCK, L1FeeRule.REGOLITH) else Format.ECOTONE


def calldata_format(data: bytes) -> Format | None:
    """The format of this calldata, by selector and length; None if it is none of them."""
    form = _BY_SELECTOR.get(data[:4])
    return form if form is not None and len(data) == form.length else None


def deposit_format(first: Transaction | None) -> Format | None:
    """The format of the L1 attributes in a block's first transaction; None when it is not a deposit or has no L1 attributes."""
    return calldata_format(first.data) if first is not None and first.type == DEPOSIT_TYPE else None


def from_calldata(data: bytes) -> L1Attributes:
    """The attributes in the calldata of an L1-attributes deposit; `DecodeError` for an unknown selector or wrong length."""
    if len(data) < 4:
        raise DecodeError("L1 attributes: missing selector")
    form = _BY_SELECTOR.get(data[:4])
    if form is None:
        raise DecodeError(f"L1 attributes: unknown selector 0x{data[:4].hex()}")
    if len(data) != form.length:
        raise DecodeError(f"L1 attributes: wrong length: {form.length} bytes wanted, {len(data)} given")
    if form is Format.BEDROCK:
        number, timestamp, base_fee, block_hash, sequence, batcher, overhead, scalar = (data[4 + 32 * i : 36 + 32 * i] for i in range(8))
        return L1Attributes(
            number=_int(number),
            timestamp=_int(timestamp),
            base_fee=_int(base_fee),
            hash=block_hash,
            sequence_number=_int(sequence),
            batcher=batcher[12:],
            overhead=_int(overhead),
            scalar=_int(scalar),
        )
    base_fee_scalar, blob_base_fee_scalar, sequence_number, l1_timestamp, l1_number = struct.unpack(">IIQQQ", data[4:36])
    attributes = L1Attributes(
        number=l1_number,
        timestamp=l1_timestamp,
        base_fee=_int(data[36:68]),
        blob_base_fee=_int(data[68:100]),
        hash=data[100:132],
        batcher=data[144:164],
        sequence_number=sequence_number,
        base_fee_scalar=base_fee_scalar,
        blob_base_fee_scalar=blob_base_fee_scalar,
    )
    if form is Format.ECOTONE:
        return attributes
    operator_scalar, operator_constant = struct.unpack(">IQ", data[164:176])
    attributes = replace(attributes, operator_fee_scalar=operator_scalar, operator_fee_constant=operator_constant)
    if form is Format.ISTHMUS:
        return attributes
    return replace(attributes, da_footprint_gas_scalar=_int(data[176:178]))


def encode_calldata(form: Format, attributes: L1Attributes) -> bytes:
    """The inverse of `from_calldata`; fields that are None are written as 0."""
    a = attributes
    if form is Format.BEDROCK:
        words = (a.number, a.timestamp, a.base_fee, _int(a.hash), a.sequence_number, _int(a.batcher), a.overhead or 0, a.scalar or 0)
        return form.selector + b"".join(word.to_bytes(32, "big") for word in words)
    data = form.selector + struct.pack(
        ">IIQQQ", a.base_fee_scalar or 0, a.blob_base_fee_scalar or 0, a.sequence_number, a.timestamp, a.number
    )
    data += a.base_fee.to_bytes(32, "big") + (a.blob_base_fee or 0).to_bytes(32, "big") + a.hash + a.batcher.rjust(32, b"\0")
    if form in (Format.ISTHMUS, Format.JOVIAN):
        data += struct.pack(">IQ", a.operator_fee_scalar or 0, a.operator_fee_constant or 0)
    if form is Format.JOVIAN:
        data += struct.pack(">H", a.da_footprint_gas_scalar or 0)
    return data


def from_storage(read: Callable[[int], int], fork: Fork | None = None) -> L1Attributes:
    """The attributes stored in L1Block; `read` gives a slot's value. With `fork`, only the attributes that this fork's fees need
    are read and filled in, since a block witness holds no others.

    Call it after the block's own L1-attributes deposit has run: before that, the slots hold the previous block's values.
    """
    slot_3 = read(3) if fork is None or fork.l1_fee in (L1FeeRule.ECOTONE, L1FeeRule.FJORD) else 0
    slot_7 = read(7) if fork is None or fork.l1_fee in (L1FeeRule.ECOTONE, L1FeeRule.FJORD) else 0
    slot_8 = read(8) if fork is None or fork.operator_fee is not OperatorFeeRule.NONE else 0
    base_fee_scalar, blob_base_fee_scalar = _bits(slot_3, 96, 32), _bits(slot_3, 64, 32)
    # While the Ecotone parameters are all zero, as in Ecotone's first block, fees use the older scalars.
    old_scalars = fork is None or not (base_fee_scalar or blob_base_fee_scalar or slot_7)
    slot_0 = read(0) if fork is None else 0
    return L1Attributes(
        number=_bits(slot_0, 0, 64),
        timestamp=_bits(slot_0, 64, 64),
        base_fee=read(1),
        hash=read(2).to_bytes(32, "big") if fork is None else ZERO_HASH,
        sequence_number=_bits(slot_3, 0, 64),
        batcher=read(4).to_bytes(32, "big")[12:] if fork is None else ZERO_ADDRESS,
        overhead=read(5) if old_scalars else None,
        scalar=read(6) if old_scalars else None,
        blob_base_fee=slot_7,
        base_fee_scalar=base_fee_scalar,
        blob_base_fee_scalar=blob_base_fee_scalar,
        operator_fee_scalar=_bits(slot_8, 64, 32),
        operator_fee_constant=_bits(slot_8, 0, 64),
        da_footprint_gas_scalar=_bits(slot_8, 96, 16),
    )


def _bits(word: int, shift: int, width: int) -> int:
    """`width` bits of a storage word, `shift` bits above its least significant one."""
    return word >> shift & ((1 << width) - 1)


def _int(data: bytes) -> int:
    return int.from_bytes(data, "big")
