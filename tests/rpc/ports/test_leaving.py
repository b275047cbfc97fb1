"""Clients that leave while their calls run: the calls end, what waits is forgotten, and only what changes the chain is done."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from l2engine.types.limits import RpcSettings
from rpc.context import Context
from rpc.jsonrpc import Method, Methods, RunsOn, method
from rpc.registry import methods_for
from tests.conformance.families import needs_native
from tests.rpc.chain import at_genesis
from tests.rpc.ports.serving import CHAIN_ID, JSON, port, post, serving, websocket_port
from tests.rpc.test_executed_calls import at_native_genesis

CODE = "0x00000000000000000000000000000000000c0de1"
FOREVER = {CODE: {"code": "0x5b600056"}}
CALL = {"to": CODE, "gas": hex(2**62), "gasPrice": "0x0"}
TRACE = {"stateOverrides": FOREVER, "timeout": "10m"}
COSTLY = {
    "eth_call": [CALL, "latest", FOREVER],
    "eth_estimateGas": [CALL, "latest", FOREVER],
    "eth_createAccessList": [CALL, "latest", FOREVER],
    "debug_traceCall": [CALL, "latest", {**TRACE, "disableStack": True}],
    "callTracer": [CALL, "latest", {**TRACE, "tracer": "callTracer"}],
    "prestateTracer": [CALL, "latest", {**TRACE, "tracer": "prestateTracer"}],
}


def endless(make: Callable[[], Context]) -> Context:
    """A chain whose calls may run for ever."""
    context = make()
    context.settings = RpcSettings(gas_cap=0, evm_timeout_seconds=0)
    return context


class Running:
    """Counts the calls that a method has begun and ended."""

    def __init__(self, methods: Methods, name: str) -> None:
        entry = methods[name]
        self.begun = self.ended = 0
        self._lock = threading.Lock()
        self.methods = {**methods, name: Method(self._counted(entry.function), entry.parsers, entry.required, entry.runs_on)}

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def write(result: Any, text: Any) -> None:
            try:
                result.write(text)
            finally:
                self._end()

        def call(*arguments: Any) -> Any:
            with self._lock:
                self.begun += 1
            try:
                result = function(*arguments)
            except BaseException:
                self._end()
                raise
            return type(result)(lambda text: write(result, text))

        return call

    def _end(self) -> None:
        with self._lock:
            self.ended += 1


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


@asynccontextmanager
async def over_http(session: aiohttp.ClientSession, urls: list[str]) -> AsyncIterator[Callable[[Any], Awaitable[Any]]]:
    """A function that sends a request; its client has left when the block ends."""
    tasks: list[asyncio.Task[Any]] = []

    async def send(body: Any) -> None:
        tasks.append(asyncio.create_task(session.post(urls[0], json=body, headers=JSON)))

    yield send
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def over_websockets(session: aiohttp.ClientSession, urls: list[str]) -> AsyncIterator[Callable[[Any], Awaitable[Any]]]:
    async with session.ws_connect(urls[1], autoclose=False) as socket:
        yield socket.send_json


@pytest.mark.parametrize("clients", [over_http, over_websockets])
@pytest.mark.parametrize("name", COSTLY)
@pytest.mark.parametrize("make", [at_genesis, pytest.param(at_native_genesis, marks=needs_native)])
async def test_costly_calls_end_with_their_client(make, name, clients):
    method_name = name if "_" in name else "debug_traceCall"
    running = Running(methods_for(("eth", "debug")), method_name)
    ports = port(methods=running.methods), websocket_port(methods=running.methods)
    async with serving(*ports, context=endless(make)) as (_, session, urls):
        async with clients(session, urls) as send:
            for _ in range(6):
                await send({**CHAIN_ID, "method": method_name, "params": COSTLY[name]})
            await until(lambda: running.begun >= 2)
            await asyncio.sleep(0.2)
            assert running.ended == 0
        await until(lambda: running.ended == running.begun)
        assert json.loads((await post(session, urls[0]))[1])["result"] == "0x385"
        assert running.ended == running.begun  # and none that waited for a thread has begun since


@pytest.mark.parametrize("clients", [over_http, over_websockets])
async def test_what_a_client_sent_to_change_the_chain_is_done_without_it(clients):
    done: list[str] = []
    started, go_on = threading.Event(), threading.Event()

    def first(context: Context) -> None:
        started.set()
        go_on.wait(60)

    methods = {
        "first": method(first, runs_on=RunsOn.ENGINE),
        "change": method(lambda context: done.append("change"), runs_on=RunsOn.ENGINE),
        "read": method(lambda context: done.append("read"), runs_on=RunsOn.READ),
    }
    async with serving(port(methods=methods), websocket_port(methods=methods)) as (_, session, urls):
        async with clients(session, urls) as send:
            await send(request_of("first"))
            await until(started.is_set)
            await send(request_of("change"))
            await send([request_of("change"), request_of("read"), request_of("change")])
            await asyncio.sleep(0.3)
        await asyncio.sleep(0.3)
        go_on.set()
        await until(lambda: len(done) >= 2)
    assert done == ["change", "change"]


def request_of(name: str) -> dict[str, Any]:
    return {**CHAIN_ID, "method": name}
