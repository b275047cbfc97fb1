"""All ports of a node, and the sending of subscription messages on their WebSockets."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

from l2engine.errors import L2EngineError
from l2engine.types.base import Hash32
from rpc.context import Context
from rpc.ports.answering import Answering
from rpc.ports.http import Listener, Port
from rpc.ports.subscriptions import Subscriptions
from rpc.ports.websocket import Connection

log = logging.getLogger(__name__)


class Server:
    """Serves the given ports until `stop`."""

    def __init__(self, context: Context, ports: Iterable[Port], engine_thread: Executor) -> None:
        self._context = context
        self.subscriptions = Subscriptions(context)
        self._answering = Answering(context, engine_thread)
        self._news_thread = ThreadPoolExecutor(1, thread_name_prefix="rpc-news")  # its own thread, so that slow reads do not delay it
        self._listeners = [Listener(port, self._answering, self.subscriptions) for port in ports]
        self._news: asyncio.Queue[Sequence[Hash32] | None] = asyncio.Queue()
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
        self._announce(None)

    def pool_grew(self, hashes: Sequence[Hash32]) -> None:
        """Tell subscribers and filters of new pool transactions. Any thread may call it."""
        self._context.filters.pool_grew(hashes)
        self._announce(hashes)

    def _announce(self, news: Sequence[Hash32] | None) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._news.put_nowait, news)

    async def _publish(self) -> None:
        while True:
            news = await self._news.get()
            try:
                messages = await asyncio.get_running_loop().run_in_executor(self._news_thread, self._messages, news)
            except L2EngineError as error:
                log.error("Subscriptions failed", extra={"fields": {"err": error}})
                continue
            except Exception:
                log.exception("subscriptions failed")
                continue
            for connection, message in messages:
                assert isinstance(connection, Connection)
                connection.push(message)

    def _messages(self, news: Sequence[Hash32] | None) -> list[tuple[object, bytes]]:
        return list(self.subscriptions.head_changed() if news is None else self.subscriptions.pool_grew(news))
