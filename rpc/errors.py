"""The JSON-RPC error for each exception: one table of code, message and the place of the exception's text.

geth puts the text of most errors into `message`; the Engine API's own errors have a fixed message and carry the text in
`data.err`. Sources: JSON-RPC 2.0; execution-apis src/engine/common.md; engine-api-observed 2.3.
"""

from collections.abc import Callable
from typing import Any

from l2engine.errors import (
    DecodeError,
    ExecutionReverted,
    ExecutionTimeout,
    ExecutorsDisagree,
    InvalidAttributes,
    InvalidForkchoice,
    InvalidParams,
    InvalidTransaction,
    L2EngineError,
    RequestTooLarge,
    ResponseTooLarge,
    StateUnavailable,
    StoreUnreadable,
    UnknownBlock,
    UnknownFork,
    UnknownPayload,
    UnsupportedFork,
)

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
SERVER_ERROR = -32000
TIMEOUT = -32002
RESPONSE_TOO_LARGE = -32003
NO_HISTORICAL_FALLBACK = -32801
REVERTED = 3


class RpcError(L2EngineError):
    """An error with its code and data already decided."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        self.code, self.data = code, data
        super().__init__(message)


class EngineParamsError(L2EngineError):
    """Fields that a version of an Engine method must not have, or fields that it must have and are missing."""


def error_object(error: Exception) -> dict[str, Any] | None:
    """The `error` member for an expected exception; None for an unexpected one, which is a bug here."""
    if isinstance(error, RpcError):
        answer: dict[str, Any] = {"code": error.code, "message": str(error)}
        if error.data is not None:
            answer["data"] = error.data
        return answer
    for kind, row in _TABLE:
        if isinstance(error, kind):
            return row(error)
    return None


def _plain(code: int) -> Callable[[Exception], dict[str, Any]]:
    return lambda error: {"code": code, "message": str(error)}


def _engine(code: int, message: str) -> Callable[[Exception], dict[str, Any]]:
    def row(error: Exception) -> dict[str, Any]:
        text = str(error)
        answer: dict[str, Any] = {"code": code, "message": message}
        if text and text != message:
            answer["data"] = {"err": text}
        return answer

    return row


def _reverted(error: Exception) -> dict[str, Any]:
    assert isinstance(error, ExecutionReverted)
    return {"code": REVERTED, "message": str(error), "data": "0x" + error.data.hex()}


# Subclasses must come before their parents.
_TABLE: tuple[tuple[type[Exception], Callable[[Exception], dict[str, Any]]], ...] = (
    (EngineParamsError, _engine(INVALID_PARAMS, "Invalid parameters")),
    (InvalidParams, _plain(INVALID_PARAMS)),
    (UnknownPayload, lambda error: {"code": -38001, "message": "Unknown payload"}),
    (InvalidForkchoice, _engine(-38002, "Invalid forkchoice state")),
    (InvalidAttributes, _engine(-38003, "Invalid payload attributes")),
    (RequestTooLarge, _engine(-38004, "Too large request")),
    (ResponseTooLarge, _plain(RESPONSE_TOO_LARGE)),
    (UnsupportedFork, _engine(-38005, "Unsupported fork")),
    (UnknownFork, _plain(SERVER_ERROR)),
    (ExecutionReverted, _reverted),
    (ExecutionTimeout, _plain(SERVER_ERROR)),
    (InvalidTransaction, _plain(SERVER_ERROR)),
    (DecodeError, _plain(SERVER_ERROR)),
    (UnknownBlock, _plain(SERVER_ERROR)),
    (StateUnavailable, _plain(SERVER_ERROR)),
    (ExecutorsDisagree, _plain(INTERNAL_ERROR)),
    (StoreUnreadable, lambda error: {"code": SERVER_ERROR, "message": f"the node's database cannot be read: {error}"}),
    (L2EngineError, _plain(SERVER_ERROR)),
)
