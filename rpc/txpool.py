"""txpool_*: what waits in the pool, by sender and nonce."""

from collections.abc import Callable, Sequence
from typing import Any

from l2engine.chain.pool import Pooled
from l2engine.types.base import Address
from rpc import render
from rpc.codec import address
from rpc.context import Context
from rpc.jsonrpc import Place, method


def content(context: Context) -> dict[str, Any]:
    """Every transaction in full: executable ones under pending, those behind a nonce gap under queued."""
    return _by_sender(context, _full)


def inspect(context: Context) -> dict[str, Any]:
    """Every transaction in one line each."""
    return _by_sender(context, _line)


def content_from(context: Context, sender: Address) -> dict[str, Any]:
    """One sender's transactions in full."""
    pending, queued = context.pool.content(sender)
    return {"pending": _by_nonce(pending.get(sender, ()), _full), "queued": _by_nonce(queued.get(sender, ()), _full)}


def status(context: Context) -> dict[str, str]:
    """How many transactions wait."""
    pending, queued = context.pool.status()
    return {"pending": hex(pending), "queued": hex(queued)}


def _by_sender(context: Context, show: Callable[[Pooled], Any]) -> dict[str, Any]:
    pending, queued = (
        {render.checksum_address(sender): _by_nonce(waiting, show) for sender, waiting in senders.items()}
        for senders in context.pool.content()
    )
    return {"pending": pending, "queued": queued}


def _by_nonce(waiting: Sequence[Pooled], show: Callable[[Pooled], Any]) -> dict[str, Any]:
    return {str(pooled.tx.nonce): show(pooled) for pooled in waiting}


def _full(pooled: Pooled) -> dict[str, Any]:
    return render.transaction(pooled.tx, sender=pooled.sender)


def _line(pooled: Pooled) -> str:
    tx = pooled.tx
    to = "contract creation" if tx.to is None else render.checksum_address(tx.to)
    return f"{to}: {tx.value} wei + {tx.gas} gas × {tx.max_fee_per_gas} wei"


METHODS = {
    "txpool_content": method(content, place=Place.READ),
    "txpool_contentFrom": method(content_from, address, place=Place.READ),
    "txpool_inspect": method(inspect, place=Place.READ),
    "txpool_status": method(status),
}
