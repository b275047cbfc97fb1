"""JSON-RPC 2.0 without I/O: from the bytes of a request to the calls in it, and from results to the bytes of the answer.

`parse` splits a body into calls and ready answers, `run` executes one call, `join` puts the answers together. The server
does these three steps and chooses the thread for `run`; `handle` does all three in the calling thread. An answer is bytes, or
a `JsonText` when it is large.
Malformed requests get the same answers as from op-geth (recordings, "raw" requests).
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeAlias

import orjson

from l2engine.errors import InvalidParams, StoreError, StoreUnavailable
from l2engine.types.json_text import JsonText, Text, pieces
from rpc.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    RESPONSE_TOO_LARGE,
    RpcError,
    error_object,
)
from rpc.read.values import Optional, Parser

log = logging.getLogger(__name__)

MAX_COMMAS = 250_000  # in a body: building more values would delay all other requests, and no real request has so many


class RunsOn(Enum):
    """The threads on which a method may run without delaying others."""

    LOOP = auto()  # answers at once
    READ = auto()  # may take long: a small pool of threads
    CALL = auto()  # runs contracts up to their time limit: a separate small pool of threads
    TRACE = auto()  # runs contracts with Python listening to them: another pool
    ENGINE = auto()  # changes the chain: the one engine thread
    FORWARD = auto()  # waits for another node


@dataclass(frozen=True, slots=True)
class Written:
    """The result of a method whose results may be too large to have as values: `write` writes it as JSON."""

    write: Callable[[JsonText], None]


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC method: its function (context, *arguments) and how to parse each argument."""

    function: Callable[..., Any]
    parsers: tuple[Parser[Any], ...]
    required: int
    """The number of leading arguments that must be given."""
    runs_on: RunsOn


def method(function: Callable[..., Any], *parsers: Parser[Any], runs_on: RunsOn = RunsOn.LOOP) -> Method:
    """A table entry; trailing `Optional` parsers make optional arguments."""
    required = max((i + 1 for i, parser in enumerate(parsers) if not isinstance(parser, Optional)), default=0)
    return Method(function, parsers, required, runs_on)


Methods: TypeAlias = Mapping[str, Method]


@dataclass(frozen=True, slots=True)
class Call:
    """A well-formed request for one method."""

    id: Any
    method: str
    params: Any
    notification: bool
    """Whether the call has no id: it is executed but gets no answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """A parsed body: calls to run, and answers that are already known."""

    items: Sequence[Call | bytes]
    batch: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on batches; 0 means no limit."""

    batch_items: int = 1000
    batch_response_bytes: int = 25_000_000


def parse(body: bytes, limits: Limits) -> Request:
    """Split a body into its calls."""
    if body.count(b",") > MAX_COMMAS:
        return Request((_invalid(None, "too many values"),), False)
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        if not body.strip():
            return Request((), False)
        return Request((error_answer(None, {"code": PARSE_ERROR, "message": "parse error"}),), False)
    if not isinstance(message, list):
        item = _read(message)
        return Request(() if item is None else (item,), False)
    if not message:
        return Request((_invalid(None, "empty batch"),), False)
    if limits.batch_items and len(message) > limits.batch_items:
        first = next((m["id"] for m in message if isinstance(m, dict) and "method" in m and _valid_id(m)), None)
        return Request((_invalid(first, "batch too large"),), True)
    return Request([item for item in map(_read, message) if item is not None], True)


def _read(message: Any) -> Call | bytes | None:
    if not isinstance(message, dict):
        return _invalid(None)
    name = message.get("method")
    current = message.get("jsonrpc") == "2.0"
    if current and isinstance(name, str) and name:
        if "id" not in message:
            return Call(None, name, message.get("params"), True)
        if _valid_id(message):
            return Call(message["id"], name, message.get("params"), False)
    elif current and not name and _valid_id(message) and "params" not in message and ("result" in message or "error" in message):
        return None  # a response, not a request: nothing here waits for one
    return _invalid(message["id"] if _valid_id(message) else None)


def _valid_id(message: dict[str, Any]) -> bool:
    return "id" in message and not isinstance(message["id"], dict | list)


def _invalid(request_id: Any, text: str = "invalid request") -> bytes:
    return error_answer(request_id, {"code": INVALID_REQUEST, "message": text})


def run(call: Call, methods: Methods, context: Any) -> Text:
    """Execute one call and encode its answer (empty for a notification). Never raises: unexpected exceptions are logged
    once and answered as an internal error."""
    try:
        entry = methods.get(call.method)
        if entry is None:
            raise RpcError(METHOD_NOT_FOUND, f"the method {call.method} does not exist/is not available")
        result = entry.function(context, *arguments(entry, call.params))
        if call.notification:
            return b""
        if isinstance(result, Written):
            return _write(call, result, context)
        return _encode({"jsonrpc": "2.0", "id": call.id, "result": result})
    except Exception as error:
        answer = error_object(error)
        if answer is None:
            log.exception("RPC method %s crashed", call.method)
            answer = {"code": INTERNAL_ERROR, "message": "method handler crashed"}
        elif isinstance(error, StoreError) and not isinstance(error, StoreUnavailable):  # the engine logs StoreUnavailable itself, once
            log.error("Database error", extra={"fields": {"method": call.method, "err": error}})
        return b"" if call.notification else error_answer(call.id, answer)


def _write(call: Call, result: Written, context: Any) -> Text:
    """The answer to a call whose result writes itself."""
    text = JsonText(context.settings.response_max_bytes)
    text.write(b'{"jsonrpc":"2.0","id":' + orjson.dumps(call.id) + b',"result":')
    result.write(text)
    text.write(b"}")
    return text.finish()


def arguments(entry: Method, params: Any) -> list[Any]:
    """The typed arguments of a call; `InvalidParams` in geth's words."""
    if params is None:
        params = ()
    elif not isinstance(params, list):
        raise RpcError(INVALID_PARAMS, "non-array args")
    parsers = entry.parsers
    values = []
    for index, (parser, value) in enumerate(zip(parsers, params, strict=False)):
        try:
            values.append(parser(value))
        except InvalidParams as error:
            raise InvalidParams(f"invalid argument {index}: {error}") from None
    if len(params) > len(parsers):
        raise InvalidParams(f"too many arguments, want at most {len(parsers)}")
    for index in range(len(values), entry.required):
        if not isinstance(parsers[index], Optional):
            raise InvalidParams(f"missing value for required argument {index}")
    values.extend(parser.default if isinstance(parser, Optional) else None for parser in parsers[len(values) :])
    return values


def join(request: Request, answers: Sequence[Text], limits: Limits) -> Text:
    """The body of the response; empty when no call needs an answer."""
    if not request.batch:
        return answers[0] if answers else b""
    kept: list[Text] = []
    size = 0
    for item, answer in zip(request.items, answers, strict=True):
        if not answer:
            continue
        size += len(answer)
        if limits.batch_response_bytes and size > limits.batch_response_bytes:
            answer = too_large(item)
        kept.append(answer)
    if not kept:
        return b""
    whole = JsonText()
    for index, answer in enumerate(kept):
        whole.write(b"," if index else b"[")
        whole.copy(answer)
    whole.write(b"]")
    return whole.finish()


def too_large(item: Call | bytes) -> bytes:
    """The answer to a call in a batch whose answers exceed the size limit."""
    return refusal(item, RESPONSE_TOO_LARGE, "response too large")


def refusal(item: Call | bytes, code: int, message: str) -> bytes:
    """The answer to a call that is not run; empty for a notification."""
    if isinstance(item, Call) and item.notification:
        return b""
    return error_answer(item.id if isinstance(item, Call) else None, {"code": code, "message": message})


def handle(body: bytes, methods: Methods, context: Any, limits: Limits | None = None) -> bytes:
    """Answer a request body in the calling thread."""
    limits = limits or Limits()
    request = parse(body, limits)
    answers: list[Text] = []
    size = 0
    for item in request.items:
        if isinstance(item, bytes):
            answers.append(item)
        elif limits.batch_response_bytes and size > limits.batch_response_bytes:
            answers.append(too_large(item))  # the limit is reached: run no more calls
        else:
            answers.append(run(item, methods, context))
        size += len(answers[-1])
    return b"".join(pieces(join(request, answers, limits)))


def error_answer(request_id: Any, error: dict[str, Any]) -> bytes:
    """An encoded error response."""
    return _encode({"jsonrpc": "2.0", "id": request_id, "error": error})


def _encode(answer: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(answer)
    except orjson.JSONEncodeError:  # more than 254 levels deep, as traces of nested calls can be
        return json.dumps(answer, separators=(",", ":")).encode()
