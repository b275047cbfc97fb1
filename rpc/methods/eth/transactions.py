"""Transactions by hash and place, their receipts, and sending raw ones."""

import contextlib

from l2engine.chain.events import Origin
from l2engine.chain.pool import decode_pooled
from l2engine.errors import JournalUnavailable, PoolError
from l2engine.refusals import Reason
from l2engine.types.base import Hash32
from l2engine.types.block import Block
from l2engine.types.transaction import Transaction
from l2engine.types.transaction_codec import decode_transaction
from rpc.context import Context
from rpc.jsonrpc import RunsOn, method
from rpc.read.blocks import BlockTag, block_tag
from rpc.read.values import data, hash32, uint
from rpc.show import Json
from rpc.show.receipts import BlockCosts, show_receipt
from rpc.show.transactions import show_transaction


def get_transaction(context: Context, tx_hash: Hash32) -> Json | None:
    """A transaction in the chain or in the pool; null when it is in neither."""
    mined = context.mined(tx_hash)
    if mined is not None:
        return _in_block(context, *mined)
    waiting = context.pool.get(tx_hash)
    return None if waiting is None else show_transaction(decode_transaction(waiting))


def get_transaction_at(context: Context, reference: Hash32 | BlockTag, index: int) -> Json | None:
    """A transaction by its place; null when the block or the place does not exist."""
    block = context.block(reference)
    return None if block is None or index >= len(block.transactions) else _in_block(context, block, index)


def _in_block(context: Context, block: Block, index: int) -> Json:
    tx = decode_transaction(block.transactions[index])
    receipt = None if tx.is_signed else context.receipts(block.hash)[index]
    return show_transaction(tx, block.header, index, receipt)


def get_raw_transaction(context: Context, tx_hash: Hash32) -> str:
    """A transaction's EIP-2718 bytes; "0x" when it is not known."""
    return "0x" + (context.raw_transaction(tx_hash) or b"").hex()


def get_raw_transaction_at(context: Context, reference: Hash32 | BlockTag, index: int) -> str:
    """A transaction's EIP-2718 bytes by its place; "0x" when there is none."""
    block = context.block(reference)
    return "0x" if block is None or index >= len(block.transactions) else "0x" + block.transactions[index].hex()


def get_receipt(context: Context, tx_hash: Hash32) -> Json | None:
    """A transaction's receipt with the OP fields; null when it is not in the chain."""
    mined = context.mined(tx_hash)
    if mined is None:
        return None
    block, index = mined
    receipts = context.receipts(block.hash)
    gas_before = receipts[index - 1].cumulative_gas_used if index else 0
    logs_before = sum(len(receipt.logs) for receipt in receipts[:index])
    costs = BlockCosts(context.config, block)
    return show_receipt(block.header, index, block.transactions[index], receipts[index], gas_before, logs_before, costs)


def send_raw_transaction(context: Context, raw: bytes) -> str:
    """Put a signed transaction into the pool; its hash, on a dev chain when its block is there."""
    sent = send(context, decode_pooled(raw))
    context.await_block(sent)
    return "0x" + sent.hex()


def send(context: Context, tx: Transaction) -> Hash32:
    """Put a signed transaction into the pool and give its hash. With a sequencer configured it goes there first, and
    the sequencer's refusal is the answer."""
    if not tx.is_signed:
        raise PoolError(Reason.TYPE_NOT_ACCEPTED, type=tx.type)
    cap = context.settings.tx_fee_cap_wei
    fee = tx.max_fee_per_gas * tx.gas
    if cap and fee > cap:
        raise PoolError(Reason.FEE_ABOVE_CAP, fee=f"{fee / 1e18:.2f}", cap=f"{cap / 1e18:.2f}")
    if not context.settings.allow_unprotected and tx.chain_id is None:
        raise PoolError(Reason.REPLAY_PROTECTED)
    if context.forward is not None:
        context.forward("eth_sendRawTransaction", ["0x" + tx.raw.hex()])
        if context.settings.keep_forwarded:
            # the sequencer has accepted it: a refusal by the local pool does not matter
            with contextlib.suppress(PoolError, JournalUnavailable):
                context.pool.add_decoded(tx, Origin.FORWARDED)
        return tx.hash
    return context.pool.add_decoded(tx)


METHODS = {
    "eth_getTransactionByHash": method(get_transaction, hash32),
    "eth_getTransactionByBlockNumberAndIndex": method(get_transaction_at, block_tag, uint),
    "eth_getTransactionByBlockHashAndIndex": method(get_transaction_at, hash32, uint),
    "eth_getRawTransactionByHash": method(get_raw_transaction, hash32),
    "eth_getRawTransactionByBlockNumberAndIndex": method(get_raw_transaction_at, block_tag, uint),
    "eth_getRawTransactionByBlockHashAndIndex": method(get_raw_transaction_at, hash32, uint),
    "eth_getTransactionReceipt": method(get_receipt, hash32, runs_on=RunsOn.READ),
    "eth_sendRawTransaction": method(send_raw_transaction, data, runs_on=RunsOn.FORWARD),
}
