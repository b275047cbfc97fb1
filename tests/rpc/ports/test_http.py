"""HTTP over real sockets: hosts, origins, content types, limits, tokens."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from rpc.jsonrpc import RunsOn, method
from rpc.ports import auth
from rpc.registry import ENGINE_NAMESPACES, methods_for
from tests.rpc.ports.serving import CHAIN_ID, JSON, port, post, serving, websocket_port

SECRET = bytes(range(32))


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
            (urls[0], "[::1]", 200), (urls[0], "[::ffff:127.0.0.1]:1", 200), (urls[0], "[::1].evil", 403), (urls[0], "[::1]evil:8545", 403),
            (urls[0], "[::1]:8545.evil", 403), (urls[0], "[::1", 403), (urls[0], "::1].evil", 403), (urls[0], "[[::1]]", 403),
            (urls[0], "[evil]", 403), (urls[0], "[localhost]", 403), (urls[0], "evil[::1]", 403), (urls[0], "[::1%evil]", 403),
            (urls[0], "localhost:8545.evil", 403), (urls[0], "localhost:8545:8545", 403), (urls[0], "localhost@evil", 403),
            (urls[0], "127.0.0.1:evil", 403), (urls[0], "127.0.0.1.evil", 403), (urls[0], "localhost.", 403), (urls[0], "[]", 403),
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
    monkeypatch.setattr("rpc.ports.transfer.TRANSFER_SECONDS", 0.3)
    monkeypatch.setattr("rpc.ports.transfer.SLOWEST_BYTES_PER_SECOND", 1_000_000_000)
    methods = {"long": method(lambda context: "x" * 20_000_000, runs_on=RunsOn.READ)}
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


async def test_a_client_that_hangs_up_harms_nobody(caplog):
    methods = {"slow": method(lambda context: time.sleep(0.3), runs_on=RunsOn.READ), **methods_for(("eth",))}
    async with serving(port(methods=methods)) as (_, session, (url,)):
        for _ in range(5):
            with suppress(TimeoutError):
                await asyncio.wait_for(post(session, url, {**CHAIN_ID, "method": "slow"}), 0.05)
        assert (await post(session, url))[0] == 200
    assert [record.message for record in caplog.records] == []


BLOCK = b'{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["0x0",true]}'
BATCH = b"[" + b",".join([BLOCK] * 1000) + b"]"
WEBSOCKET = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def request(verb: str = "POST", body: bytes = b"", version: str = "1.1", **headers: bytes | str | None) -> bytes:
    """The bytes of a request; a header that is None is left out, `_` stands for a hyphen."""
    head = [f"{verb} / HTTP/{version}".encode()]
    for name, value in {"Host": "localhost", "Content-Type": "application/json", **headers}.items():
        if value is not None:
            head.append(name.replace("_", "-").encode() + b": " + (value if isinstance(value, bytes) else value.encode()))
    return b"\r\n".join([*head, b"", body])


def handshake(verb: str = "GET", version: str = "1.1", **changes: bytes | str | None) -> bytes:
    return request(verb, version=version, **{**WEBSOCKET, **{name.replace("_", "-"): value for name, value in changes.items()}})


@pytest.mark.parametrize("abort", [False, True])
@pytest.mark.parametrize("seconds", [0.0, 0.05])
async def test_hanging_up_anywhere_leaves_no_traceback(caplog, abort, seconds):
    half = (
        request(body=b"{", Content_Length="100"),
        request(body=b"5\r\n{", Transfer_Encoding="chunked"),
        request(body=b"5\r\n{    \r\nzz\r\n", Transfer_Encoding="chunked"),
        request(Content_Length="100", Expect="100-continue"),
        request(body=BATCH, Content_Length=str(len(BATCH))),
        request(body=BATCH, Content_Length=str(len(BATCH)), Accept_Encoding="gzip"),
        handshake(),
        handshake() + b"\x81",
        handshake() + b"\x81\xff",
        handshake() + b"\x81" + bytes([0x80 | len(BLOCK)]) + bytes(4) + BLOCK,
        handshake() + b"\xff" * 20,
        b"POST / HT",
        b"",
    )
    async with serving(port(), websocket_port(), port(secret=SECRET)) as (_, session, urls):
        for url in urls:
            for data in half:
                _, writer = await connection(int(url.rstrip("/").rpartition(":")[2]), data)
                await asyncio.sleep(seconds)
                writer.transport.abort() if abort else writer.close()
        await asyncio.sleep(0.3)
        assert (await post(session, urls[0]))[0] == 200
    assert [record.message for record in caplog.records] == []


async def test_a_body_that_turns_out_malformed_is_refused(caplog, monkeypatch):
    """aiohttp's parser in C does not tell, so that the body's time has to end; the one in Python does."""
    monkeypatch.setattr("rpc.ports.transfer.TRANSFER_SECONDS", 0.3)
    async with serving() as (_, _, (url,)):
        reader, writer = await connection(int(url.rstrip("/").rpartition(":")[2]), request(body=b"5\r\n", Transfer_Encoding="chunked"))
        await asyncio.sleep(0.1)
        writer.write(b"{    \r\nzz\r\n")
        assert (await asyncio.wait_for(reader.readline(), 60)).split()[1] in (b"400", b"408")
    assert [record.message for record in caplog.records] == []


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (handshake(), 101),
        (handshake(**{"Sec-WebSocket-Protocol": "graphql, chat"}), 101),
        (handshake(**{"Sec-WebSocket-Extensions": 'permessage-deflate; server_max_window_bits="99'}), 101),
        (handshake(**{"Sec-WebSocket-Key": b"\xff\xfe" * 8}), 400),
        (handshake(**{"Sec-WebSocket-Key": "é" * 16}), 400),
        (handshake(**{"Sec-WebSocket-Key": "$" * 24}), 400),
        (handshake(**{"Sec-WebSocket-Key": "aGk="}), 400),
        (handshake(**{"Sec-WebSocket-Key": None}), 400),
        (handshake(**{"Sec-WebSocket-Version": "99"}), 400),
        (handshake(**{"Sec-WebSocket-Version": b"\xff"}), 400),
        (handshake(**{"Sec-WebSocket-Version": None}), 400),
        (handshake(Connection=None), 400),
        (handshake(Connection="close"), 400),
        (handshake("POST"), 400),
        (handshake("PUT"), 400),
        (handshake("OPTIONS"), 400),
        (handshake(Origin=b"\xff"), 403),
        (handshake(Upgrade="h2c"), 404),
    ],
)
async def test_odd_handshakes_are_refused_in_words(caplog, asked, status):
    async with serving(websocket_port()) as (_, _, (url,)):
        reader, writer = await connection(int(url.rstrip("/").rpartition(":")[2]), asked)
        assert int((await asyncio.wait_for(reader.readline(), 60)).split()[1]) == status
        writer.close()
    assert [record.message for record in caplog.records if record.name != "aiohttp.websocket"] == []


async def test_large_bodies_take_turns(monkeypatch):
    monkeypatch.setattr("rpc.ports.http.LARGE_BODIES", 2)
    monkeypatch.setattr("rpc.ports.transfer.TRANSFER_SECONDS", 2.0)
    large = 1_000_000
    async with serving() as (_, session, (url,)):
        number = int(url.rstrip("/").rpartition(":")[2])
        slow = [await connection(number, request(body=b"[", Content_Length=str(large))) for _ in range(2)]
        await asyncio.sleep(0.1)
        waiting = asyncio.create_task(post(session, url, b" " * (large - len(BLOCK)) + BLOCK))
        assert (await post(session, url))[0] == 200  # a small one does not wait
        await asyncio.sleep(0.2)
        assert not waiting.done()
        for _, writer in slow:
            writer.close()
        assert (await waiting)[0] == 200


async def test_what_is_not_http_leaves_no_traceback_in_the_log(caplog):
    async with serving() as (_, session, (url,)):
        for garbage in (b"\x16\x03\x01\x02\x00\x01", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2].strip("/")))
            writer.write(garbage + b"\r\n\r\n")
            assert b" 400 " in await reader.readline()
            writer.close()
        assert json.loads((await post(session, url, b"not gzip", **{"Content-Encoding": "gzip"}))[1])["error"]["code"] == -32700
    assert [record.message for record in caplog.records] == []
