"""Receipts, with L1 costs and Lagoon's refunds, as op-geth and op-reth show them.

Sources: geth internal/ethapi; OP specs and digest 3.7 for the L1 fees, lagoon/post-exec.md and sdm.md; recordings.
"""

from collections.abc import Sequence

from l2engine.rules.config import ChainConfig
from l2engine.rules.fees import L1Costs, da_footprint, l1_costs
from l2engine.rules.post_execution import gas_refunds
from l2engine.types.base import keccak
from l2engine.types.block import Block
from l2engine.types.header import Header
from l2engine.types.native_functions import fast_lz_length
from l2engine.types.receipt import Receipt
from l2engine.types.transaction import DEPOSIT_TYPE, POST_EXECUTION_TYPE, created_address, effective_gas_price
from l2engine.types.transaction_codec import decode_transaction
from rpc.show import Json
from rpc.show.logs import show_logs
from rpc.show.transactions import sender_of


def show_receipts(config: ChainConfig, block: Block, receipts: Sequence[Receipt]) -> list[Json]:
    """All receipts of a block as eth_getBlockReceipts shows them."""
    costs = BlockCosts(config, block)
    shown = []
    gas_before = log_index = 0
    for index, (raw, item) in enumerate(zip(block.transactions, receipts, strict=True)):
        shown.append(show_receipt(block.header, index, raw, item, gas_before, log_index, costs))
        gas_before = item.cumulative_gas_used
        log_index += len(item.logs)
    return shown


def show_receipt(header: Header, index: int, raw: bytes, item: Receipt, gas_before: int, log_index: int, costs: "BlockCosts") -> Json:
    """One receipt. `gas_before` is the cumulative gas and `log_index` the number of logs before this transaction."""
    tx = decode_transaction(raw)
    sender = sender_of(tx)
    tx_hash = keccak(raw)
    fields: Json = {
        "blockHash": "0x" + header.hash.hex(),
        "blockNumber": hex(header.number),
        "transactionHash": "0x" + tx_hash.hex(),
        "transactionIndex": hex(index),
        "from": "0x" + sender.hex(),
        "to": None if tx.to is None else "0x" + tx.to.hex(),
        "gasUsed": hex(item.cumulative_gas_used - gas_before),
        "cumulativeGasUsed": hex(item.cumulative_gas_used),
        "contractAddress": None,
        "logs": show_logs(item.logs, header, tx_hash, index, log_index),
        "logsBloom": "0x" + item.bloom.hex(),
        "type": hex(item.type),
        "effectiveGasPrice": hex(effective_gas_price(tx, header.base_fee_per_gas)),
    }
    if item.status is None:
        fields["root"] = "0x" + (item.state_root or b"").hex()
    else:
        fields["status"] = hex(item.status)
    if tx.to is None and tx.type != POST_EXECUTION_TYPE:
        nonce = tx.nonce if tx.is_signed else item.deposit_nonce or 0
        fields["contractAddress"] = "0x" + created_address(sender, nonce).hex()
    if tx.type == DEPOSIT_TYPE:
        if item.deposit_nonce is not None:
            fields["depositNonce"] = hex(item.deposit_nonce)
        if item.deposit_receipt_version is not None:
            fields["depositReceiptVersion"] = hex(item.deposit_receipt_version)
    elif costs.l1 is not None:
        fields |= show_l1_costs(costs.l1, raw)
    if index in costs.gas_refunds:
        fields["opGasRefund"] = hex(costs.gas_refunds[index])
    return fields


class BlockCosts:
    """The data that a block's receipts take from the block's own transactions: L1 fees and gas refunds."""

    def __init__(self, config: ChainConfig, block: Block) -> None:
        fork = config.fork_at(block.header.number, block.header.timestamp)
        self.l1 = l1_costs(fork, block.transactions)
        self.gas_refunds = gas_refunds(fork, block.header.number, block.transactions)
        """Refunded gas by the transaction's index (Lagoon)."""


def show_l1_costs(costs: L1Costs, raw: bytes) -> Json:
    """The fields of a receipt for the cost of publishing `raw` on L1."""
    l1, cost = costs.attributes, costs.fee(raw, fast_lz_length)
    fields: Json = {"l1GasPrice": hex(l1.base_fee), "l1GasUsed": hex(cost.gas_used), "l1Fee": hex(cost.fee)}
    if l1.base_fee_scalar is None:
        return fields | {"l1FeeScalar": scalar_text(l1.scalar or 0)}
    fields["l1BaseFeeScalar"] = hex(l1.base_fee_scalar)
    fields["l1BlobBaseFee"] = hex(l1.blob_base_fee or 0)
    fields["l1BlobBaseFeeScalar"] = hex(l1.blob_base_fee_scalar or 0)
    if l1.operator_fee_scalar or l1.operator_fee_constant:
        fields["operatorFeeScalar"] = hex(l1.operator_fee_scalar or 0)
        fields["operatorFeeConstant"] = hex(l1.operator_fee_constant or 0)
    if l1.da_footprint_gas_scalar is not None:
        fields["daFootprintGasScalar"] = hex(l1.da_footprint_gas_scalar)
        fields["blobGasUsed"] = hex(da_footprint(raw, l1.da_footprint_gas_scalar, fast_lz_length))
    return fields


def scalar_text(scalar: int) -> str:
    """scalar / 10^6 as Go's shortest float text: 684000 is "0.684", 7 is "7e-06"."""
    digits = str(scalar).rstrip("0")
    exponent = len(str(scalar)) - 7
    if scalar == 0:
        return "0"
    if exponent < -4 or exponent >= 6:
        mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
        return f"{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    if exponent < 0:
        return "0." + "0" * (-exponent - 1) + digits
    whole = digits[: exponent + 1].ljust(exponent + 1, "0")
    rest = digits[exponent + 1 :]
    return f"{whole}.{rest}" if rest else whole
