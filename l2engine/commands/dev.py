"""Run a chain of our own: ten funded accounts, working predeploys, and a sequencer that makes a block when a transaction comes.

HTTP, WebSocket and Engine API are open. The chain lives in memory, or in --datadir, where it goes on at the next start.
"""

import argparse
import asyncio
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genesis.dev import CHAIN_ID, dev_genesis
from genesis.dev.accounts import DEV_ACCOUNTS, MNEMONIC
from genesis.loader import Genesis, load
from genesis.registry import registry
from l2engine import __version__, assembly, logs, settings
from l2engine.assembly import Chain
from l2engine.commands.run import serve
from l2engine.errors import ConfigError
from l2engine.rules.config import ChainConfig
from l2engine.rules.forks import OP_FORKS
from l2engine.settings import Settings
from l2engine.store import schema
from l2engine.types.base import keccak
from l2engine.types.header import Header
from l2engine.types.storage import KeyValue

if TYPE_CHECKING:
    from l2engine.dev.attempts import Attempts
    from l2engine.dev.upgrades import Upgrade
    from l2engine.node import Endpoints, Node
    from l2engine.store.blocks import BlockStore

log = logging.getLogger(__name__)

BLOCK_TIMESTAMPS = ("shared", "strict")
DEFAULT_FORK, FORK_WITH_REFUNDS = "jovian", "lagoon"
APIS = ("eth", "net", "web3", "debug", "txpool", "admin", "miner", "hardhat")
DEFAULTS: Mapping[str, Any] = {
    "http": True,
    "http_api": APIS,
    "http_corsdomain": ("*",),
    "ws": True,
    "ws_api": APIS,
    "ws_origins": ("*",),
    "gcmode": "archive",
    "builder_deadline": 60.0,  # no rollup node waits: whatever fits into a block may take its time on a slow executor
}
"""The defaults of `dev` that differ from those of `run`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """All settings of `run`, and what is particular to the dev chain."""
    parser.add_argument(
        "--block-time",
        type=settings.argument(settings.parse_seconds),
        metavar="SECONDS",
        help="make blocks by the clock (default: as soon as there is a transaction)",
    )
    parser.add_argument(
        "--block-timestamps",
        choices=BLOCK_TIMESTAMPS,
        help="whether blocks of a new chain may share a timestamp, so that they do not run ahead of the clock (default shared)",
    )
    parser.add_argument(
        "--fork-in",
        action="append",
        type=settings.argument(_parse_fork_in),
        metavar="NAME=TIME",
        help="let a later fork begin so long after block 0, like lagoon=20s; may be repeated",
    )
    parser.add_argument(
        "--upgrade-bundle", type=Path, metavar="FILE", help="network-upgrade bundle for the activation block of the last fork to begin"
    )
    parser.add_argument(
        "--dependency-set",
        type=settings.argument(_parse_chain_ids),
        default=frozenset(),
        metavar="ID,ID,…",
        help="chains that exchange messages with this one, which decides about Lagoon's upgrade deposits (default: none)",
    )
    parser.add_argument(
        "--sdm",
        choices=settings.SDM_POLICIES[1:],
        help="give gas refunds by this policy: --sdm.policy, the operator's opt-in and --fork lagoon in one",
    )
    parser.add_argument("--fork", choices=[fork.name for fork in OP_FORKS], help=f"fork in force from block 0 (default {DEFAULT_FORK})")
    settings.add_flags(parser, **DEFAULTS)


def run(args: argparse.Namespace) -> int:
    if args.block_time is not None and args.block_time <= 0:
        raise ConfigError("--block-time must be more than 0 seconds")
    chosen = settings.resolve(args, **DEFAULTS)
    if args.sdm is not None:
        chosen = replace(chosen, sdm_policy=args.sdm, rollup_operator_sdm_opt_in=True)
    if chosen.network is not None:
        raise ConfigError("dev makes a chain of its own; `l2engine run --network` follows a registered one")
    logs.configure(chosen.log_format, chosen.verbosity)
    scratch = None
    if chosen.datadir is None and chosen.authrpc_jwtsecret is None:
        scratch = Path(tempfile.mkdtemp(prefix="l2engine-dev-"))
        chosen = replace(chosen, authrpc_jwtsecret=scratch / "jwtsecret")

    async def start() -> "Node":
        from l2engine.dev.attempts import Attempts
        from l2engine.node import Node

        kv = _open(chosen, args.fork, dict(args.fork_in or ()), args.sdm is not None, args.block_timestamps)
        try:
            upgrades = _upgrades(kv, chosen, args.upgrade_bundle, args.dependency_set)
        except BaseException:
            kv.close()
            raise
        attempts = Attempts()
        node = Node(
            chosen,
            kv,
            _sequencer(args.block_time, upgrades, chosen, attempts),
            {account.address: account.private_key for account in DEV_ACCOUNTS},
            automine=attempts.wait if args.block_time is None else None,
        )
        await node.start()
        print(banner(node.chain, node.endpoints, args.block_time), flush=True)
        return node

    try:
        return serve(start)
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def banner(chain: Chain, endpoints: "Endpoints", block_time: float | None) -> str:
    """The text a user needs to begin, with the publicly known dev keys."""
    from l2engine.types.base import checksum_address

    config, head = chain.config, chain.engine.head
    fork = config.fork_at(head.number, head.timestamp).name
    pace = "a block per transaction" if block_time is None else f"a block every {block_time:g} s"
    lines = [f"l2engine {__version__} dev chain: chain id {config.chain_id}, {fork}, {pace}", "", "Accounts"]
    for index, account in enumerate(DEV_ACCOUNTS):
        found = chain.state.view(head.hash).account(account.address)
        lines.append(f"  ({index}) {checksum_address(account.address)}  {(found.balance if found else 0) / 10**18:>10,.7g} ETH")
    lines += ["", "Private keys (known to everybody: never use them on a real chain)"]
    lines += [f"  ({index}) 0x{account.private_key.hex()}" for index, account in enumerate(DEV_ACCOUNTS)]
    lines += ["", f"Mnemonic    {MNEMONIC}", ""]
    lines += [f"{name:<12}{where}" for name, where in (("HTTP", endpoints.http), ("WebSocket", endpoints.ws)) if where]
    lines += [f"Engine API  {endpoints.engine}", f"JWT secret  {endpoints.jwt_secret}", ""]
    return "\n".join(lines)


def _parse_fork_in(text: str) -> tuple[str, int]:
    """`lagoon=20s`: the fork, and whole seconds."""
    name, is_there, time_text = text.partition("=")
    if not is_there or name not in {fork.name for fork in OP_FORKS}:
        raise ValueError(f"not a fork and a time, like lagoon=20s: {text!r}")
    seconds = settings.parse_seconds(time_text)
    if seconds < 1 or seconds != int(seconds):
        raise ValueError(f"a fork begins in whole seconds, one at least: {text!r}")
    return name, int(seconds)


def _parse_chain_ids(text: str) -> frozenset[int]:
    """Chain ids, separated by commas."""
    return frozenset(settings.parse_number(part) for part in settings.parse_list(text))


def _open(chosen: Settings, fork: str | None, later: Mapping[str, int], gives_refunds: bool, timestamps: str | None) -> KeyValue:
    """The database, with a genesis in it."""
    from l2engine.store.blocks import BlockStore

    if chosen.genesis is not None:  # first, so that a mistake in it creates no directory
        named = assembly.read_genesis(chosen)
        _refuse_registered(named.config.chain_id, named.hash, chosen.genesis)
    kv = assembly.memory_database(chosen) if chosen.datadir is None else assembly.open_database(chosen)
    try:
        blocks = BlockStore(kv)
        if blocks.genesis is not None:
            _refuse_foreign(kv, blocks, chosen)
        if blocks.genesis is None and chosen.genesis is None:
            fork = fork or (FORK_WITH_REFUNDS if gives_refunds else DEFAULT_FORK)
            assembly.write(kv, _new_genesis(chosen, fork, later, timestamps))
        elif later:
            raise ConfigError("--fork-in is for a new chain of dev's own; --override.<fork> gives this one another time")
        if fork is not None or timestamps is not None:
            _check_chain(assembly.prepare_rules(kv, chosen), blocks.header(blocks.genesis or b""), chosen, fork, timestamps)
    except BaseException:
        kv.close()
        raise
    return kv


def _refuse_foreign(kv: KeyValue, blocks: "BlockStore", chosen: Settings) -> None:
    """`ConfigError` when the data directory has the chain of somebody else: a registered one, or one on which no account of dev's
    exists, unless --genesis names it."""
    chain_id = json.loads(blocks.config or b"{}").get("chainId", 0)
    _refuse_registered(chain_id, blocks.genesis or b"", chosen.datadir)
    if chosen.genesis is None and not any(kv.get(schema.account_key(keccak(account.address))) for account in DEV_ACCOUNTS):
        raise ConfigError(
            f"{chosen.datadir} has chain {chain_id}, on which no account of dev's exists: `l2engine run` follows it; "
            "to make blocks on it all the same, name its file with --genesis"
        )


def _refuse_registered(chain_id: int, block_0_hash: bytes, where: Path | None) -> None:
    registered = registry().with_genesis(chain_id, block_0_hash)
    if registered is not None:
        raise ConfigError(f"{where} has {registered.name}: dev makes blocks of its own; `l2engine run` follows a real chain")


def _new_genesis(chosen: Settings, fork: str, later: Mapping[str, int], timestamps: str | None) -> Genesis:
    """The genesis of a chain of dev's own, which begins now."""
    chain_id = chosen.networkid or CHAIN_ID
    shared = timestamps == "shared" or (timestamps is None and not registry().has_id(chain_id))
    return load(dev_genesis(fork, int(time.time()), chain_id=chain_id, later=later, equal_timestamps=shared))


def _check_chain(rules: ChainConfig, genesis: Header | None, chosen: Settings, fork: str | None, timestamps: str | None) -> None:
    """`ConfigError` when the chain that is there is not the one that --fork and --block-timestamps ask for."""
    where = chosen.genesis or chosen.datadir or "these overrides"
    first = rules.fork_at(0, genesis.timestamp if genesis else 0).name
    if fork not in (None, first):
        raise ConfigError(f"--fork {fork}: the chain of {where} begins with {first}")
    kept = "shared" if rules.equal_timestamps else "strict"
    if timestamps not in (None, kept):
        raise ConfigError(f"--block-timestamps {timestamps}: the genesis of {where} says {kept}, and keeps it")


def _upgrades(kv: KeyValue, chosen: Settings, bundle: Path | None, dependency_set: frozenset[int]) -> "Mapping[str, Upgrade]":
    """The extra contents of the last fork's activation block, by fork name."""
    from l2engine.dev.upgrades import read_upgrade

    if bundle is None:
        return {}
    config = assembly.prepare_rules(kv, chosen)
    last = config.activations[-1].fork.name
    return {last: read_upgrade(bundle, last, multi_chain=bool(dependency_set - {config.chain_id}))}


def _sequencer(
    block_time: float | None, upgrades: "Mapping[str, Upgrade]", chosen: Settings, attempts: "Attempts"
) -> Callable[[Chain, ThreadPoolExecutor], Awaitable[Callable[[], Awaitable[None]]]]:
    """The service that makes blocks."""

    async def start(chain: Chain, engine_thread: ThreadPoolExecutor) -> Callable[[], Awaitable[None]]:
        from l2engine.dev.l1 import ImaginedL1
        from l2engine.dev.sequencer import Sequencer, SequencerSettings

        gas_limit = chosen.miner_gaslimit or chain.engine.head.gas_limit
        sequencer = Sequencer(
            chain.engine,
            engine_thread,
            SequencerSettings(block_time, ImaginedL1(gas_limit=gas_limit, upgrades=upgrades)),
            attempts=attempts,
        )
        chain.engine.pool.refuses_below_base_fee = True
        await asyncio.get_running_loop().run_in_executor(engine_thread, sequencer.begin)
        task = asyncio.create_task(sequencer.run())
        task.add_done_callback(_report)

        async def stop() -> None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        return stop

    return start


def _report(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("The sequencer stopped", exc_info=error)
