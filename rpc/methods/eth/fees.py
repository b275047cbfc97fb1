"""Prices: base fee, suggested tip and the fee history."""

import itertools
from typing import Any

from l2engine.rules import blobs, eip1559
from l2engine.types.base import Wei
from l2engine.types.header import Header
from l2engine.types.transaction import POST_EXECUTION_TYPE, effective_tip
from l2engine.types.transaction_codec import decode_transaction
from rpc.context import Context
from rpc.errors import SERVER_ERROR, RpcError
from rpc.fee_history import TipSteps, steps
from rpc.jsonrpc import RunsOn, method
from rpc.read.blocks import BlockTag, block_tag
from rpc.read.values import Optional, hex_or_decimal, list_of, number

MAX_PRICE = 500 * 10**9  # geth never suggests a higher tip, wei
MAX_HISTORY = 1024  # blocks per eth_feeHistory, as geth
MAX_PERCENTILES = 100


def chain_id(context: Context) -> str:
    """The chain id of EIP-155."""
    return hex(context.config.chain_id)


def gas_price(context: Context) -> str:
    """The suggested tip on top of the head's base fee, in wei."""
    return hex(suggested_tip(context) + (context.engine.head.base_fee_per_gas or 0))


def max_priority_fee_per_gas(context: Context) -> str:
    """The suggested tip in wei."""
    return hex(suggested_tip(context))


def suggested_tip(context: Context) -> Wei:
    """The minimum, unless the head was full: then a tenth above its median tip. "Full" means that its largest
    transaction would not have fitted a second time (op-geth's rule for chains with one builder)."""
    minimum = context.settings.minimum_suggested_tip
    head = context.engine.head
    receipts = context.receipts(head.hash)
    ends = [0, *(receipt.cumulative_gas_used for receipt in receipts)]
    largest = max((after - before for before, after in itertools.pairwise(ends)), default=0)
    block = context.blocks.block(head.hash)
    if block is None or not block.transactions or largest > head.gas_limit or head.gas_used + largest <= head.gas_limit:
        return minimum
    tips = sorted(effective_tip(decode_transaction(raw), head.base_fee_per_gas) for raw in block.transactions if _is_sample(raw))
    if not tips:
        return minimum
    median = tips[len(tips) // 2]
    return min(max(minimum, median + median // 10), MAX_PRICE)


def blob_base_fee(context: Context) -> str | None:
    """The price of blob gas: 1 on OP chains from Ecotone on, null before."""
    return None if context.engine.head.excess_blob_gas is None else hex(_blob_base_fee(context, context.engine.head))


def fee_history(context: Context, count: int, last: BlockTag, percentiles: list[float] | None) -> dict[str, Any]:
    """Base fees, gas used ratios and, for each percentile asked, the tips paid, over `count` blocks up to `last`."""
    percentiles = percentiles or []
    nothing: dict[str, Any] = {"oldestBlock": "0x0", "gasUsedRatio": None}
    if count < 1:
        return nothing
    _check_percentiles(percentiles)
    head = context.engine.head
    if isinstance(last, int) and last > head.number:
        raise RpcError(SERVER_ERROR, f"request beyond head block: requested {last}, head {head.number}")
    count = min(count, MAX_HISTORY)
    end = context.header_or_error(last, unset="{label} block not found").number
    count = min(count, end + 1)
    if count == 0:
        return nothing
    oldest = end + 1 - count
    headers = [context.header_or_error(n) for n in range(oldest, end + 1)]
    result: dict[str, Any] = {
        "oldestBlock": hex(oldest),
        "baseFeePerGas": [hex(h.base_fee_per_gas or 0) for h in headers] + [hex(_next_base_fee(context, headers[-1]))],
        "gasUsedRatio": [_json_ratio(header.gas_used, header.gas_limit) for header in headers],
    }
    blob_fees = [_blob_base_fee(context, header) for header in headers]
    result["baseFeePerBlobGas"] = [hex(fee) for fee in [*blob_fees, blob_fees[-1]]]
    result["blobGasUsedRatio"] = [_blob_ratio(context, header) for header in headers]
    if percentiles:
        rewards = []
        for header in headers:
            context.request_time.check()
            tips = _tips(context, header)
            rewards.append([hex(tips.at(int(header.gas_used * percentile / 100))) for percentile in percentiles])
        result["reward"] = rewards
    return result


def _check_percentiles(percentiles: list[float]) -> None:
    if len(percentiles) > MAX_PERCENTILES:
        raise RpcError(SERVER_ERROR, f"invalid reward percentile: over the query limit {MAX_PERCENTILES}")
    for i, percentile in enumerate(percentiles):
        if not 0 <= percentile <= 100:
            raise RpcError(SERVER_ERROR, f"invalid reward percentile: {percentile:f}")
        if i and percentile <= percentiles[i - 1]:
            raise RpcError(SERVER_ERROR, f"invalid reward percentile: #{i - 1}:{percentiles[i - 1]:f} >= #{i}:{percentile:f}")


def _next_base_fee(context: Context, header: Header) -> Wei:
    config = context.config
    return eip1559.base_fee(config, config.fork_at(header.number + 1, config.earliest_child(header.timestamp)), header) or 0


def _blob_base_fee(context: Context, header: Header) -> Wei:
    if header.excess_blob_gas is None:
        return 0
    return blobs.blob_base_fee(context.config.fork_at(header.number, header.timestamp), header.excess_blob_gas)


def _blob_ratio(context: Context, header: Header) -> float:
    fork = context.config.fork_at(header.number, header.timestamp)
    if not header.blob_gas_used or fork.blobs is None:
        return 0
    return _json_ratio(header.blob_gas_used, fork.blobs.max * blobs.GAS_PER_BLOB)


def _json_ratio(part: int, whole: int) -> float:
    """The quotient, as an int where it is whole: Go writes 0, not 0.0."""
    return part // whole if part % whole == 0 else part / whole


def _is_sample(raw: bytes) -> bool:
    """Whether a transaction says anything of tips. Deposits count as free, as in op-geth; a 0x7D uses no gas that could be paid."""
    return raw[0] != POST_EXECUTION_TYPE


def _tips(context: Context, header: Header) -> TipSteps:
    """The tips that the block's transactions paid."""

    def compute() -> TipSteps:
        block = context.blocks.block(header.hash)
        raws = () if block is None else block.transactions
        ends = [0, *(receipt.cumulative_gas_used for receipt in context.receipts(header.hash))]
        return steps(
            (effective_tip(decode_transaction(raw), header.base_fee_per_gas), ends[i + 1] - ends[i])
            for i, raw in enumerate(raws)
            if _is_sample(raw)
        )

    return context.paid_tips.of(header.hash, compute)


def syncing(context: Context) -> dict[str, str] | bool:
    """Progress of a running sync, or false."""
    progress = context.network.syncing()
    return False if progress is None else {key: hex(value) for key, value in progress.items()}


METHODS = {
    "eth_chainId": method(chain_id),
    "eth_gasPrice": method(gas_price),
    "eth_maxPriorityFeePerGas": method(max_priority_fee_per_gas),
    "eth_blobBaseFee": method(blob_base_fee),
    "eth_feeHistory": method(fee_history, hex_or_decimal, block_tag, Optional(list_of(number, "float64")), runs_on=RunsOn.READ),
    "eth_syncing": method(syncing),
}
