"""Transactions by hash and place, their receipts, and sending raw ones."""

import contextlib
from typing import Any

from l2engine.chain.pool import decode_pooled
from l2engine.errors import PoolError
from l2engine.types.base import Hash32
from l2engine.types.block import Block
from l2engine.types.transaction_codec import decode_transaction
from rpc import render
from rpc.codec import BlockTag, block_tag, data, hash32, uint
from rpc.context import Context
from rpc.jsonrpc import Place, method


def get_transaction(context: Context, tx_hash: Hash32) -> dict[str, Any] | None:
    """A transaction in the chain or in the pool; null when it is in neither."""
    place = context.blocks.transaction_location(tx_hash)
    if place is not None:
        block = context.blocks.block(place[0])
        if block is not None:
            return _in_block(context, block, place[1])
    waiting = context.pool.get(tx_hash)
    return None if waiting is None else render.transaction(decode_transaction(waiting))


def get_transaction_at(context: Context, reference: Hash32 | BlockTag, index: int) -> dict[str, Any] | None:
    """A transaction by its place; null when the block or the place does not exist."""
    block = context.block(reference)
    return None if block is None or index >= len(block.transactions) else _in_block(context, block, index)


def _in_block(context: Context, block: Block, index: int) -> dict[str, Any]:
    tx = decode_transaction(block.transactions[index])
    receipt = None if tx.is_signed else context.receipts(block.hash)[index]
    return render.transaction(tx, block.header, index, receipt)


def get_raw_transaction(context: Context, tx_hash: Hash32) -> str:
    """A transaction's EIP-2718 bytes; "0x" when it is not known."""
    place = context.blocks.transaction_location(tx_hash)
    if place is not None:
        block = context.blocks.block(place[0])
        if block is not None:
            return "0x" + block.transactions[place[1]].hex()
    waiting = context.pool.get(tx_hash)
    return "0x" if waiting is None else "0x" + waiting.hex()


def get_raw_transaction_at(context: Context, reference: Hash32 | BlockTag, index: int) -> str:
    """A transaction's EIP-2718 bytes by its place; "0x" when there is none."""
    block = context.block(reference)
    return "0x" if block is None or index >= len(block.transactions) else "0x" + block.transactions[index].hex()


def get_receipt(context: Context, tx_hash: Hash32) -> dict[str, Any] | None:
    """A transaction's receipt with the OP fields; null when it is not in the chain."""
    place = context.blocks.transaction_location(tx_hash)
    block = None if place is None else context.blocks.block(place[0])
    if place is None or block is None:
        return None
    index = place[1]
    receipts = context.receipts(block.hash)
    gas_before = receipts[index - 1].cumulative_gas_used if index else 0
    logs_before = sum(len(receipt.logs) for receipt in receipts[:index])
    costs = render.L1Costs(context.config, block)
    return render.receipt(block.header, index, block.transactions[index], receipts[index], gas_before, logs_before, costs)


def send_raw_transaction(context: Context, raw: bytes) -> str:
    """Put a signed transaction into the pool and answer its hash. With a sequencer configured it goes there first, and
    the sequencer's refusal is the answer."""
    tx = decode_pooled(raw)
    if not tx.is_signed:
        raise PoolError(f"transaction type not supported: received type {tx.type}")
    cap = context.settings.tx_fee_cap_wei
    fee = tx.max_fee_per_gas * tx.gas
    if cap and fee > cap:
        raise PoolError(f"tx fee ({fee / 1e18:.2f} ether) exceeds the configured cap ({cap / 1e18:.2f} ether)")
    if not context.settings.allow_unprotected and tx.chain_id is None:
        raise PoolError("only replay-protected (EIP-155) transactions allowed over RPC")
    if context.forward is not None:
        context.forward("eth_sendRawTransaction", ["0x" + raw.hex()])
        with contextlib.suppress(PoolError):  # the sequencer has it: what the local pool thinks of it is nobody's business
            context.pool.add(raw)
        return "0x" + tx.hash.hex()
    return "0x" + context.pool.add(raw).hex()


METHODS = {
    "eth_getTransactionByHash": method(get_transaction, hash32),
    "eth_getTransactionByBlockNumberAndIndex": method(get_transaction_at, block_tag, uint),
    "eth_getTransactionByBlockHashAndIndex": method(get_transaction_at, hash32, uint),
    "eth_getRawTransactionByHash": method(get_raw_transaction, hash32),
    "eth_getRawTransactionByBlockNumberAndIndex": method(get_raw_transaction_at, block_tag, uint),
    "eth_getRawTransactionByBlockHashAndIndex": method(get_raw_transaction_at, hash32, uint),
    "eth_getTransactionReceipt": method(get_receipt, hash32, place=Place.READ),
    "eth_sendRawTransaction": method(send_raw_transaction, data, place=Place.FORWARD),
}
