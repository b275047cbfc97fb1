"""Ports that serve for the length of a test, and one request to them."""

import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from rpc.context import Context
from rpc.ports.http import Port
from rpc.ports.server import Server
from rpc.registry import methods_for
from tests.rpc.chain import at_genesis

CHAIN_ID = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}
JSON = {"Content-Type": "application/json"}


def port(**changes: Any) -> Port:
    return Port(**{"host": "127.0.0.1", "port": 0, "methods": methods_for(("eth", "net", "web3")), **changes})


def websocket_port(**changes: Any) -> Port:
    return port(http=False, websocket=True, **changes)


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
