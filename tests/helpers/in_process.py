"""A chain in memory that is asked through JSON-RPC without any socket: requests go through the same parsing, gating and
rendering as over HTTP."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from genesis import loader
from l2engine.assembly import memory_database, open_state
from l2engine.chain.engine import Engine, EngineSettings
from l2engine.chain.pool import Pool
from l2engine.conformance.executors import executor_factory
from l2engine.settings import Settings
from l2engine.store.blocks import BlockStore
from l2engine.store.genesis import write_genesis
from l2engine.types.storage import KeyValue
from rpc.context import Context
from rpc.jsonrpc import handle
from rpc.registry import ENGINE_NAMESPACES, methods_for


class InProcess:
    """One engine and its RPC. The same key-value store may be opened again: that is a restart."""

    def __init__(
        self,
        genesis: Path | Mapping[str, Any],
        kv: KeyValue | None = None,
        settings: EngineSettings | None = None,
        evm: str = "py",
    ) -> None:
        self.genesis = loader.load(genesis)
        options = Settings(evm=evm)
        self.kv = kv or memory_database(options)
        write_genesis(self.kv, self.genesis.block, self.genesis.alloc, json.dumps(self.genesis.geth_config).encode())
        config = self.genesis.config
        blocks, state = BlockStore(self.kv), open_state(self.kv, options)
        self.engine = Engine(config, self.kv, blocks, state, executor_factory(evm)(config), Pool(config), settings=settings)
        self.context = Context(self.engine)
        self._methods = methods_for((*ENGINE_NAMESPACES, "admin"))

    def send(self, request: Any) -> Any:
        """The answer to a request given as an object, or as the literal body."""
        body = request.encode() if isinstance(request, str) else orjson.dumps(request)
        answer = handle(body, self._methods, self.context)
        return orjson.loads(answer) if answer else None

    def call(self, method: str, *params: Any) -> Any:
        """The result of a call, or its whole answer when it is an error."""
        answer = self.send({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        return answer.get("result", answer)
