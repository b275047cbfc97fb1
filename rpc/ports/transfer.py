"""The time limit for sending and receiving bodies, and the closing of connections that exceed it."""

import asyncio

from aiohttp import web

TRANSFER_SECONDS = 30.0  # for a body in either direction, as in geth


def transfer_time() -> asyncio.Timeout:
    """A context manager that raises `TimeoutError` when a client takes too long."""
    return asyncio.timeout(TRANSFER_SECONDS)


def hang_up(request: web.BaseRequest) -> None:
    """Abort the connection of a client that does not read, and drop all data that waits to be sent."""
    if request.transport is not None:
        request.transport.abort()
