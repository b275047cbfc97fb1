"""One HTTP port (aiohttp): checks of the request, and the form of the answer.

Sources: geth node/rpcstack.go and rpc/http.go for hosts, origins, content types and limits.
"""

import asyncio
import contextlib
import gzip
import ipaddress
import logging
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge

from l2engine.errors import ConfigError
from l2engine.types.json_text import JsonText, Text
from rpc.jsonrpc import Methods
from rpc.ports import auth
from rpc.ports.answering import Answering
from rpc.ports.connections import Connections, CountedServer
from rpc.ports.subscriptions import Subscriptions
from rpc.ports.transfer import hang_up, transfer_time
from rpc.ports.websocket import PING_SECONDS, Connection, origin_matches

_log = logging.getLogger(__name__)
# Malformed requests from outside must not fill the log.
_log.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError)))

CONTENT_TYPES = frozenset(("application/json", "application/json-rpc", "application/jsonrequest"))
KEEP_ALIVE_SECONDS = 120.0  # as geth
LINGERING_SECONDS = 2.0  # for a client that goes on sending a body that is refused already
GZIP_FROM_BYTES = 2048  # for smaller answers, compressing costs more than it saves
GZIP_LEVEL = 1
LARGE_BODY_BYTES = 64 * 1024
LARGE_BODIES = 32  # bodies above that which a port takes in at the same time
_HOST = re.compile(r"(\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[^:\[\]]*))(:[0-9]*)?")


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


class Listener:
    """Listens on one port: checks a request, then has it answered."""

    def __init__(self, port: Port, answering: Answering, subscriptions: Subscriptions, connections: Connections) -> None:
        self._port, self._answering, self._subscriptions, self._connections = port, answering, subscriptions, connections
        self._websockets: set[Connection] = set()
        self._large_bodies = asyncio.Semaphore(LARGE_BODIES)
        self._any_host = "*" in port.virtual_hosts
        self._hosts = frozenset(host.lower() for host in port.virtual_hosts)
        self._runner = web.ServerRunner(
            CountedServer(
                connections,
                self._serve,
                handler_cancellation=True,  # when the client leaves
                request_factory=self._make_request,
                keepalive_timeout=KEEP_ALIVE_SECONDS,
                lingering_time=LINGERING_SECONDS,
                logger=_log,
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
            # An unknown host name has its own text and no positive errno.
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            raise ConfigError(f"cannot listen on {in_url(self._port.host, self._port.port)}: {reason}") from error
        address: tuple[Any, ...] = self._runner.addresses[0]
        return int(address[1])

    async def stop(self) -> None:
        for connection in list(self._websockets):
            await connection.close()
        await self._runner.cleanup()

    # ---- one HTTP request -------------------------------------------------------------------------------------------

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            response = await self._handle(request)
            await self._send(request, response)
        except ConnectionError:
            return web.Response()  # the client has left: nothing is sent any more
        finally:
            self._connections.answered(request.protocol)
        return response

    async def _send(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        try:
            async with transfer_time(response.content_length or 0):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            hang_up(request)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        port = self._port
        if port.secret is not None:
            try:
                auth.check(request.headers.get("Authorization"), port.secret, time.time())
            except auth.Unauthorized as error:
                return _text(401, str(error))
        self._connections.asked(request.protocol)
        if port.websocket and request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve_websocket(request)  # which checks the origin, not the host
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
            async with transfer_time(), self._room_for_body(length):
                body = await request.read()
        except HTTPRequestEntityTooLarge:
            return _text(413, f"content length too large (>{limit})")
        except web.RequestPayloadError:
            return _text(400, "malformed body")
        except TimeoutError:
            return _text(408, "the body came too slowly")
        answer = await self._answering.answer(body, self._port.methods)
        return await self._response(answer, "gzip" in request.headers.get("Accept-Encoding", ""))

    async def _response(self, answer: Text, takes_gzip: bool) -> web.Response:
        """The response with an answer; a large one is sent piece by piece as the client takes it, its length told before."""
        headers = {"Content-Type": "application/json"}
        zips = takes_gzip and len(answer) >= GZIP_FROM_BYTES
        if zips:
            headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        if isinstance(answer, JsonText):
            length, pieces = (answer.compressed_size, answer.compressed()) if zips else (len(answer), answer.pieces())
            return web.Response(body=self._answering.sending(pieces), headers={**headers, "Content-Length": str(length)})
        if zips:
            answer = await asyncio.get_running_loop().run_in_executor(self._answering.senders, gzip.compress, answer, GZIP_LEVEL)
        return web.Response(body=answer, headers=headers)

    def _room_for_body(self, length: int | None) -> contextlib.AbstractAsyncContextManager[None]:
        """Lets few large bodies come in at the same time, since each may take its time and the memory that it announces."""
        return contextlib.nullcontext() if length is not None and length <= LARGE_BODY_BYTES else self._large_bodies

    def _host_allowed(self, header: str) -> bool:
        """Whether a Host header may name this server. IP addresses are always allowed, since DNS rebinding needs a name."""
        host = header.lower()
        if not host:
            return True
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        return match["name"] in self._hosts or _is_ip(match["address"] or match["name"])

    def _cors_headers(self, origin: str) -> dict[str, str]:
        """The headers that let a page of this origin read the answer. An origin is scheme, host and port together."""
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
        if request.method != "GET":
            return _text(400, "a WebSocket handshake is a GET request")
        socket = web.WebSocketResponse(max_msg_size=self._port.body_limit_bytes, heartbeat=PING_SECONDS, compress=False)
        try:
            await socket.prepare(request)
        except ValueError:  # the key is not ASCII
            return _text(400, "malformed WebSocket handshake")
        connection = Connection(self._answering, self._subscriptions, request, socket, self._port.methods)
        self._websockets.add(connection)
        try:
            await connection.serve()
        finally:
            self._websockets.discard(connection)
        return socket

    def _websocket_origin_allowed(self, origin: str) -> bool:
        allowed = self._port.websocket_origins or ("localhost",)
        return "*" in allowed or any(origin_matches(pattern, origin) for pattern in allowed)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_like(pattern: str, origin: str) -> bool:
    """Whether an origin equals the pattern; one * in the pattern matches any text."""
    head, star, tail = pattern.partition("*")
    return origin == pattern or bool(star and len(origin) >= len(head + tail) and origin.startswith(head) and origin.endswith(tail))


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text + "\n")


def in_url(host: str, port: int) -> str:
    """Host and port as a URL has them: an IPv6 address in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
