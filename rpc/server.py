"""The HTTP and WebSocket ports (aiohttp): who may ask, on which thread an answer is made, and how it goes out.

Engine calls run one after another on the engine thread, slow reads on a small pool, cheap ones on the event loop itself.
Sources: geth node/rpcstack.go and rpc/http.go for hosts, origins, content types and limits.
"""

import asyncio
import contextlib
import gzip
import ipaddress
import itertools
import logging
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from aiohttp import WSMsgType, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge

from l2engine.errors import ConfigError, L2EngineError
from l2engine.types.base import Hash32
from rpc import auth
from rpc.codec import string
from rpc.context import Context, TimeLimit
from rpc.errors import TIMEOUT
from rpc.jsonrpc import Call, Limits, Method, Methods, Place, Request, join, method, parse, refusal, run, too_large
from rpc.subscriptions import Subscriptions

log = logging.getLogger(__name__)
_http_log = logging.getLogger(f"{__name__}.http")
_http_log.addFilter(
    lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
)  # anybody can send garbage

CONTENT_TYPES = frozenset(("application/json", "application/json-rpc", "application/jsonrequest"))
KEEP_ALIVE_SECONDS = 120.0  # as geth
TRANSFER_SECONDS = 30.0  # that a body may take in either direction, as geth
GZIP_FROM_BYTES = 2048  # below, compressing costs more than it saves
GZIP_LEVEL = 1
WS_PING_SECONDS = 30.0
WS_BACKLOG = 4096  # messages that a slow subscriber may lag behind before it is dropped
WS_CALLS_AT_ONCE = 8  # of one connection, counted until their answers are sent
LONG_BATCH = 16  # so many cheap calls together are no longer cheap
READERS = 4  # threads that read, and as many that run calls
FORWARDERS = 32  # threads that mostly wait for the sequencer


@dataclass(frozen=True, slots=True)
class Port:
    """One listening socket and its rules."""

    host: str
    port: int
    methods: Methods
    http: bool = True
    websocket: bool = False
    virtual_hosts: Sequence[str] = ("localhost",)
    cors_origins: Sequence[str] = ()
    websocket_origins: Sequence[str] = ()
    secret: bytes | None = None
    """JWT secret; None for an open port."""
    body_limit_bytes: int = 5 * 1024 * 1024


class Server:
    """Serves the given ports until `stop`."""

    def __init__(self, context: Context, ports: Iterable[Port], engine_thread: Executor) -> None:
        settings = context.settings
        self.context = context
        self.limits = Limits(settings.batch_request_limit, settings.batch_response_max_bytes)
        self.readers = ThreadPoolExecutor(READERS, thread_name_prefix="rpc-read")
        self.subscriptions = Subscriptions(context)
        self._callers = ThreadPoolExecutor(READERS, thread_name_prefix="rpc-call")
        self._forwarders = ThreadPoolExecutor(FORWARDERS, thread_name_prefix="rpc-forward")
        self._newscaster = ThreadPoolExecutor(1, thread_name_prefix="rpc-news")  # not behind anybody's slow read
        self._threads = {
            Place.READ: self.readers,
            Place.CALL: self._callers,
            Place.ENGINE: engine_thread,
            Place.FORWARD: self._forwarders,
        }
        self._listeners = [_Listener(self, port) for port in ports]
        self._news: asyncio.Queue[Sequence[Hash32] | None] = asyncio.Queue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._publisher: asyncio.Task[None] | None = None

    async def start(self) -> list[int]:
        """Open the sockets; answers their port numbers in order, real ones where 0 was asked for."""
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
        for threads in (self.readers, self._callers, self._forwarders, self._newscaster):
            threads.shutdown(wait=False, cancel_futures=True)

    def head_changed(self) -> None:
        """Tell subscribers that there is a new head. Any thread may call it."""
        self._announce(None)

    def pool_grew(self, hashes: Sequence[Hash32]) -> None:
        """Tell subscribers and filters of new pool transactions. Any thread may call it."""
        self.context.filters.pool_grew(hashes)
        self._announce(hashes)

    def _announce(self, news: Sequence[Hash32] | None) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._news.put_nowait, news)

    async def _publish(self) -> None:
        while True:
            news = await self._news.get()
            try:
                messages = await asyncio.get_running_loop().run_in_executor(self._newscaster, self._messages, news)
            except L2EngineError as error:
                log.error("Subscriptions failed", extra={"fields": {"err": error}})
                continue
            except Exception:
                log.exception("subscriptions failed")
                continue
            for connection, message in messages:
                assert isinstance(connection, _Connection)
                connection.push(message)

    def _messages(self, news: Sequence[Hash32] | None) -> list[tuple[object, bytes]]:
        return list(self.subscriptions.head_changed() if news is None else self.subscriptions.pool_grew(news))

    # ---- answering --------------------------------------------------------------------------------------------------

    async def answer(self, body: bytes, methods: Methods) -> bytes:
        """The response to a request body."""
        request = parse(body, self.limits)
        if len(request.items) == 1:
            item = request.items[0]
            answers = [item if isinstance(item, bytes) else await self._run_one(item, methods)]
        else:
            answers = await self._run_many(request, methods)
        return join(request, answers, self.limits)

    async def _run_one(self, call: Call, methods: Methods) -> bytes:
        place = _place(call, methods)
        if place is Place.LOOP:
            return run(call, methods, self.context)
        return await asyncio.get_running_loop().run_in_executor(self._threads[place], self._run, call, methods, TimeLimit())

    async def _run_many(self, request: Request, methods: Methods) -> list[bytes]:
        """A batch in order; neighbours for the same place go there together."""
        cheap = Place.READ if len(request.items) > LONG_BATCH else Place.LOOP
        answers: list[bytes] = []
        size, limit, time_limit = 0, self.limits.batch_response_bytes, TimeLimit()
        for place, group in itertools.groupby(request.items, lambda item: _place(item, methods)):
            place = cheap if place is Place.LOOP else place
            work = list(group)
            room = limit - size if limit else None
            if place is Place.LOOP:
                done = self._run_group(work, methods, room, time_limit)
            else:
                done = await asyncio.get_running_loop().run_in_executor(
                    self._threads[place], self._run_group, work, methods, room, time_limit
                )
            answers += done
            size += sum(map(len, done))
        return answers

    def _run_group(self, items: Sequence[Call | bytes], methods: Methods, room: int | None, time_limit: TimeLimit) -> list[bytes]:
        """Run calls in order until the time is over or their answers are larger than `room` bytes; the rest is refused
        without being run."""
        answers: list[bytes] = []
        for item in items:
            if isinstance(item, bytes):
                answer = item
            elif room is not None and room < 0:
                answer = too_large(item)
            else:
                answer = self._run(item, methods, time_limit)
            answers.append(answer)
            if room is not None:
                room -= len(answer)
        return answers

    def _run(self, call: Call, methods: Methods, limit: TimeLimit) -> bytes:
        """Run a call, unless it has waited so long that nobody waits for it any more. What changes the chain always runs."""
        if limit.over and _place(call, methods) is not Place.ENGINE:
            return refusal(call, TIMEOUT, "request timed out")
        return run(call, methods, self.context)


def _place(item: Call | bytes, methods: Methods) -> Place:
    entry: Method | None = None if isinstance(item, bytes) else methods.get(item.method)
    return Place.LOOP if entry is None else entry.place


class _Listener:
    """One port: checks a request, then lets the server answer it."""

    def __init__(self, server: Server, port: Port) -> None:
        self._server, self._port = server, port
        self._connections: set[_Connection] = set()
        self._any_host = "*" in port.virtual_hosts
        self._hosts = frozenset(host.lower() for host in port.virtual_hosts)
        self._runner = web.ServerRunner(
            web.Server(
                self._serve,
                request_factory=self._make_request,
                keepalive_timeout=KEEP_ALIVE_SECONDS,
                logger=_http_log,
                access_log=None,
                auto_decompress=False,  # as geth: a compressed body is not JSON
            )
        )

    def _make_request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return web.BaseRequest(
            message, payload, protocol, writer, task, asyncio.get_running_loop(), client_max_size=self._port.body_limit_bytes
        )

    async def start(self) -> int:
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._port.host, self._port.port, shutdown_timeout=1.0)
        try:
            await site.start()
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror  # a name that is not found has its own
            raise ConfigError(f"cannot listen on {self._port.host}:{self._port.port}: {reason}") from error
        address: tuple[Any, ...] = self._runner.addresses[0]
        return int(address[1])

    async def stop(self) -> None:
        for connection in list(self._connections):
            await connection.close()
        await self._runner.cleanup()

    # ---- one HTTP request -------------------------------------------------------------------------------------------

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        response = await self._handle(request)
        try:
            async with asyncio.timeout(TRANSFER_SECONDS):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            _hang_up(request)
        return response

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        port = self._port
        if port.secret is not None:
            try:
                auth.check(request.headers.get("Authorization"), port.secret, time.time())
            except auth.Unauthorized as error:
                return _text(401, str(error))
        if port.websocket and request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve_websocket(request)  # where the origin counts, not the host
        if not self._any_host and not self._host_allowed(request.headers.get("Host", "")):
            return _text(403, "invalid host specified")
        if not port.http or request.path != "/":
            return _text(404, "404 page not found")
        origin = request.headers.get("Origin")
        cors = self._cors_headers(origin) if origin is not None else {}
        if request.method == "POST":
            response = await self._serve_post(request)
        elif request.method in ("GET", "OPTIONS"):
            response = self._preflight(request, cors) if cors else web.Response()
        else:
            response = _text(405, "method not allowed")
        response.headers.update(cors)
        return response

    async def _serve_post(self, request: web.BaseRequest) -> web.Response:
        limit = self._port.body_limit_bytes
        length = request.content_length
        if length is not None and length > limit:
            return _text(413, f"content length too large ({length}>{limit})")
        if request.content_type not in CONTENT_TYPES:
            return _text(415, "invalid content type, only application/json is supported")
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        try:
            async with asyncio.timeout(TRANSFER_SECONDS):
                body = await request.read()
        except HTTPRequestEntityTooLarge:
            return _text(413, f"content length too large (>{limit})")
        except TimeoutError:
            return _text(408, "the body came too slowly")
        answer = await self._server.answer(body, self._port.methods)
        headers = {"Content-Type": "application/json"}
        if len(answer) >= GZIP_FROM_BYTES and "gzip" in request.headers.get("Accept-Encoding", ""):
            answer = await asyncio.get_running_loop().run_in_executor(self._server.readers, gzip.compress, answer, GZIP_LEVEL)
            headers["Content-Encoding"] = "gzip"
            headers["Vary"] = "Accept-Encoding"
        return web.Response(body=answer, headers=headers)

    def _host_allowed(self, header: str) -> bool:
        """Whether a Host header names this server; addresses always do, for DNS rebinding needs a name."""
        host = header.lower()
        if not host:
            return True
        name = host[1 : host.find("]")] if host.startswith("[") else host.partition(":")[0]
        if name in self._hosts:
            return True
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(name)
            return True
        return False

    def _cors_headers(self, origin: str) -> dict[str, str]:
        """What a page of this origin needs to read the answer. An origin is scheme, host and port: another port is another one."""
        origins = self._port.cors_origins
        if "*" in origins:
            return {"Access-Control-Allow-Origin": "*"}
        if any(_is_like(allowed.lower(), origin.lower()) for allowed in origins):
            return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        return {}

    def _preflight(self, request: web.BaseRequest, cors: dict[str, str]) -> web.Response:
        wanted = request.headers.get("Access-Control-Request-Method")
        if request.method != "OPTIONS" or wanted is None:
            return web.Response()
        headers = {"Access-Control-Allow-Methods": wanted, "Access-Control-Max-Age": "600"}
        if asked := request.headers.get("Access-Control-Request-Headers"):
            headers["Access-Control-Allow-Headers"] = asked
        return web.Response(status=204, headers=headers) if wanted in ("POST", "GET") else web.Response(status=204)

    # ---- WebSocket --------------------------------------------------------------------------------------------------

    async def _serve_websocket(self, request: web.BaseRequest) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        if origin is not None and not self._websocket_origin_allowed(origin):
            return _text(403, "origin not allowed")
        socket = web.WebSocketResponse(max_msg_size=self._port.body_limit_bytes, heartbeat=WS_PING_SECONDS, compress=False)
        await socket.prepare(request)
        connection = _Connection(self._server, request, socket, self._port.methods)
        self._connections.add(connection)
        try:
            await connection.serve()
        finally:
            self._connections.discard(connection)
        return socket

    def _websocket_origin_allowed(self, origin: str) -> bool:
        allowed = self._port.websocket_origins or ("localhost",)
        return "*" in allowed or any(_origin_matches(pattern, origin) for pattern in allowed)


class _Connection:
    """One WebSocket: calls are answered as they finish, subscriptions' messages go in between."""

    def __init__(self, server: Server, request: web.BaseRequest, socket: web.WebSocketResponse, methods: Methods) -> None:
        self._server, self._request, self._socket = server, request, socket
        self._outgoing: asyncio.Queue[tuple[bytes, bool]] = asyncio.Queue(WS_BACKLOG)
        """Messages, and whether one is an answer, which keeps its slot until it is sent."""
        self._slots = asyncio.Semaphore(WS_CALLS_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._methods = dict(methods)
        if "eth_subscribe" in methods:
            boxed = (lambda value: [value],) * 4  # more arguments than any subscription takes; a null is told from a missing one
            self._methods["eth_subscribe"] = Method(self._subscribe, boxed, 0, Place.LOOP)
            self._methods["eth_unsubscribe"] = method(self._unsubscribe, string)

    async def serve(self) -> None:
        """Until the other side closes or lags too far behind."""
        writer = asyncio.create_task(self._write())
        try:
            async for message in self._socket:
                if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    break
                body = message.data.encode() if isinstance(message.data, str) else message.data
                await self._slots.acquire()
                task = asyncio.create_task(self._answer(body))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        finally:
            self._server.subscriptions.drop(self)
            writer.cancel()
            for task in self._tasks:
                task.cancel()

    def push(self, message: bytes) -> None:
        """Queue a message; a consumer whose queue is full is dropped."""
        try:
            self._outgoing.put_nowait((message, False))
        except asyncio.QueueFull:
            if not self._socket.closed:
                log.warning("dropping a WebSocket that does not keep up with its subscriptions")
                self._server.subscriptions.drop(self)
                task = asyncio.create_task(self.close())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Hang up."""
        await self._socket.close(drain=False)

    async def _answer(self, body: bytes) -> None:
        answer = await self._server.answer(body, self._methods)
        if answer:
            await self._outgoing.put((answer, True))
        else:
            self._slots.release()

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                message, is_answer = await self._outgoing.get()
                try:
                    async with asyncio.timeout(TRANSFER_SECONDS):
                        await self._socket.send_str(message.decode())
                except TimeoutError:
                    return _hang_up(self._request)
                if is_answer:
                    self._slots.release()

    def _subscribe(self, context: Context, *params: Any) -> str:
        """eth_subscribe."""
        return self._server.subscriptions.subscribe(self, [value for box in params if box for value in box])

    def _unsubscribe(self, context: Context, identity: str) -> bool:
        """eth_unsubscribe."""
        return self._server.subscriptions.unsubscribe(self, identity)


def _origin_matches(allowed: str, origin: str) -> bool:
    """Whether an Origin header is the allowed one; a pattern without a scheme or port leaves that open."""
    allowed, origin = allowed.lower().rstrip("/"), origin.lower()
    if "://" not in allowed:
        origin = origin.partition("://")[2]
    return allowed == origin or (":" not in allowed.partition("://")[2] and allowed == origin.rpartition(":")[0])


def _is_like(pattern: str, origin: str) -> bool:
    """Whether they are the same; one * in the pattern stands for anything."""
    head, star, tail = pattern.partition("*")
    return origin == pattern or bool(star and len(origin) >= len(head + tail) and origin.startswith(head) and origin.endswith(tail))


def _hang_up(request: web.BaseRequest) -> None:
    """End the connection of somebody who does not read, with all that waits to be sent."""
    if request.transport is not None:
        request.transport.abort()


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text + "\n")
