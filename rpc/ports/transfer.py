"""The time limits for sending and receiving bodies, and the closing of connections that exceed it."""

import asyncio

from aiohttp import web

TRANSFER_SECONDS = 30.0  # for a body in either direction, as in geth
SLOWEST_BYTES_PER_SECOND = 1_000_000  # of a larger body: a gigabyte may take a quarter of an hour


def transfer_time(size: int = 0) -> asyncio.Timeout:
    """A context manager that raises `TimeoutError` when a client takes too long for a body of `size` bytes."""
    return asyncio.timeout(max(TRANSFER_SECONDS, size / SLOWEST_BYTES_PER_SECOND))


def hang_up(request: web.BaseRequest) -> None:
    """Abort the connection of a client that does not read, and drop all data that waits to be sent."""
    if request.transport is not None:
        request.transport.abort()
