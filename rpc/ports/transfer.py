"""The time that bytes may take to come or go, and the end of connections that take longer."""

import asyncio

from aiohttp import web

TRANSFER_SECONDS = 30.0  # that a body may take in either direction, as geth


def transfer_time() -> asyncio.Timeout:
    """`TimeoutError` in what it encloses when a client is too slow."""
    return asyncio.timeout(TRANSFER_SECONDS)


def hang_up(request: web.BaseRequest) -> None:
    """End the connection of a client that does not read, and drop all that waits to be sent."""
    if request.transport is not None:
        request.transport.abort()
