"""A stand-in for an interop filter: it looks up messages in chains that run in this process. For tests and dev chains.

    with StandInFilter({901: a.chain.engine, 902: b.chain.engine}) as filter:
        Settings(rollup_interop_http=(filter.url,), ...)

It answers interop_checkAccessList and admin_getFailsafeEnabled over HTTP, in the way of op-interop-filter. Every canonical block
counts as safe enough. Source: OP specs, interop/messaging.md (invariants) and interop/supervisor.md (codes).
"""

import json
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from l2engine.chain.engine import Engine
from l2engine.errors import L2EngineError
from l2engine.rules.interop_messages import MessageIdentifier, checksum, payload_hash, read_access_list_keys
from l2engine.types.base import Hash32, Timestamp
from l2engine.types.receipt import Log

EXPIRY_SECONDS = 7 * 86_400
_UNKNOWN_CHAIN, _CONFLICT, _FUTURE, _FAILSAFE = -320501, -320600, -321401, -320602
_INVALID_PARAMS, _METHOD_NOT_FOUND = -32602, -32601


class Refused(L2EngineError):
    """The filter's error, with its code."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        super().__init__(message)


class StandInFilter:
    """See the module. `failsafe` may be set at any time."""

    def __init__(self, chains: Mapping[int, Engine], host: str = "127.0.0.1", port: int = 0) -> None:
        self.chains = chains
        self.failsafe = False
        self.asked: list[list[Any]] = []
        """The parameters of every interop_checkAccessList, in order."""
        self._server = ThreadingHTTPServer((host, port), _handler(self))

    @property
    def url(self) -> str:
        """The address at which it answers."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def __enter__(self) -> "StandInFilter":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def check(self, keys: Sequence[Hash32], timestamp: Timestamp) -> None:
        """Raise `Refused` unless each message was sent, by its checksum, not after `timestamp` and at most a week before."""
        if self.failsafe:
            raise Refused(_FAILSAFE, "failsafe is enabled")
        try:
            messages = read_access_list_keys(keys)
        except ValueError as error:
            raise Refused(_INVALID_PARAMS, str(error)) from error
        for message, claimed in messages:
            log = self._log(message)
            place = MessageIdentifier(log.address, message.block_number, message.timestamp, message.log_index, message.chain_id)
            if checksum(place, payload_hash(log)) != claimed:
                raise Refused(_CONFLICT, "another message was sent there")
            if not timestamp - EXPIRY_SECONDS <= message.timestamp <= timestamp:
                raise Refused(_CONFLICT, "the message is expired or from the future")

    def _log(self, message: MessageIdentifier) -> Log:
        engine = self.chains.get(message.chain_id)
        if engine is None:
            raise Refused(_UNKNOWN_CHAIN, f"chain {message.chain_id} is not in the dependency set")
        block_hash = engine.blocks.canonical_hash(message.block_number)
        header = block_hash and engine.blocks.header(block_hash)
        if not block_hash or not header:
            raise Refused(_FUTURE, f"chain {message.chain_id} has no block {message.block_number} yet")
        logs = [log for receipt in engine.blocks.receipts(block_hash) or () for log in receipt.logs]
        if header.timestamp != message.timestamp or message.log_index >= len(logs):
            raise Refused(_CONFLICT, "no such message was sent")
        return logs[message.log_index]

    def answer(self, name: Any, params: Any) -> Any:
        """The result of a call. `Refused` is its error."""
        if name == "admin_getFailsafeEnabled":
            return self.failsafe
        if name != "interop_checkAccessList":
            raise Refused(_METHOD_NOT_FOUND, f"the method {name} does not exist")
        self.asked.append(params)
        try:
            keys, _safety, descriptor = params
            self.check([bytes.fromhex(key.removeprefix("0x")) for key in keys], int(descriptor["timestamp"], 16))
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise Refused(_INVALID_PARAMS, "want [keys, safety level, descriptor]") from error
        return None


def _handler(filter: StandInFilter) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.dumps(_answer(filter, self.rfile.read(length))).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """No line for each request."""

    return Handler


def _answer(filter: StandInFilter, body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body)
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request.get("id")}
    except (ValueError, AttributeError):
        return {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "parse error"}}
    try:
        return answer | {"result": filter.answer(request.get("method"), request.get("params"))}
    except Refused as error:
        return answer | {"error": {"code": error.code, "message": str(error)}}
