"""Moving the head of a recorded chain, and asking about it."""

import json

from l2engine.types.header import Header
from rpc.context import Context
from rpc.jsonrpc import handle
from rpc.registry import methods_for

METHODS = methods_for(("eth",))


def move(context: Context, head: Header) -> None:
    context.engine.head = head  # type: ignore[misc]


def header(context: Context, number: int) -> Header:
    found = context.header(number)
    assert found is not None
    return found


def ask(context: Context, name: str, *params: object) -> object:
    answer = json.loads(handle(json.dumps({"jsonrpc": "2.0", "id": 1, "method": name, "params": params}).encode(), METHODS, context))
    return answer.get("result", answer.get("error"))
