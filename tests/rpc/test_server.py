"""The ports over real sockets: hosts, origins, content types, limits, tokens, threads, subscriptions."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp

from rpc import auth
from rpc.context import Context, RpcSettings
from rpc.jsonrpc import Method, Place, method
from rpc.registry import ENGINE_NAMESPACES, methods_for
from rpc.server import READERS, WS_BACKLOG, Port, Server
from tests.rpc.chain import at_genesis

SECRET = bytes(range(32))
CHAIN_ID = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}
JSON = {"Content-Type": "application/json"}


def port(**changes: Any) -> Port:
    return Port(**{"host": "127.0.0.1", "port": 0, "methods": methods_for(("eth", "net", "web3")), **changes})


@asynccontextmanager
async def serving(*ports: Port, context: Context | None = None) -> AsyncIterator[tuple[Server, aiohttp.ClientSession, list[str]]]:
    with ThreadPoolExecutor(1) as engine_thread:
        server = Server(context or at_genesis(), ports or (port(),), engine_thread)
        numbers = await server.start()
        try:
            async with aiohttp.ClientSession() as session:
                yield server, session, [f"http://127.0.0.1:{number}/" for number in numbers]
        finally:
            await server.stop()


async def post(session: aiohttp.ClientSession, url: str, body: Any = CHAIN_ID, **headers: str) -> tuple[int, str]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with session.post(url, data=data, headers={**JSON, **headers}) as response:
        return response.status, await response.text()


async def test_answers_over_http():
    async with serving() as (_, session, (url,)):
        assert await post(session, url) == (200, '{"jsonrpc":"2.0","id":1,"result":"0x385"}')
        assert json.loads((await post(session, url, [CHAIN_ID, CHAIN_ID]))[1])[1]["result"] == "0x385"
        assert await post(session, url, b'{"jsonrpc":"2.0","method":"eth_chainId"}') == (200, "")
        assert (await post(session, url, b"{"))[1] == '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"parse error"}}'
        assert "is not available" in (await post(session, url, {**CHAIN_ID, "method": "debug_getRawHeader", "params": ["latest"]}))[1]


async def test_content_type_and_method():
    async with serving() as (_, session, (url,)):
        async with session.post(url, data=b"{}", headers={"Content-Type": "text/plain"}) as response:
            assert response.status == 415
            assert (await response.text()).strip() == "invalid content type, only application/json is supported"
        async with session.post(url, data=json.dumps(CHAIN_ID), headers={"Content-Type": "application/json; charset=utf-8"}) as response:
            assert response.status == 200
        for verb, status in (("GET", 200), ("OPTIONS", 200), ("PUT", 405), ("DELETE", 405)):
            async with session.request(verb, url) as response:
                assert response.status == status
        async with session.post(url + "other", data=b"{}", headers=JSON) as response:
            assert response.status == 404


async def test_hosts_are_closed_by_default():
    async with serving(port(), port(virtual_hosts=("*",)), port(virtual_hosts=("node.example",))) as (_, session, urls):
        for url, host, status in (
            (urls[0], "localhost", 200), (urls[0], "LOCALHOST:8545", 200), (urls[0], "10.0.0.1:8545", 200), (urls[0], "[::1]:8545", 200),
            (urls[0], "evil.example", 403), (urls[1], "evil.example", 200), (urls[2], "node.example:80", 200), (urls[2], "localhost", 403),
        ):  # fmt: skip
            got, text = await post(session, url, Host=host)
            assert got == status, host
            assert status == 200 or text.strip() == "invalid host specified"


async def test_origins_are_closed_by_default():
    async with serving(port(), port(cors_origins=("https://app.example",)), port(cors_origins=("*",))) as (_, session, urls):
        asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        allowed = []
        for url in urls:
            async with session.options(url, headers=asked) as response:
                allowed.append(response.headers.get("Access-Control-Allow-Origin"))
            async with session.post(url, json=CHAIN_ID, headers={"Origin": "https://app.example"}) as response:
                assert response.headers.get("Access-Control-Allow-Origin") == allowed[-1]
        assert allowed == [None, "https://app.example", "*"]
        async with session.post(urls[1], json=CHAIN_ID, headers={"Origin": "https://evil.example"}) as response:
            assert "Access-Control-Allow-Origin" not in response.headers


async def test_another_port_is_another_origin():
    async with serving(port(cors_origins=("https://app.example", "http://*.example:81"))) as (_, session, (url,)):
        for origin, allowed in (
            ("https://APP.example", True), ("https://app.example:444", False), ("http://app.example", False), ("app.example", False),
            ("http://a.b.example:81", True), ("http://example:81", False), ("http://a.example", False),
        ):  # fmt: skip
            async with session.post(url, json=CHAIN_ID, headers={"Origin": origin}) as response:
                assert (response.headers.get("Access-Control-Allow-Origin") == origin) is allowed, origin


async def test_bodies_are_limited():
    async with serving(port(body_limit_bytes=1000)) as (_, session, (url,)):
        status, text = await post(session, url, b" " * 1001)
        assert (status, text.strip()) == (413, "content length too large (1001>1000)")

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield b" " * 100

        async with session.post(url, data=chunks(), headers=JSON) as response:
            assert response.status == 413


async def test_slow_clients_are_hung_up_on(monkeypatch):
    """One that does not send the body it announced, one that does not read its answer, and a WebSocket that does not."""
    monkeypatch.setattr("rpc.server.TRANSFER_SECONDS", 0.3)
    methods = {"long": method(lambda context: "x" * 20_000_000, place=Place.READ)}
    long = b'{"jsonrpc":"2.0","id":1,"method":"long"}'
    post = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    async with serving(port(methods=methods), websocket_port(methods=methods)) as (_, _, urls):
        number, ws_number = (int(url.rstrip("/").rpartition(":")[2]) for url in urls)
        reader, _ = await connection(number, post % 100)
        assert b" 408 " in await asyncio.wait_for(reader.readline(), 60)
        handshake = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        handshake += b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        for to, request in (
            (number, post % len(long) + long),
            (ws_number, handshake + b"\x81" + bytes([0x80 | len(long)]) + bytes(4) + long),
        ):
            reader, writer = await connection(to, request)
            writer.transport.pause_reading()
            await asyncio.sleep(1)
            writer.transport.resume_reading()
            with suppress(ConnectionError):
                assert len(await asyncio.wait_for(reader.read(), 60)) < 20_000_000


async def connection(number: int, first: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", number)
    writer.write(first)
    await writer.drain()
    return reader, writer


async def test_batches_end_when_their_time_is_over(monkeypatch):
    monkeypatch.setattr("rpc.context.REQUEST_SECONDS", 0.3)
    methods = {"slow": method(lambda context: time.sleep(0.2), place=Place.CALL)}
    async with serving(port(methods=methods)) as (_, session, (url,)):
        batch = [{"jsonrpc": "2.0", "id": i, "method": "slow"} for i in range(50)]
        answers = json.loads((await post(session, url, batch))[1])
    assert [answer["id"] for answer in answers] == list(range(50))
    assert answers[0]["result"] is None
    assert answers[-1]["error"] == {"code": -32002, "message": "request timed out"}


async def test_calls_that_waited_too_long_are_not_run(monkeypatch):
    monkeypatch.setattr("rpc.context.REQUEST_SECONDS", 0.3)
    ran: list[str] = []

    def slow(name: str, place: Place) -> Method:
        return method(lambda context: (ran.append(name), time.sleep(0.2)), place=place)

    methods = {"call": slow("call", Place.CALL), "change": slow("change", Place.ENGINE)}
    async with serving(port(methods=methods)) as (_, session, (url,)):
        calls = [post(session, url, {**CHAIN_ID, "method": name}) for name in ("call",) * 4 * READERS + ("change",) * 4]
        answers = [json.loads(text) for _, text in await asyncio.gather(*calls)]
    late = [answer["error"]["code"] for answer in answers[: 4 * READERS] if "error" in answer]
    assert late == [-32002] * (4 * READERS - ran.count("call"))
    assert late
    assert ran.count("change") == 4


async def test_a_client_may_ask_before_it_sends_a_body():
    async with serving() as (_, session, (url,)), session.post(url, json=CHAIN_ID, expect100=True) as response:
        assert (await response.json())["result"] == "0x385"


async def test_long_answers_are_compressed_when_asked():
    async with serving() as (_, session, (url,)):
        batch = [CHAIN_ID] * 100
        async with session.post(url, json=batch, headers={"Accept-Encoding": "gzip"}) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            assert len(await response.json()) == 100
        async with session.post(url, json=batch, headers={"Accept-Encoding": "identity"}) as response:
            assert "Content-Encoding" not in response.headers


async def test_engine_port_wants_a_token():
    engine_port = port(methods=methods_for(ENGINE_NAMESPACES), secret=SECRET)
    async with serving(engine_port) as (_, session, (url,)):
        assert await post(session, url) == (401, "missing token\n")
        token = f"Bearer {auth.make_token(SECRET, time.time())}"
        assert (await post(session, url, Authorization=token))[0] == 200
        answer = await post(session, url, {**CHAIN_ID, "method": "engine_exchangeCapabilities", "params": [[]]}, Authorization=token)
        assert "engine_newPayloadV4" in answer[1]
        assert "engine_exchangeCapabilities" not in answer[1]


async def test_slow_methods_do_not_hold_up_cheap_ones():
    methods = dict(methods_for(("eth",)))
    done = threading.Event()
    methods["slow_read"] = method(lambda context: done.wait(60), place=Place.READ)
    methods["slow_engine"] = method(lambda context: done.wait(60), place=Place.ENGINE)
    async with serving(port(methods=methods)) as (_, session, (url,)):
        waiting = [asyncio.create_task(post(session, url, {**CHAIN_ID, "method": name})) for name in ("slow_read", "slow_engine")]
        await asyncio.sleep(0.1)
        await post(session, url)
        assert not any(task.done() for task in waiting)
        done.set()
        assert [json.loads(answer)["result"] for _, answer in await asyncio.gather(*waiting)] == [True, True]


async def test_engine_calls_run_one_after_another():
    order: list[str] = []

    def work(context: object) -> None:
        order.append("begin")
        time.sleep(0.05)
        order.append("end")

    async with serving(port(methods={"work": method(work, place=Place.ENGINE)})) as (_, session, (url,)):
        await asyncio.gather(*(post(session, url, {**CHAIN_ID, "method": "work"}) for _ in range(5)))
    assert order == ["begin", "end"] * 5


async def test_a_client_that_hangs_up_harms_nobody():
    methods = {"slow": method(lambda context: time.sleep(0.3), place=Place.READ), **methods_for(("eth",))}
    async with serving(port(methods=methods)) as (_, session, (url,)):
        for _ in range(5):
            with suppress(TimeoutError):
                await asyncio.wait_for(post(session, url, {**CHAIN_ID, "method": "slow"}), 0.05)
        assert (await post(session, url))[0] == 200


async def test_what_is_not_http_leaves_no_traceback_in_the_log(caplog):
    async with serving() as (_, session, (url,)):
        for garbage in (b"\x16\x03\x01\x02\x00\x01", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2].strip("/")))
            writer.write(garbage + b"\r\n\r\n")
            assert b" 400 " in await reader.readline()
            writer.close()
        assert json.loads((await post(session, url, b"not gzip", **{"Content-Encoding": "gzip"}))[1])["error"]["code"] == -32700
    assert [record.message for record in caplog.records] == []


async def test_batch_response_limit_over_http():
    context = at_genesis(RpcSettings(batch_response_max_bytes=200, batch_request_limit=50))
    async with serving(context=context) as (_, session, (url,)):
        answers = json.loads((await post(session, url, [CHAIN_ID] * 40))[1])
        assert len(answers) == 40
        assert answers[0]["result"] == "0x385"
        assert answers[-1]["error"]["message"] == "response too large"
        assert json.loads((await post(session, url, [CHAIN_ID] * 51))[1])[0]["error"]["message"] == "batch too large"


# ---- WebSocket ------------------------------------------------------------------------------------------------------


def websocket_port(**changes: Any) -> Port:
    return port(http=False, websocket=True, **changes)


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


async def test_news_come_while_all_readers_are_busy():
    go = threading.Event()
    methods = {**methods_for(("eth",)), "slow": method(lambda context: go.wait(10), place=Place.READ)}
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


async def test_a_subscriber_that_does_not_read_is_dropped():
    async with serving(websocket_port()) as (server, session, (url,)), session.ws_connect(url) as socket:
        await ask(socket, "eth_subscribe", "newPendingTransactions")
        connection = server.subscriptions.of_kind("newPendingTransactions")[0].owner
        for _ in range(WS_BACKLOG + 1):  # faster than any writer: nothing is awaited in between
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
