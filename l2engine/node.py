"""A node: the chain, its RPC ports and, on a dev chain, the sequencer; started and stopped in order.

    async with Node(settings) as node:
        print(node.endpoints.http)

Several nodes may live in one process, each with its own data directory or in memory. All writing to the chain happens on the
node's engine thread.
"""

import asyncio
import functools
import hashlib
import logging
import platform
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from l2engine import __version__, assembly
from l2engine.assembly import Chain
from l2engine.chain import recovery
from l2engine.chain.events import Event, NewHead, PooledTransaction, StoreFailed
from l2engine.chain.fork_watch import DAY, ForkWatch
from l2engine.chain.pool import Pool
from l2engine.errors import ConfigError
from l2engine.rules.config import ChainConfig
from l2engine.settings import JOURNAL, Settings, parse_address
from l2engine.types.base import Address, Hash32
from l2engine.types.header import Header
from l2engine.types.limits import RpcSettings
from l2engine.types.storage import KeyValue
from rpc.context import Context, Network
from rpc.ports import auth
from rpc.ports.forward import forwarder
from rpc.ports.http import Port, in_url
from rpc.ports.message_filters import MessageFilters
from rpc.ports.server import Server
from rpc.registry import ENGINE_NAMESPACES, methods_for

log = logging.getLogger(__name__)
ready_log = logging.getLogger(f"{__name__}.ready")
ready_log.setLevel(logging.INFO)  # scripts wait for the ready line, whatever the verbosity; only 0 silences it

STOP_SECONDS = 3.0  # for the running call; together with closing the ports, stopping takes at most 5
MESSAGE_LOOK_SECONDS = 1.0  # between two looks at waiting transactions with messages, and at the filters' failsafe
FORK_LOOK_SECONDS = 60.0  # between two checks for forks that this build does not know
SWITCH_SECONDS = 0.001  # until a Python thread lets another go on: the engine thread often waits for several readers in turn
QUIET_SECONDS = 60.0  # without a new head, until the log says that the node waits for a rollup node


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The addresses on which a running node listens, with the real port numbers."""

    http: str | None
    ws: str | None
    engine: str
    jwt_secret: Path


Service = Callable[[Chain, ThreadPoolExecutor], Awaitable[Callable[[], Awaitable[None]]]]
"""A function that starts a task which drives the chain, and returns a function that stops it."""


class Node:
    """A node; see the module. `kv` replaces the data directory's database and is closed with the node. `keys` are private keys by
    account, used to sign for eth_sendTransaction. `now` is the clock, in unix seconds, for fork times. `automine` waits until the
    service has put a transaction of the pool into a block."""

    endpoints: Endpoints
    chain: Chain

    def __init__(
        self,
        settings: Settings,
        kv: KeyValue | None = None,
        service: Service | None = None,
        keys: Mapping[Address, bytes] | None = None,
        now: Callable[[], float] = time.time,
        automine: Callable[[Pool, Hash32], None] | None = None,
    ) -> None:
        self.settings = settings
        self.halted = asyncio.Event()
        """Set when the node must be stopped (--rollup.halt, or a database that cannot be written)."""
        self.exit_status = 0
        """The exit status for the process, once the node is stopped."""
        self._kv, self._service, self._keys, self._now = kv, service, keys or {}, now
        self._automine = automine
        self._stops: list[Callable[[], Awaitable[None]]] = []

    async def __aenter__(self) -> "Node":
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the chain, then the ports, then start the service that drives the chain. On an error, all opened parts are closed."""
        for warning in self.settings.warnings:
            log.warning(warning)
        started = time.monotonic()
        secret_path = self._secret_path()
        try:
            engine_thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
            opening = functools.partial(assembly.open_chain, self.settings, self._kv, self._now())
            self.chain = await asyncio.get_running_loop().run_in_executor(engine_thread, opening)
            self._stops.append(lambda: self._close_chain(engine_thread))
            self._recover_after_failures(engine_thread)
            self._check_messages()
            await self._keep_transactions(engine_thread)
            secret = auth.load_secret(secret_path)
            await self._open_ports(engine_thread, secret, secret_path)
            if self._service is not None:
                self._stops.append(await self._service(self.chain, engine_thread))
        except BaseException:
            await self.stop()
            raise
        head = self.chain.engine.head
        fields = {
            "http": self.endpoints.http,
            "ws": self.endpoints.ws,
            "engine": self.endpoints.engine,
            "jwtsecret": self.endpoints.jwt_secret,
            "chain": self.chain.config.chain_id,
            "fork": self.chain.config.fork_at(head.number, head.timestamp).name,
            "next_fork": _next_fork(self.chain.config, self._now()),
            "head": head.number,
            "hash": head.hash,
            "evm": type(self.chain.executor).__name__.removesuffix("Executor").lower(),
            "elapsed": f"{time.monotonic() - started:.3f}s",
        }
        ready_log.info("Ready", extra={"fields": {key: value for key, value in fields.items() if value is not None}})
        if self.chain.config.unknown_forks:
            self._watch_for_forks()
        if self._service is None:
            self._watch_for_silence()

    def _secret_path(self) -> Path:
        """The file of the JWT secret. `ConfigError` when the folder of a named one is missing: a rollup node would look elsewhere."""
        named, datadir = self.settings.authrpc_jwtsecret, assembly.data_directory(self.settings)
        if named is not None and named.parent != datadir and not named.parent.is_dir():  # the data directory will be there
            raise ConfigError(f"--authrpc.jwtsecret {named}: there is no folder {named.parent}")
        return named or datadir / "jwtsecret"

    async def stop(self) -> None:
        """Stop all parts in reverse order. No acknowledged block is lost."""
        while self._stops:
            await self._stops.pop()()

    async def _open_ports(self, engine_thread: ThreadPoolExecutor, secret: bytes, secret_path: Path) -> None:
        settings = self.settings
        http_addr, ws_addr, engine_addr = map(parse_address, (settings.http_addr, settings.ws_addr, settings.authrpc_addr))
        context = self._context()
        http_methods, ws_methods = methods_for(settings.http_api), methods_for(settings.ws_api)
        engine_port = Port(
            engine_addr,
            settings.authrpc_port,
            methods_for(ENGINE_NAMESPACES),
            websocket=True,
            virtual_hosts=settings.authrpc_vhosts,
            secret=secret,
            body_limit_bytes=context.settings.engine_body_limit_bytes,
        )
        ports = [engine_port]
        one_port = settings.http and settings.ws and settings.http_port == settings.ws_port != 0
        if settings.http:
            ports.append(
                Port(
                    http_addr,
                    settings.http_port,
                    http_methods,
                    websocket=one_port,
                    virtual_hosts=settings.http_vhosts,
                    cors_origins=settings.http_corsdomain,
                    websocket_origins=settings.ws_origins,
                    body_limit_bytes=context.settings.body_limit_bytes,
                )
            )
        if settings.ws and not one_port:
            ports.append(
                Port(
                    ws_addr,
                    settings.ws_port,
                    ws_methods,
                    http=False,
                    websocket=True,
                    websocket_origins=settings.ws_origins,
                )
            )
        sys.setswitchinterval(SWITCH_SECONDS)
        server = Server(context, ports, engine_thread)
        self._stops.append(server.stop)
        numbers = await server.start()
        self._stops.append(_as_stop(self.chain.engine.events.subscribe(_announcer(server))))
        http = in_url(http_addr, numbers[1]) if settings.http else None
        ws = http if one_port else in_url(ws_addr, numbers[-1]) if settings.ws else None
        self.endpoints = Endpoints(
            http=http and f"http://{http}",
            ws=ws and f"ws://{ws}",
            engine=f"http://{in_url(engine_addr, numbers[0])}",
            jwt_secret=secret_path,
        )

    def _context(self) -> Context:
        settings = self.settings
        sequencer = settings.rollup_sequencerhttp
        loop = asyncio.get_running_loop()

        def halt(reason: str) -> None:
            log.error("Halting, as --rollup.halt asks", extra={"fields": {"reason": reason}})
            loop.call_soon_threadsafe(self.halted.set)

        return Context(
            engine=self.chain.engine,
            settings=RpcSettings(
                gas_cap=settings.rpc_gascap,
                evm_timeout_seconds=settings.rpc_evmtimeout,
                tx_fee_cap_wei=int(settings.rpc_txfeecap * 10**18),
                batch_request_limit=settings.rpc_batch_request_limit,
                batch_response_max_bytes=settings.rpc_batch_response_max_size,
                response_max_bytes=settings.rpc_max_response_size * 10**6,
                log_range_limit=settings.rpc_rangelimit,
                log_count_limit=settings.rpc_max_logs_per_response,
                log_query_limit=settings.rpc_logquerylimit,
                max_connections=settings.rpc_max_connections,
                rollup_halt=settings.rollup_halt,
                minimum_suggested_tip=settings.gpo_minsuggestedpriorityfee,
                keep_forwarded=settings.rollup_retain_forwarded_txs,
                allow_unprotected=settings.rpc_allow_unprotected_txs,
            ),
            client_version=f"l2engine/v{__version__}/{platform.system().lower()}-{platform.machine()}/python{platform.python_version()}",
            commit=hashlib.sha256(__version__.encode()).hexdigest()[:8],
            network_id=settings.networkid,
            keys=self._keys,
            network=_Identity(self.chain, settings.networkid),
            halt=halt,
            forward=forwarder(sequencer) if sequencer else None,
            automine=self._automine,
            namespaces=settings.http_api,
        )

    def _recover_after_failures(self, engine_thread: ThreadPoolExecutor) -> None:
        """Reopen the database whenever a write to it has failed; stop the node when that does not help."""

        async def recover() -> None:
            try:
                while True:
                    await failed.wait()
                    failed.clear()
                    if not await recovery.recover(self.chain.engine, engine_thread):
                        log.critical("Stopping: the database takes no writes and cannot be reopened")
                        break
            except Exception:
                log.critical("Stopping: reopening the database crashed", exc_info=True)
            self.exit_status = 1
            self.halted.set()

        def listen(event: Event) -> None:
            if isinstance(event, StoreFailed):
                loop.call_soon_threadsafe(failed.set)

        async def stop() -> None:
            unsubscribe()
            task.cancel()

        loop, failed = asyncio.get_running_loop(), asyncio.Event()
        task = loop.create_task(recover())
        unsubscribe = self.chain.engine.events.subscribe(listen)
        self._stops.append(stop)

    async def _keep_transactions(self, engine_thread: ThreadPoolExecutor) -> None:
        """Bring back the pool of the last run, and write its journal anew now and then. A chain in memory has none."""
        settings = self.settings
        if self._kv is not None and settings.datadir is None:
            if settings.txpool_journal not in ("", JOURNAL):
                raise ConfigError("--txpool.journal needs --datadir: a chain in memory ends with the process")
            return
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(engine_thread, assembly.keep_transactions, self.chain, settings)
        pause = max(1.0, settings.txpool_rejournal)
        if pause > settings.txpool_rejournal:
            log.warning("--txpool.rejournal is at least a second")

        async def rejournal() -> None:
            while True:
                await asyncio.sleep(pause)
                await asyncio.to_thread(self.chain.engine.pool.rejournal)

        self._stops.append(_as_stop(loop.create_task(rejournal()).cancel))

    def _check_messages(self) -> None:
        """Ask the filters of --rollup.interop-http about transactions that execute messages of other chains."""
        settings, pool = self.settings, self.chain.engine.pool
        if not settings.rollup_interop_http:
            return
        chain_id, safety = self.chain.config.chain_id, settings.rollup_interop_safety_level
        filters = MessageFilters.at(settings.rollup_interop_http, chain_id, safety, settings.rollup_interop_min_responses)
        pool.message_filter = filters

        async def look() -> None:
            while True:
                await asyncio.sleep(MESSAGE_LOOK_SECONDS)
                await asyncio.to_thread(pool.look_at_messages)

        self._stops.append(_as_stop(filters.close))
        self._stops.append(_as_stop(asyncio.get_running_loop().create_task(look()).cancel))

    def _watch_for_silence(self) -> None:
        """Log once that the node waits for a rollup node, if no block comes for a while."""

        def look() -> None:
            if self.chain.engine.head.number == first:
                log.warning(
                    "No block has come: waiting for a rollup node on the Engine API",
                    extra={"fields": {"engine": self.endpoints.engine, "jwtsecret": self.endpoints.jwt_secret}},
                )

        first = self.chain.engine.head.number
        self._stops.append(_as_stop(asyncio.get_running_loop().call_later(QUIET_SECONDS, look).cancel))

    def _watch_for_forks(self) -> None:
        """Log warnings as forks that this build does not know come near."""
        engine = self.chain.engine

        def headers() -> tuple[Header, Header | None]:
            return engine.head, engine.blocks.header(engine.head.parent_hash)

        async def watch() -> None:
            forks = ForkWatch(self.chain.config.unknown_forks, *headers(), self._now())
            while True:
                await asyncio.sleep(FORK_LOOK_SECONDS)
                for fork, left in forks.due(*headers(), self._now()):
                    said = "A fork begins that this build does not know" if left > 0 else "A fork has begun that this build does not know"
                    facts = {"fork": fork.name, "begins": fork, "days": round(left / DAY, 1), "advice": fork.advice}
                    log.log(logging.WARNING if left > 0 else logging.ERROR, said, extra={"fields": facts})

        self._stops.append(_as_stop(asyncio.create_task(watch()).cancel))

    async def _close_chain(self, engine_thread: ThreadPoolExecutor) -> None:
        """Close the chain on the engine thread, after the running call. If that call takes too long, stop without closing the
        database: the call's writes are atomic batches, so nothing is left half written."""
        closing = asyncio.get_running_loop().run_in_executor(engine_thread, self.chain.close)
        engine_thread.shutdown(wait=False)
        done, _ = await asyncio.wait([closing], timeout=STOP_SECONDS)
        if not done:
            log.warning("A call is still running: stopping without it")
        else:
            closing.result()


class _Identity(Network):
    """A node without peers."""

    def __init__(self, chain: Chain, network_id: int | None) -> None:
        self._chain, self._network_id = chain, network_id

    def node_info(self) -> dict[str, Any]:
        chain = self._chain
        genesis, head = chain.blocks.canonical_hash(0), chain.engine.head
        network = self._network_id or chain.config.chain_id
        eth = {"network": network, "genesis": "0x" + (genesis or b"").hex(), "head": "0x" + head.hash.hex(), "difficulty": 0}
        return {"name": f"l2engine/v{__version__}", "listenAddr": "", "ports": {"discovery": 0, "listener": 0}, "protocols": {"eth": eth}}


def _next_fork(config: ChainConfig, now: float) -> str | None:
    """The next scheduled fork for the ready line, as `lagoon in 9.3 days`."""
    fork = config.next_fork(int(now))
    return f"{fork[0]} in {(fork[1] - now) / DAY:.1f} days" if fork is not None else None


def _announcer(server: Server) -> Callable[[Event], None]:
    """A listener that passes the engine's events to the server's subscriptions."""

    def announce(event: Event) -> None:
        if isinstance(event, NewHead):
            server.head_changed()
        elif isinstance(event, PooledTransaction):
            server.pool_grew((event.hash,))

    return announce


def _as_stop(action: Callable[[], Any]) -> Callable[[], Awaitable[None]]:
    async def stop() -> None:
        action()

    return stop
