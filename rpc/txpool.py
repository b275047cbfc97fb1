"""txpool_*: what waits in the pool, by sender and nonce."""

from collections.abc import Mapping
from typing import Any

from l2engine.types.base import Address
from l2engine.types.transaction import effective_gas_price
from l2engine.types.transaction_codec import decode_transaction
from rpc import render
from rpc.codec import address
from rpc.context import Context
from rpc.jsonrpc import Place, method

ByNonce = Mapping[int, bytes]


def content(context: Context) -> dict[str, Any]:
    """Every transaction in full: executable ones under pending, those behind a nonce gap under queued."""
    return {
        part: {render.checksum_address(sender): _full(waiting) for sender, waiting in senders.items()}
        for part, senders in zip(("pending", "queued"), context.pool.content(), strict=True)
    }


def content_from(context: Context, sender: Address) -> dict[str, Any]:
    """One sender's transactions in full."""
    return {part: _full(senders.get(sender, {})) for part, senders in zip(("pending", "queued"), context.pool.content(), strict=True)}


def inspect(context: Context) -> dict[str, Any]:
    """Every transaction in one line each."""
    return {
        part: {render.checksum_address(sender): {str(n): _line(raw) for n, raw in waiting.items()} for sender, waiting in senders.items()}
        for part, senders in zip(("pending", "queued"), context.pool.content(), strict=True)
    }


def status(context: Context) -> dict[str, str]:
    """How many transactions wait."""
    pending, queued = context.pool.status()
    return {"pending": hex(pending), "queued": hex(queued)}


def _full(waiting: ByNonce) -> dict[str, Any]:
    return {str(nonce): render.transaction(decode_transaction(raw)) for nonce, raw in waiting.items()}


def _line(raw: bytes) -> str:
    tx = decode_transaction(raw)
    to = "contract creation" if tx.to is None else render.checksum_address(tx.to)
    return f"{to}: {tx.value} wei + {tx.gas} gas × {effective_gas_price(tx, None)} wei"


METHODS = {
    "txpool_content": method(content, place=Place.READ),
    "txpool_contentFrom": method(content_from, address, place=Place.READ),
    "txpool_inspect": method(inspect, place=Place.READ),
    "txpool_status": method(status),
}
