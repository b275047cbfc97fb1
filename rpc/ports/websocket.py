"""One WebSocket connection, and the check of the origin that may open one."""

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import islice
from typing import Any

from aiohttp import WSMsgType, web

from l2engine.types.json_text import Text
from rpc.context import Context
from rpc.jsonrpc import Method, Methods, RunsOn, method
from rpc.ports.answering import Answering
from rpc.ports.push import Push
from rpc.ports.subscriptions import Subscriptions
from rpc.ports.transfer import hang_up, transfer_time
from rpc.read.values import string

log = logging.getLogger(__name__)

PING_SECONDS = 30.0
TEXT, CONTINUATION, FINAL, LENGTH_IN_8_BYTES = 0x1, 0x0, 0x80, 127  # RFC 6455, 5.2
BACKLOG = 4096  # messages that may wait for a slow client; when more come, its connection is dropped
BACKLOG_BYTES = 64 * 1024 * 1024  # the same in bytes
CALLS_AT_ONCE = 8  # per connection; a call counts until its answer is sent
SENT_AT_ONCE = 32  # messages that are sent before other connections have their turn


class Connection:
    """One WebSocket: calls are answered as they finish, with the messages of subscriptions in between."""

    def __init__(
        self,
        answering: Answering,
        subscriptions: Subscriptions,
        request: web.BaseRequest,
        socket: web.WebSocketResponse,
        methods: Methods,
    ) -> None:
        self._answering, self._subscriptions, self._request, self._socket = answering, subscriptions, request, socket
        self._outgoing: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        """What sends the next answer or push. The slots bound the answers, `push` bounds the pushes."""
        self._waiting = self._waiting_bytes = 0
        """Messages of subscriptions that are not sent yet."""
        self._dropped = False
        self._slots = asyncio.Semaphore(CALLS_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._methods = dict(methods)
        if "eth_subscribe" in methods:
            # Four is more arguments than any subscription takes. The boxes distinguish null from a missing argument.
            boxed = (lambda value: [value],) * 4
            self._methods["eth_subscribe"] = Method(self._subscribe, boxed, 0, RunsOn.LOOP)
            self._methods["eth_unsubscribe"] = method(self._unsubscribe, string)

    async def serve(self) -> None:
        """Serve the connection until the client closes it or lags too far behind."""
        self._subscriptions.join(self)
        both = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]
        try:
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._subscriptions.leave(self)
            for task in (*both, *self._tasks):
                task.cancel()

    def push(self, push: Push) -> None:
        """Queue a push. The connection is dropped when the push is too large, or when the client has not read what came before."""
        if self._dropped:
            return
        if push.too_large or self._waiting > BACKLOG or self._waiting_bytes > BACKLOG_BYTES:
            log.warning("dropping a WebSocket that does not keep up with its subscriptions", extra={"fields": {"waiting": self._waiting}})
            self._dropped = True
            self._subscriptions.leave(self)
            hang_up(self._request)
            return
        self._waiting += push.count
        self._waiting_bytes += push.size
        self._outgoing.put_nowait(partial(self._send_push, push))

    async def close(self) -> None:
        """Close the connection."""
        await self._socket.close(drain=False)

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                break
            body = message.data.encode() if isinstance(message.data, str) else message.data
            await self._slots.acquire()
            task = asyncio.create_task(self._answer(body))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, body: bytes) -> None:
        answer = await self._answering.answer(body, self._methods)
        if answer:
            self._outgoing.put_nowait(partial(self._send_answer, answer))
        else:
            self._slots.release()

    async def _write(self) -> None:
        try:
            while True:
                send = await self._outgoing.get()
                await send()
        except TimeoutError:
            hang_up(self._request)
        except ConnectionError:
            pass  # the client has left

    async def _send_answer(self, answer: Text) -> None:
        async with transfer_time(len(answer)):
            await self._send(answer)
        self._slots.release()

    async def _send_push(self, push: Push) -> None:
        messages = push.messages()
        while few := list(islice(messages, SENT_AT_ONCE)):
            async with transfer_time():
                for message in few:
                    await self._send(message)
            self._waiting -= len(few)
            await asyncio.sleep(0)  # sending does not wait as long as the client reads
        self._waiting_bytes -= push.size

    async def _send(self, message: Text) -> None:
        if isinstance(message, bytes):
            return await self._socket.send_str(message.decode())
        opcode = TEXT
        async for piece in self._answering.sending(message.pieces()):
            await self._send_frame(opcode, piece)
            opcode = CONTINUATION
        await self._send_frame(FINAL | CONTINUATION, b"")

    async def _send_frame(self, first_byte: int, payload: bytes) -> None:
        """Send a part of a message (RFC 6455, 5.4), which aiohttp has no function for."""
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        transport.write(struct.pack("!BBQ", first_byte, LENGTH_IN_8_BYTES, len(payload)) + payload)
        await self._request.writer.drain()

    def _subscribe(self, context: Context, *params: Any) -> str:
        """The method eth_subscribe on this connection."""
        return self._subscriptions.subscribe(self, [value for box in params if box for value in box])

    def _unsubscribe(self, context: Context, identity: str) -> bool:
        """The method eth_unsubscribe on this connection."""
        return self._subscriptions.unsubscribe(self, identity)


def origin_matches(allowed: str, origin: str) -> bool:
    """Whether an Origin header matches `allowed`, which may leave out the scheme or the port to allow any."""
    allowed, origin = allowed.lower().rstrip("/"), origin.lower()
    if "://" not in allowed:
        origin = origin.partition("://")[2]
    return allowed == origin or (":" not in allowed.partition("://")[2] and allowed == origin.rpartition(":")[0])
