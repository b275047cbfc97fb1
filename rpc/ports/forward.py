"""--rollup.sequencerhttp: requests that only the sequencer can serve are sent to it, and its errors are returned unchanged."""

import itertools
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import orjson

from rpc.errors import SERVER_ERROR, RpcError

TIMEOUT_SECONDS = 5.0


def forwarder(url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> Callable[[str, list[Any]], Any]:
    """A function (method, params) → result that asks the node at `url`. It blocks, so run it in its own thread.
    The node's error is raised as `RpcError` with its code, message and data. `RpcError` also when the node cannot be reached."""
    ids = itertools.count(1)

    def forward(name: str, params: list[Any]) -> Any:
        body = orjson.dumps({"jsonrpc": "2.0", "id": next(ids), "method": name, "params": params})
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=timeout_seconds) as response:
                answer = orjson.loads(response.read())
        except urllib.error.HTTPError as error:
            raise RpcError(SERVER_ERROR, f"{error.code} {error.reason}: {error.read(200).decode(errors='replace')}") from None
        except (OSError, orjson.JSONDecodeError) as error:
            raise RpcError(SERVER_ERROR, f"the sequencer cannot be reached: {error}") from None
        return _result(answer)

    return forward


def _result(answer: Any) -> Any:
    """The result in a JSON-RPC answer; its error is raised."""
    refused = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(refused, dict) and isinstance(refused.get("code"), int):
        raise RpcError(refused["code"], str(refused.get("message", "")), refused.get("data"))
    if not isinstance(answer, dict) or refused is not None or "result" not in answer:
        raise RpcError(SERVER_ERROR, "the sequencer gave an answer that is not JSON-RPC")
    return answer["result"]
