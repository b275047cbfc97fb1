"""How many connections there may be, who makes room for a new one, and how long a silent one is kept."""

import asyncio
import resource
import time
from contextlib import suppress
from typing import Any, cast

import pytest
from aiohttp import web

from l2engine.types.limits import RpcSettings
from rpc.jsonrpc import RunsOn, method
from rpc.ports import auth, connections
from rpc.ports.connections import Connections, open_connections
from rpc.registry import ENGINE_NAMESPACES, methods_for
from tests.rpc.chain import at_genesis
from tests.rpc.ports.serving import CHAIN_ID, port, post, serving, websocket_port
from tests.rpc.ports.test_http import SECRET, connection, request


class Peer:
    """A connection that only knows whether it was ended."""

    def __init__(self) -> None:
        self.ended = False

    def force_close(self) -> None:
        self.ended = True


def opened(among: Connections) -> Any:
    peer = Peer()
    among.opened(cast(web.RequestHandler, peer))
    return peer


async def test_the_oldest_silent_connection_makes_room() -> None:
    among = Connections(3)
    idle, first, second = (opened(among) for _ in range(3))
    among.asked(idle)
    among.answered(idle)
    third = opened(among)
    assert [peer.ended for peer in (idle, first, second, third)] == [False, True, False, False]


async def test_then_the_one_that_is_idle_for_the_longest_time() -> None:
    among = Connections(3)
    peers = [opened(among) for _ in range(3)]
    for peer in (*peers, peers[0]):
        among.asked(peer)
        among.answered(peer)
    opened(among)
    assert [peer.ended for peer in peers] == [False, True, False]


async def test_when_all_are_busy_the_new_one_is_refused() -> None:
    among = Connections(2)
    peers = [opened(among) for _ in range(2)]
    for peer in peers:
        among.asked(peer)
    refused = opened(among)
    assert [peer.ended for peer in (*peers, refused)] == [False, False, True]
    among.answered(refused)  # which changes nothing
    among.closed(peers[0])
    assert not opened(among).ended


async def test_closed_connections_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SILENT_SECONDS", 0.05)
    among = Connections(2)
    for _ in range(10):
        peer = opened(among)
        among.closed(peer)
        assert not peer.ended
    await asyncio.sleep(0.1)
    silent = opened(among)
    await asyncio.sleep(0.1)
    assert silent.ended


def test_the_file_limit_bounds_the_open_ports(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda what: (1024, 1024))
    caplog.set_level("INFO")
    assert open_connections(100) == 100
    assert not caplog.records
    assert open_connections(1000) == 1024 - connections.DATABASE_FILES - connections.ENGINE_CONNECTIONS
    assert [record.message for record in caplog.records] == ["The limit of open files bounds the connections"]
    monkeypatch.setattr(resource, "getrlimit", lambda what: (1_000_000, 1_000_000))
    assert open_connections(0) > 900_000
    monkeypatch.setattr(resource, "getrlimit", lambda what: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert open_connections(1000) == 1000
    monkeypatch.setattr(resource, "getrlimit", lambda what: (256, 256))
    assert open_connections(1000) == connections.FEWEST


async def test_silent_connections_and_slow_headers_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SILENT_SECONDS", 0.5)
    token = f"Bearer {auth.make_token(SECRET, time.time())}"
    async with serving(port(), websocket_port(), port(secret=SECRET)) as (_, session, urls):
        assert (await post(session, urls[0]))[0] == 200
        for url in urls:
            number = int(url.rstrip("/").rpartition(":")[2])
            silent, _ = await connection(number, b"")
            slow, writer = await connection(number, b"POST / HTTP/1.1\r\nHost: localhost\r\nX: ")
            for _ in range(4):
                await asyncio.sleep(0.1)
                writer.write(b"a")
            assert await everything(silent) == await everything(slow) == b""
        # those that have asked are kept between their requests
        assert (await post(session, urls[0]))[0] == 200
        assert (await post(session, urls[2], Authorization=token))[0] == 200
        stranger, _ = await connection(int(urls[2].rstrip("/").rpartition(":")[2]), request(body=b"{}", Content_Length="2"))
        assert b" 401 " in await asyncio.wait_for(stranger.readline(), 60)
        await everything(stranger)  # a request without a good token does not count


async def everything(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side ends the connection, in whatever way."""
    with suppress(ConnectionResetError):
        return await asyncio.wait_for(reader.read(), 60)
    return b""


async def test_strangers_do_not_take_the_engine_ports_connections(caplog: pytest.LogCaptureFixture) -> None:
    token = f"Bearer {auth.make_token(SECRET, time.time())}"
    ports = port(), websocket_port(), port(methods=methods_for(ENGINE_NAMESPACES), secret=SECRET)
    async with serving(*ports, context=at_genesis(RpcSettings(max_connections=5))) as (_, session, urls):
        numbers = [int(url.rstrip("/").rpartition(":")[2]) for url in urls]
        silent = [await connection(numbers[i % 2], b"") for i in range(20)]
        assert (await post(session, urls[2], Authorization=token))[0] == 200
        assert (await post(session, urls[0]))[0] == 200
        ended = await asyncio.gather(*(asyncio.wait_for(reader.read(1), 2) for reader, _ in silent), return_exceptions=True)
        assert ended.count(b"") >= 15
    assert {record.message for record in caplog.records} == {"Too many connections"}


async def test_calls_that_run_are_not_ended_for_new_connections() -> None:
    methods = {"slow": method(lambda context: time.sleep(1), runs_on=RunsOn.READ), **methods_for(("eth",))}
    async with serving(port(methods=methods), context=at_genesis(RpcSettings(max_connections=2))) as (_, session, (url,)):
        number = int(url.rstrip("/").rpartition(":")[2])
        slow = asyncio.create_task(post(session, url, {**CHAIN_ID, "method": "slow"}))
        await asyncio.sleep(0.2)
        for _ in range(10):
            await connection(number, b"")
        assert (await slow)[0] == 200
