"""WebSockets over real sockets: calls, subscriptions, slow readers, origins."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from rpc.jsonrpc import RunsOn, method
from rpc.ports.answering import READERS
from rpc.ports.push import Push
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


async def test_a_subscriber_that_does_not_read_is_dropped(caplog: pytest.LogCaptureFixture):
    async with serving(websocket_port()) as (server, session, (url,)), session.ws_connect(url) as socket:
        await ask(socket, "eth_subscribe", "newPendingTransactions")
        (connection,) = server.subscriptions.of_kind("newPendingTransactions")
        for _ in range(BACKLOG + 2):  # faster than any writer: nothing is awaited in between
            connection.push(messages(1))
        connection.push(messages(1))
        await wait_until(lambda: not server.subscriptions.of_kind("newPendingTransactions"))
        await wait_until(lambda: not connection._tasks and connection._socket.closed)
    assert [record.message for record in caplog.records] == ["dropping a WebSocket that does not keep up with its subscriptions"]


async def test_large_news_reach_a_subscriber_that_reads():
    """A block may have more logs than a client may lag behind."""
    async with serving(websocket_port()) as (server, session, (url,)), session.ws_connect(url) as socket:
        await ask(socket, "eth_subscribe", "newPendingTransactions")
        (connection,) = server.subscriptions.of_kind("newPendingTransactions")
        for _ in range(2):
            connection.push(messages(5 * BACKLOG))
            for number in range(5 * BACKLOG):
                assert (await socket.receive_json(timeout=60))["params"]["result"] == number
        assert (await ask(socket, "eth_chainId"))["result"] == "0x385"


async def test_a_push_that_is_too_large_ends_the_connection(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rpc.ports.push.MAX_PUSH", 10)
    async with serving(websocket_port()) as (server, session, (url,)), session.ws_connect(url) as socket:
        await ask(socket, "eth_subscribe", "newPendingTransactions")
        (connection,) = server.subscriptions.of_kind("newPendingTransactions")
        connection.push(messages(11))
        assert (await socket.receive(timeout=60)).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        assert not server.subscriptions.of_kind("newPendingTransactions")


async def test_others_have_their_turn_while_much_is_sent():
    async with serving(port(), websocket_port()) as (server, session, urls), session.ws_connect(urls[1]) as socket:
        await ask(socket, "eth_subscribe", "newPendingTransactions")
        (connection,) = server.subscriptions.of_kind("newPendingTransactions")
        connection.push(messages(20 * BACKLOG))
        assert (await post(session, urls[0]))[0] == 200
        assert connection._waiting  # the answer came before the last message


def messages(count: int) -> Push:
    push = Push()
    push.add("0x1", [b"%d" % number for number in range(count)])
    return push


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


async def test_a_connection_whose_client_reads_nothing_ends_with_its_calls(monkeypatch: pytest.MonkeyPatch):
    """Its answers are not kept: neither what waits to be sent nor the calls that wait for a slot hold it open."""
    monkeypatch.setattr("rpc.ports.transfer.TRANSFER_SECONDS", 0.3)
    methods = {**methods_for(("eth",)), "long": method(lambda context: "x" * 5_000_000, runs_on=RunsOn.READ)}
    async with serving(websocket_port(methods=methods)) as (server, session, (url,)):
        socket = await session.ws_connect(url, max_msg_size=0)
        assert "result" in await ask(socket, "eth_subscribe", "newHeads")
        transport = socket.get_extra_info("socket")
        assert transport is not None
        socket._response.connection.transport.pause_reading()  # type: ignore[union-attr]
        for _ in range(20):
            await socket.send_json({"jsonrpc": "2.0", "id": 7, "method": "long", "params": []})
        await wait_until(lambda: not server.subscriptions.of_kind("newHeads"))
        socket._response.close()


async def test_subscribing_while_leaving_keeps_nothing():
    async with serving(websocket_port()) as (server, session, (url,)):
        batch = [{"jsonrpc": "2.0", "id": 7, "method": "eth_subscribe", "params": ["newHeads"]}] * 1000
        for _ in range(5):
            async with session.ws_connect(url) as socket:
                await socket.send_json(batch)
        await wait_until(lambda: not server.subscriptions.of_kind("newHeads"))
        await asyncio.sleep(0.5)  # for the batches that still run
        assert not server.subscriptions.of_kind("newHeads")
