"""How many connections the ports take, and how long a new one may stay silent.

Each connection takes a file of the process. The open ports (HTTP and WebSocket) share one bound and the Engine port has its own, so that
strangers cannot take the rollup node's place. When a bound is reached, a connection that has never asked for anything makes room for the
new one, otherwise the one that is idle for the longest time. When all are busy, the new one is refused.
"""

import asyncio
import contextlib
import logging
import resource
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from aiohttp import web

log = logging.getLogger(__name__)

Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

SILENT_SECONDS = 30.0  # until the headers of the first request are there, as in geth
ENGINE_CONNECTIONS = 128
DATABASE_FILES = 600  # what LevelDB keeps open, and what the process has besides
FEWEST = 64  # connections of the open ports, however low the file limit is


def raise_file_limit() -> None:
    """Let the process open as many files as the system allows it to."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError):  # macOS has a lower bound than the hard limit says
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def open_connections(wanted: int) -> int:
    """The bound of the open ports: `wanted`, or what the limit of open files leaves room for (which 0 asks for)."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        files = sys.maxsize
    room = max(files - DATABASE_FILES - ENGINE_CONNECTIONS, FEWEST)
    if room < wanted:
        log.info("The limit of open files bounds the connections", extra={"fields": {"files": files, "connections": room}})
    return min(wanted or room, room)


class Connections:
    """The connections of one port, or of several that share a bound."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._silent: dict[web.RequestHandler, asyncio.TimerHandle] = {}
        """Those that have not asked for anything yet, the oldest first, each with the end of its time."""
        self._idle: dict[web.RequestHandler, None] = {}
        """Those between two requests, the longest idle first."""
        self._busy: set[web.RequestHandler] = set()

    def opened(self, connection: web.RequestHandler) -> None:
        """Take a new connection; when there are too many, end one."""
        if len(self._silent) + len(self._idle) + len(self._busy) >= self._limit:
            log.warning("Too many connections", extra={"fields": {"limit": self._limit, "busy": len(self._busy)}})
            spare = next(iter(self._silent or self._idle), connection)
            self.closed(spare)
            spare.force_close()
            if spare is connection:
                return
        self._silent[connection] = asyncio.get_running_loop().call_later(SILENT_SECONDS, connection.force_close)

    def asked(self, connection: web.RequestHandler) -> None:
        """Note that a request has come."""
        self.closed(connection)
        self._busy.add(connection)

    def answered(self, connection: web.RequestHandler) -> None:
        """Note that the request of a connection has ended."""
        if connection in self._busy:
            self._busy.discard(connection)
            self._idle[connection] = None

    def closed(self, connection: web.RequestHandler) -> None:
        """Forget a connection."""
        timer = self._silent.pop(connection, None)
        if timer is not None:
            timer.cancel()
        self._idle.pop(connection, None)
        self._busy.discard(connection)


class CountedServer(web.Server):
    """aiohttp's server, which tells `Connections` when a connection comes and goes."""

    def __init__(self, connections: Connections, handler: Handler, **options: Any) -> None:
        super().__init__(handler, **options)
        self._counted = connections

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._counted.opened(handler)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._counted.closed(handler)
