"""The fees of a transaction beyond its gas: the L1 data fee, the operator fee, and its share of the DA footprint.

Pure integer arithmetic, rounded down. `raw` is always the signed EIP-2718 encoding. Sources: OP specs, exec-engine.md,
fjord, isthmus and jovian exec-engine.md; digest section 3.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from l2engine.errors import DecodeError
from l2engine.rules.forks import Fork, L1FeeRule, OperatorFeeRule
from l2engine.rules.l1_attributes import L1Attributes, from_calldata
from l2engine.types.base import Gas, Wei
from l2engine.types.transaction import DEPOSIT_TYPE, record_of
from l2engine.types.transaction_codec import decode_transaction

_FJORD_INTERCEPT, _FJORD_COEFFICIENT, _FJORD_MINIMUM = -42_585_600, 836_500, 100_000_000


@dataclass(frozen=True, slots=True)
class L1Fee:
    """The fee for publishing one transaction on L1."""

    fee: Wei
    gas_used: Gas
    """l1GasUsed of the receipt; deprecated from Fjord on."""


def l1_fee(fork: Fork, raw: bytes, attributes: L1Attributes, length: Callable[[bytes], int] | None = None) -> L1Fee:
    """The L1 data fee of a transaction by the fork's rule. Deposits and Ethereum's forks pay nothing.

    In the first Ecotone block L1Block has no Ecotone parameters yet, and the Regolith formula still applies. Like op-geth,
    this function recognises that case by a zero blob base fee and zero scalars (digest section 0). `length` replaces
    `fast_lz_length` if given.
    """
    rule = fork.l1_fee
    if rule is L1FeeRule.NONE or not raw or not record_of(raw).pays_fees:
        return L1Fee(0, 0)
    a = attributes
    if rule in (L1FeeRule.ECOTONE, L1FeeRule.FJORD) and not (a.blob_base_fee or a.base_fee_scalar or a.blob_base_fee_scalar):
        rule = L1FeeRule.REGOLITH
    if rule in (L1FeeRule.BEDROCK, L1FeeRule.REGOLITH):
        gas = data_gas(rule, raw) + (a.overhead or 0)
        return L1Fee(gas * a.base_fee * (a.scalar or 0) // 10**6, gas)
    price = 16 * a.base_fee * (a.base_fee_scalar or 0) + (a.blob_base_fee or 0) * (a.blob_base_fee_scalar or 0)
    if rule is L1FeeRule.ECOTONE:
        gas = data_gas(rule, raw)
        return L1Fee(gas * price // 16_000_000, gas)
    size = _estimated_size_scaled((length or fast_lz_length)(raw))
    return L1Fee(size * price // 10**12, size * 16 // 10**6)


@dataclass(frozen=True, slots=True)
class L1Costs:
    """The cost of publishing a block's transactions on L1, as receipts show it."""

    fork: Fork
    attributes: L1Attributes

    def fee(self, raw: bytes, length: Callable[[bytes], int] | None = None) -> L1Fee:
        """As `l1_fee`, but 0 when both scalars are 0: a receipt does not fall back to the older formula, as the state transition does."""
        a = self.attributes
        scalars_are_zero = a.base_fee_scalar is not None and not (a.base_fee_scalar or a.blob_base_fee_scalar)
        if scalars_are_zero and record_of(raw).pays_fees:
            return L1Fee(0, data_gas(self.fork.l1_fee, raw))
        return l1_fee(self.fork, raw, a, length)


def l1_costs(fork: Fork, transactions: Sequence[bytes]) -> L1Costs | None:
    """The L1 costs of a block, from the calldata of its own L1-attributes deposit; an activation block therefore still uses the
    previous fork's format. None when the block does not begin with such a deposit."""
    if not fork.is_optimism or not transactions or transactions[0][0] != DEPOSIT_TYPE:
        return None
    try:
        return L1Costs(fork, from_calldata(decode_transaction(transactions[0]).data))
    except DecodeError:
        return None


def data_gas(rule: L1FeeRule, raw: bytes) -> Gas:
    """The L1 gas that the fee formula assumes for publishing `raw`, without the overhead."""
    if rule is L1FeeRule.FJORD:
        return _estimated_size_scaled(fast_lz_length(raw)) * 16 // 10**6
    zeros = raw.count(0)
    non_zeros = len(raw) - zeros
    if rule is L1FeeRule.BEDROCK:
        non_zeros += 68  # an allowance for the signature, although `raw` already has one; corrected by Regolith
    return 4 * zeros + 16 * non_zeros


def operator_fee(fork: Fork, gas: Gas, attributes: L1Attributes) -> Wei:
    """The operator fee for `gas`: charged for the gas limit up front, then corrected to the gas used."""
    scalar, constant = attributes.operator_fee_scalar or 0, attributes.operator_fee_constant or 0
    if fork.operator_fee is OperatorFeeRule.ISTHMUS:
        return gas * scalar // 10**6 + constant
    if fork.operator_fee is OperatorFeeRule.JOVIAN:
        return gas * scalar * 100 + constant
    return 0


def da_size(raw: bytes, length: Callable[[bytes], int] | None = None) -> int:
    """The estimated compressed size of a transaction in bytes, at least 100. `length` replaces `fast_lz_length` if given."""
    return _estimated_size_scaled((length or fast_lz_length)(raw)) // 10**6


def da_footprint(raw: bytes, scalar: int, length: Callable[[bytes], int] | None = None) -> Gas:
    """A transaction's share of the block's DA footprint (Jovian): its size, rounded down first, times the gas scalar."""
    if not record_of(raw).counts_for_da:
        return 0
    return da_size(raw, length) * scalar


def _estimated_size_scaled(fast_lz: int) -> int:
    """The size estimate of Fjord's linear regression, times 10^6."""
    return max(_FJORD_MINIMUM, _FJORD_INTERCEPT + _FJORD_COEFFICIENT * fast_lz)


@lru_cache(maxsize=1024)  # pool, builder, execution and receipts each ask for the same transaction
def fast_lz_length(data: bytes) -> int:
    """The length of `data` after FastLZ compression at level 1; only the length is computed.

    A table maps the hash of three bytes to the position where they were last seen. A match at most 8,191 bytes back is
    extended as far as it goes, but never into the last four bytes. The extension counts one byte more than are equal, as
    the original code does. Source: OP specs, fjord/exec-engine "FastLZ implementation".
    """
    size = len(data)
    limit, end = size - 13, size - 4
    length = anchor = 0  # `anchor` is where the pending run of literals starts
    position = 2
    table = [0] * 8192
    while position < limit:
        while True:  # find the next three bytes that were seen at most 8,191 bytes back
            a, b, c = data[position : position + 3]
            slot = (2654435769 * (a | b << 8 | c << 16)) >> 19 & 0x1FFF
            reference = table[slot]
            table[slot] = position
            if position >= limit or (
                position - reference <= 0x1FFF and a == data[reference] and b == data[reference + 1] and c == data[reference + 2]
            ):
                break
            position += 1
        if position >= limit - 1:  # a match at the very last place is not taken either
            break
        if position > anchor:
            length += _literals(position - anchor)
        start, equal = position + 3, 0
        while start + equal < end and data[reference + 3 + equal] == data[start + equal]:
            equal += 1
        extension = equal + 1 if start + equal < end else equal
        length += _match(extension)
        position += extension
        for place in (position, position + 1):
            a, b, c = data[place : place + 3]
            table[(2654435769 * (a | b << 8 | c << 16)) >> 19 & 0x1FFF] = place
        position += 2
        anchor = position
    return length + _literals(size - anchor)


def _literals(count: int) -> int:
    """The cost of a run of literals: each run of up to 32 has one byte of its own."""
    full, rest = divmod(count, 32)
    return 33 * full + (rest + 1 if rest else 0)


def _match(extension: int) -> int:
    """The cost of a match: two bytes when short, three when long, and again for every 262 bytes."""
    full, rest = divmod(extension - 1, 262)
    return 3 * full + (3 if rest >= 6 else 2)
