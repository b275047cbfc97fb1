"""All ports of a node, and the sending of subscription messages on their WebSockets."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

from l2engine.errors import L2EngineError
from l2engine.types.base import Hash32
from rpc.context import Context
from rpc.ports.answering import Answering
from rpc.ports.connections import ENGINE_CONNECTIONS, Connections, open_connections
from rpc.ports.http import Listener, Port
from rpc.ports.news import News, Pushes
from rpc.ports.subscriptions import Subscriptions

log = logging.getLogger(__name__)

MAX_POOLED = 10_000  # pool transactions that wait to be told of; the oldest are left out


class Server:
    """Serves the given ports until `stop`."""

    def __init__(self, context: Context, ports: Iterable[Port], engine_thread: Executor) -> None:
        self._context = context
        self.subscriptions = Subscriptions(context.settings)
        self._news = News(context, self.subscriptions)
        self._answering = Answering(context, engine_thread)
        self._news_thread = ThreadPoolExecutor(1, thread_name_prefix="rpc-news")  # its own thread, so that slow reads do not delay it
        open_ports, engine_port = Connections(open_connections(context.settings.max_connections)), Connections(ENGINE_CONNECTIONS)
        self._listeners = [
            Listener(port, self._answering, self.subscriptions, open_ports if port.secret is None else engine_port) for port in ports
        ]
        self._head_moved = False
        self._pooled: deque[Hash32] = deque(maxlen=MAX_POOLED)
        self._something_new = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._publisher: asyncio.Task[None] | None = None

    async def start(self) -> list[int]:
        """Open the sockets; returns their port numbers in order, with the real port where 0 was requested."""
        self._loop = asyncio.get_running_loop()
        self._publisher = asyncio.create_task(self._publish())
        return [await listener.start() for listener in self._listeners]

    async def stop(self) -> None:
        """Close the sockets and connections, and let running calls end."""
        await asyncio.gather(*(listener.stop() for listener in self._listeners))
        if self._publisher is not None:
            self._publisher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._publisher
        self._answering.stop()
        self._news_thread.shutdown(wait=False, cancel_futures=True)

    def head_changed(self) -> None:
        """Tell subscribers that there is a new head. Any thread may call it."""
        self._on_loop(self._note_head)

    def pool_grew(self, hashes: Sequence[Hash32]) -> None:
        """Tell subscribers and filters of new pool transactions. Any thread may call it."""
        self._context.filters.pool_grew(hashes)
        self._on_loop(self._note_pooled, hashes)

    def _on_loop(self, function: Callable[..., None], *arguments: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    def _note_head(self) -> None:
        self._head_moved = True
        self._something_new.set()

    def _note_pooled(self, hashes: Sequence[Hash32]) -> None:
        self._pooled.extend(hashes)
        self._something_new.set()

    async def _publish(self) -> None:
        while True:
            await self._something_new.wait()
            self._something_new.clear()
            try:
                if self._head_moved:
                    self._head_moved = False
                    await self._push(self._news.head_changed())
                pooled = tuple(self._pooled)
                self._pooled.clear()
                await self._push(self._news.pool_grew(pooled))
            except L2EngineError as error:
                log.error("Subscriptions failed", extra={"fields": {"err": error}})
            except Exception:
                log.exception("Subscriptions failed")

    async def _push(self, steps: Iterator[Pushes]) -> None:
        """Make the pushes of each step in the thread for news, and hand them to their connections before the next step."""
        loop = asyncio.get_running_loop()
        while (pushes := await loop.run_in_executor(self._news_thread, next, steps, None)) is not None:
            for connection, push in pushes:
                connection.push(push)
