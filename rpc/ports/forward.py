"""Requests to another node over HTTP, such as the sequencer (--rollup.sequencerhttp); its errors are returned unchanged."""

import itertools
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import orjson

from rpc.errors import SERVER_ERROR, RpcError

TIMEOUT_SECONDS = 5.0


class Unreachable(RpcError):
    """The other node gave no answer, or one that is not JSON-RPC."""

    def __init__(self, message: str) -> None:
        super().__init__(SERVER_ERROR, message)


def forwarder(url: str, timeout_seconds: float = TIMEOUT_SECONDS, node: str = "the sequencer") -> Callable[[str, list[Any]], Any]:
    """A function (method, params) → result that asks the node at `url`. It blocks, so run it in its own thread.
    The node's error is raised as `RpcError` with its code, message and data; `Unreachable` when it gives none."""
    ids = itertools.count(1)

    def forward(name: str, params: list[Any]) -> Any:
        body = orjson.dumps({"jsonrpc": "2.0", "id": next(ids), "method": name, "params": params})
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=timeout_seconds) as response:
                answer = orjson.loads(response.read())
        except urllib.error.HTTPError as error:
            raise Unreachable(f"{error.code} {error.reason}: {error.read(200).decode(errors='replace')}") from None
        except (OSError, orjson.JSONDecodeError) as error:
            raise Unreachable(f"{node} cannot be reached: {error}") from None
        return _result(answer, node)

    return forward


def _result(answer: Any, node: str) -> Any:
    """The result in a JSON-RPC answer; its error is raised."""
    refused = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(refused, dict) and isinstance(refused.get("code"), int):
        raise RpcError(refused["code"], str(refused.get("message", "")), refused.get("data"))
    if not isinstance(answer, dict) or refused is not None or "result" not in answer:
        raise Unreachable(f"{node} gave an answer that is not JSON-RPC")
    return answer["result"]
