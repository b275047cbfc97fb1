"""txpool_*: what waits in the pool, by sender and nonce."""

from collections.abc import Mapping
from typing import Any

from l2engine.types.base import Address, checksum_address
from l2engine.types.transaction import effective_gas_price
from l2engine.types.transaction_codec import decode_transaction
from rpc.context import Context
from rpc.jsonrpc import RunsOn, method
from rpc.read.values import address
from rpc.show.transactions import show_transaction

ByNonce = Mapping[int, bytes]


def content(context: Context) -> dict[str, Any]:
    """Every transaction in full: executable ones under pending, those behind a nonce gap under queued."""
    return {
        part: {checksum_address(sender): _full(waiting) for sender, waiting in senders.items()}
        for part, senders in zip(("pending", "queued"), context.pool.content(), strict=True)
    }


def content_from(context: Context, sender: Address) -> dict[str, Any]:
    """One sender's transactions in full."""
    return {part: _full(senders.get(sender, {})) for part, senders in zip(("pending", "queued"), context.pool.content(), strict=True)}


def inspect(context: Context) -> dict[str, Any]:
    """Every transaction in one line each."""
    return {
        part: {checksum_address(sender): {str(n): _line(raw) for n, raw in waiting.items()} for sender, waiting in senders.items()}
        for part, senders in zip(("pending", "queued"), context.pool.content(), strict=True)
    }


def status(context: Context) -> dict[str, str]:
    """How many transactions wait."""
    pending, queued = context.pool.status()
    return {"pending": hex(pending), "queued": hex(queued)}


def _full(waiting: ByNonce) -> dict[str, Any]:
    return {str(nonce): show_transaction(decode_transaction(raw)) for nonce, raw in waiting.items()}


def _line(raw: bytes) -> str:
    tx = decode_transaction(raw)
    to = "contract creation" if tx.to is None else checksum_address(tx.to)
    return f"{to}: {tx.value} wei + {tx.gas} gas × {effective_gas_price(tx, None)} wei"


METHODS = {
    "txpool_content": method(content, runs_on=RunsOn.READ),
    "txpool_contentFrom": method(content_from, address, runs_on=RunsOn.READ),
    "txpool_inspect": method(inspect, runs_on=RunsOn.READ),
    "txpool_status": method(status),
}
