"""WebSockets over real sockets: calls, subscriptions, slow readers, origins."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import aiohttp

from rpc.jsonrpc import RunsOn, method
from rpc.ports.answering import READERS
from rpc.ports.websocket import BACKLOG
from rpc.registry import methods_for
from tests.rpc.ports.serving import CHAIN_ID, port, post, serving, websocket_port


async def ask(socket: aiohttp.ClientWebSocketResponse, name: str, *params: Any) -> Any:
    await socket.send_json({"jsonrpc": "2.0", "id": 7, "method": name, "params": list(params)})
    return await socket.receive_json(timeout=60)


async def test_websocket_serves_the_same_methods():
    async with serving(websocket_port()) as (_, session, (url,)), session.ws_connect(url) as socket:
        assert (await ask(socket, "eth_chainId"))["result"] == "0x385"
        assert (await ask(socket, "nope"))["error"]["code"] == -32601
        await socket.send_str("{")
        assert (await socket.receive_json(timeout=60))["error"]["code"] == -32700


async def test_subscribing_needs_a_websocket():
    async with serving() as (_, session, (url,)):
        answer = json.loads((await post(session, url, {**CHAIN_ID, "method": "eth_subscribe", "params": ["newHeads"]}))[1])
        assert answer["error"] == {"code": -32601, "message": "notifications not supported"}


async def test_subscriptions_come_and_go():
    async with serving(websocket_port()) as (server, session, (url,)), session.ws_connect(url) as socket:
        assert (await ask(socket, "eth_subscribe", "weather"))["error"] == {
            "code": -32601,
            "message": 'no "weather" subscription in eth namespace',
        }
        assert (await ask(socket, "eth_subscribe", "logs", {"address": "0x12"}))["error"]["code"] == -32602
        assert "result" in await ask(socket, "eth_subscribe", "logs", None)
        identity = (await ask(socket, "eth_subscribe", "newPendingTransactions"))["result"]
        server.pool_grew([b"\x01" * 32])
        message = await socket.receive_json(timeout=60)
        assert message["params"] == {"subscription": identity, "result": "0x" + "01" * 32}
        assert (await ask(socket, "eth_unsubscribe", identity))["result"] is True
        assert (await ask(socket, "eth_unsubscribe", identity))["error"]["message"] == "subscription not found"
        assert (await ask(socket, "eth_unsubscribe"))["error"] == {"code": -32602, "message": "missing value for required argument 0"}
        server.pool_grew([b"\x02" * 32])
        assert (await ask(socket, "eth_chainId"))["result"] == "0x385"


async def test_a_subscriber_that_does_not_read_is_dropped():
    async with serving(websocket_port()) as (server, session, (url,)), session.ws_connect(url) as socket:
        await ask(socket, "eth_subscribe", "newPendingTransactions")
        connection = server.subscriptions.of_kind("newPendingTransactions")[0].owner
        for _ in range(BACKLOG + 1):  # faster than any writer: nothing is awaited in between
            connection.push(b"{}")
        await wait_until(lambda: not server.subscriptions.of_kind("newPendingTransactions"))


async def test_closing_ends_subscriptions():
    async with serving(websocket_port()) as (server, session, (url,)):
        async with session.ws_connect(url) as socket:
            await ask(socket, "eth_subscribe", "newHeads")
            assert server.subscriptions.of_kind("newHeads")
        await wait_until(lambda: not server.subscriptions.of_kind("newHeads"))


async def test_websocket_origins():
    async with serving(websocket_port(), websocket_port(websocket_origins=("https://app.example",))) as (_, session, urls):
        for url, origin, welcome in (
            (urls[0], "http://localhost:3000", True), (urls[0], "https://app.example", False),
            (urls[1], "https://app.example", True), (urls[1], "http://localhost", False),
        ):  # fmt: skip
            try:
                async with session.ws_connect(url, origin=origin):
                    assert welcome
            except aiohttp.WSServerHandshakeError as error:
                assert not welcome
                assert error.status == 403


async def test_a_websocket_may_come_by_any_host_name():
    async with serving(websocket_port()) as (_, session, (url,)), session.ws_connect(url, headers={"Host": "node.example"}) as socket:
        assert (await ask(socket, "eth_chainId"))["result"] == "0x385"


async def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "still waiting"
        await asyncio.sleep(0.01)


async def test_news_come_while_all_readers_are_busy():
    go = threading.Event()
    methods = {**methods_for(("eth",)), "slow": method(lambda context: go.wait(10), runs_on=RunsOn.READ)}
    ports = port(methods=methods), websocket_port(methods=methods)
    async with serving(*ports) as (server, session, urls), session.ws_connect(urls[1]) as socket:
        await ask(socket, "eth_subscribe", "newPendingTransactions")
        slow = [asyncio.create_task(post(session, urls[0], {**CHAIN_ID, "method": "slow"})) for _ in range(READERS)]
        await asyncio.sleep(0.1)
        server.pool_grew([b"\x01" * 32])
        assert (await socket.receive_json(timeout=60))["params"]["result"] == "0x" + "01" * 32
        assert not any(task.done() for task in slow)
        go.set()
        await asyncio.gather(*slow)
