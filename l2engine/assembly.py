"""Opens a chain from settings: data directory, genesis, rules, executor, engine.

Used by the node and by the commands that work on a data directory without a node. Heavy imports are inside the functions,
so that the command line starts quickly.
"""

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genesis import chains, loader
from genesis.chains import RegisteredChain, override_forks
from genesis.config_section import check_no_gap
from genesis.loader import Genesis
from genesis.registry import check_dev_rules, registry
from l2engine.errors import ConfigError, GenesisMismatch
from l2engine.evm.executor import Executor
from l2engine.rules.config import ChainConfig, chain_config
from l2engine.settings import Settings
from l2engine.types.base import Hash32
from l2engine.types.header import Header
from l2engine.types.storage import KeyValue, StateStore

if TYPE_CHECKING:
    from l2engine.chain.engine import Engine
    from l2engine.store.blocks import BlockStore

log = logging.getLogger(__name__)

DEFAULT_DATADIR = Path("~/.l2engine")


@dataclass(frozen=True, slots=True)
class Chain:
    """An opened chain. Call `close` when done; even without it, no acknowledged block is lost."""

    config: ChainConfig
    executor: Executor
    kv: KeyValue
    blocks: "BlockStore"
    state: StateStore
    engine: "Engine"

    def close(self) -> None:
        """End builds, wait for the disk, release the directory."""
        self.engine.close()
        try:
            self.engine.pool.close()
            if self.kv.failure is None:
                self.kv.batch().write(sync=True)
        finally:
            self.kv.close()


def data_directory(settings: Settings) -> Path:
    """The node's data directory."""
    return (settings.datadir or DEFAULT_DATADIR).expanduser()


def _database(settings: Settings) -> Path:
    return data_directory(settings) / "chaindata"


def open_database(settings: Settings, create: bool = True) -> KeyValue:
    """The LevelDB in the data directory. `StoreError` when it is in use or foreign, `ConfigError` when it is missing and `create` False."""
    from l2engine.evm.choose import is_native

    path = _database(settings)
    if not create and not path.is_dir():
        raise ConfigError(f"no database at {path}; `l2engine init` makes one")
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)
    sizes = {"cache_mb": max(8, settings.cache // 2), "write_buffer_mb": max(4, min(64, settings.cache // 8))}
    if is_native(settings.evm):
        from l2engine.store.native import NativeKeyValue

        return NativeKeyValue(path, **sizes, create=create)
    from l2engine.store.kv import LevelDB

    return LevelDB(path, **sizes, create=create)


def repair_database(settings: Settings) -> list[str]:
    """Cut the damaged end of the LevelDB's logs; returns a line for each cut. `StoreError` when the database is in use or damaged
    elsewhere, `ConfigError` when there is none."""
    from l2engine.store.files import cut_damaged_logs

    path = _database(settings)
    if not path.is_dir():
        raise ConfigError(f"no database at {path}; `l2engine init` makes one")
    return cut_damaged_logs(path)


def memory_database(settings: Settings) -> KeyValue:
    """An empty database that ends with the process."""
    from l2engine.evm.choose import is_native

    if is_native(settings.evm):
        from l2engine.store.native import NativeKeyValue

        return NativeKeyValue(None)
    from l2engine.store.kv import MemoryKeyValue

    return MemoryKeyValue()


def open_state(kv: KeyValue, settings: Settings) -> StateStore:
    """The state in `kv`, in the same implementation as `kv`: Rust or Python."""
    from l2engine.store.native import NativeKeyValue, NativeState
    from l2engine.store.state import LayeredState

    archive = settings.gcmode == "archive"
    windows = (0, 0) if archive else (settings.history_state, settings.history_proofs)
    return NativeState(kv, *windows) if isinstance(kv, NativeKeyValue) else LayeredState(kv, *windows)


def read_genesis(settings: Settings) -> Genesis:
    """The genesis selected by `--network` or `--genesis`, with the `--override.<fork>` times applied."""
    if settings.network is not None:
        return chains.load(registry(settings.chain_file).find(settings.network), settings.genesis, settings.override)
    if settings.genesis is None:
        raise ConfigError("which chain? Name it with --network NAME or --genesis FILE")
    document = loader.read(settings.genesis)
    genesis = loader.load(document, override_forks(loader.config_section(document), settings.override))
    loader.check_first_block(genesis)
    check_dev_rules(genesis.config)
    return genesis


def write(kv: KeyValue, genesis: Genesis) -> None:
    """Write `genesis` into an empty database, or check that the database has the same genesis."""
    from l2engine.store.genesis import write_genesis

    if not genesis.has_state:
        raise ConfigError("this chain began before Bedrock: its genesis file has no allocation, and a state import is not supported yet")
    write_genesis(kv, genesis.block, genesis.alloc, json.dumps(genesis.geth_config, separators=(",", ":")).encode())


def prepare_rules(kv: KeyValue, settings: Settings, genesis: Genesis | None = None) -> ChainConfig:
    """The chain's rules: from the genesis in the settings, which is written into an empty database, or else from the configuration in
    the database. For a registered chain, the registry adds forks that were scheduled after the database was written.

    `genesis` is the genesis in the settings if it has been read already. `ConfigError` when there is no genesis; `GenesisMismatch`
    when it differs from the database's.
    """
    from l2engine.store.blocks import BlockStore

    blocks = BlockStore(kv)
    if settings.genesis is not None or blocks.genesis is None:
        genesis = genesis or read_genesis(settings)
        write(kv, genesis)
        return genesis.config
    document = json.loads(blocks.config or b"{}")
    if settings.network is not None:
        registered = registry(settings.chain_file).find(settings.network)
        _check_network(registered, blocks.genesis)
        document = registered.geth_config()
    elif (same := registry(settings.chain_file).with_genesis(document.get("chainId", 0), blocks.genesis)) is not None:
        document = same.geth_config() | document
    document = override_forks(document, settings.override)
    check_no_gap(document)
    return check_dev_rules(chain_config(document))


def registered_chain(settings: Settings, config: ChainConfig, block_0_hash: Hash32) -> RegisteredChain | None:
    """The registered chain that these rules and this block 0 belong to, if there is one."""
    return registry(settings.chain_file).with_genesis(config.chain_id, block_0_hash)


def check_forks(config: ChainConfig, head: Header, registered: RegisteredChain | None, now: float) -> list[str]:
    """Warnings for following the chain from `head` on at the time `now` (unix seconds): coming forks that this build does not
    know, and the registry's warnings for the chain. `ConfigError` when such a fork has begun."""
    for fork in config.unknown_forks:
        if fork.reached(head.number, head.timestamp if fork.is_last else max(head.timestamp, int(now))):
            raise ConfigError(f"fork {fork} has begun, and this build does not know it: {fork.advice}")
    lines = [f"this build does not know the fork {fork} and refuses blocks from then on: {fork.advice}" for fork in config.unknown_forks]
    return lines + (registered.warnings(config) if registered is not None else [])


def open_chain(settings: Settings, kv: KeyValue | None = None, now: float | None = None) -> Chain:
    """Open the chain in the data directory, or in `kv`; an empty database is initialised first. `ConfigError` when a fork that this
    build does not know has begun, by the head or by the clock (`now`, in unix seconds)."""
    from l2engine.chain.engine import Engine, EngineSettings
    from l2engine.chain.events import Events
    from l2engine.chain.pool import Pool
    from l2engine.evm.choose import executor_factory, patience
    from l2engine.store.blocks import BlockStore
    from l2engine.types.limits import BuilderSettings, PoolSettings

    now = time.time() if now is None else now
    is_new = kv is None and not _database(settings).exists()
    genesis = None
    if is_new or settings.genesis is not None:  # first, so that a mistake in it creates no directory and changes no stored rules
        genesis = read_genesis(settings)
        check_forks(genesis.config, genesis.header, registered_chain(settings, genesis.config, genesis.hash), now)
    opened = kv if kv is not None else open_database(settings)
    try:
        config = prepare_rules(opened, settings, genesis)
        blocks = BlockStore(opened)
        blocks.repair_tail()
        head = blocks.header(blocks.head or b"")
        registered = registered_chain(settings, config, blocks.genesis or b"")
        for line in check_forks(config, head, registered, now) if head else ():
            log.warning(line)
        state = open_state(opened, settings)
        executor = executor_factory(settings.evm)(config)
        events = Events()
        if settings.rollup_operator_sdm_opt_in and settings.sdm_policy == "none":
            log.warning("--rollup.operator-sdm-opt-in changes nothing without a policy: --sdm.policy warming gives refunds")
        pool_settings = PoolSettings(
            price_limit=settings.txpool_pricelimit,
            price_bump=settings.txpool_pricebump,
            account_slots=settings.txpool_accountslots,
            global_slots=settings.txpool_globalslots,
            account_queue=settings.txpool_accountqueue,
            global_queue=settings.txpool_globalqueue,
            lifetime_seconds=settings.txpool_lifetime,
        )
        engine_settings = EngineSettings(
            allow_unwind_canonical_header=settings.engine_allow_unwind_canonical_header,
            sync_acknowledgements=settings.db_sync == "always",
            builder=BuilderSettings(
                settings.builder_deadline, patience(settings.evm), settings.sdm_policy, settings.rollup_operator_sdm_opt_in
            ),
            witness_folder=data_directory(settings) / "witnesses" if kv is None else None,
        )
        pool = Pool(config, pool_settings, events)
        engine = Engine(config, opened, blocks, state, executor, pool, events, engine_settings)
        return Chain(config, executor, opened, blocks, state, engine)
    except BaseException:
        opened.close()
        raise


def keep_transactions(chain: Chain, settings: Settings) -> None:
    """Bring back the transactions that an earlier run had accepted, and keep a journal of those to come. `ConfigError` or
    `JournalUnavailable` when that is not possible."""
    from l2engine.chain.events import Origin
    from l2engine.chain.journal import Journal

    if not settings.txpool_journal or (settings.txpool_nolocals and not settings.txpool_journalremotes):
        return
    origins = tuple(Origin) if settings.txpool_nolocals else (Origin.LOCAL, Origin.CHAIN)
    folder = data_directory(settings)
    folder.mkdir(parents=True, exist_ok=True)  # another database may be in use in place of the one in it
    path = folder / Path(settings.txpool_journal).expanduser()
    journal = Journal(path, chain.blocks.genesis or b"", settings.db_sync == "always", origins)
    try:
        chain.engine.pool.restore(journal)
    except BaseException:
        journal.close()
        raise


def _check_network(registered: RegisteredChain, genesis_hash: Hash32) -> None:
    if registered.block_0_hash != genesis_hash:
        raise GenesisMismatch(registered.block_0_hash, genesis_hash)
