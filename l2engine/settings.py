"""Everything an operator can set: flags over environment over a TOML file over defaults.

`Settings` is the one table: a field is a flag (`--http.port`), an environment variable (`L2ENGINE_HTTP_PORT`) and a TOML key
(`[http] port`). Names are geth's; op-reth's spellings and older ones are aliases. Flags of geth that mean nothing here are
accepted and named in a warning, so that scripts need no edit.
"""

import argparse
import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn

from l2engine import op_reth_flags
from l2engine.errors import ConfigError
from l2engine.rules.forks import OP_FORKS
from l2engine.types.duration import parse_duration
from l2engine.types.limits import HISTORY_PROOFS, HISTORY_STATE, BuilderSettings, PoolSettings, RpcSettings

ENVIRONMENT_PREFIX = "L2ENGINE_"
API_NAMES = ("eth", "net", "web3", "debug", "txpool", "admin", "miner", "trace", "ots", "testing", "hardhat")
OTHER_API_NAMES = ("engine", "rpc", "reth", "flashbots", "mev", "personal")  # of geth and op-reth, without a method here or served always
SDM_POLICIES = ("none", "warming")
LOCALHOST = "127.0.0.1"
_POOL, _RPC = PoolSettings(), RpcSettings()
JOURNAL = "transactions.journal"
_ONE_DASH = re.compile(r"-[a-z][\w.-]")  # `-http.port 1`, as geth takes it; no flag but -h is one letter
OVERRIDES = tuple(f"override.{fork.name}" for fork in OP_FORKS[1:])


def parse_bool(text: str) -> bool:
    """true/false, yes/no, 1/0."""
    known = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if text.lower() not in known:
        raise ValueError(f"not a boolean: {text!r}")
    return known[text.lower()]


def parse_number(text: str) -> int:
    """A whole number of 64 bits that is not negative, also as 0x…."""
    if not re.fullmatch(r"[0-9]{1,20}|0x[0-9a-fA-F]{1,16}", text):
        raise ValueError(f"not a number: {text[:80]!r}")
    number = int(text, 16 if text[:2] == "0x" else 10)
    if number >= 1 << 64:
        raise ValueError(f"not a number of 64 bits: {text!r}")
    return number


def parse_port(text: str) -> int:
    """A TCP or UDP port; 0 lets the system choose."""
    number = parse_number(text)
    if number >= 1 << 16:
        raise ValueError(f"not a port: {text!r}")
    return number


def parse_address(text: str) -> str:
    """A host name or an IP address, IPv6 also in brackets. Empty text, as from an unset variable, means this machine alone."""
    host = text.strip().removeprefix("[").removesuffix("]") or LOCALHOST
    try:
        host.encode("idna")  # as the system's look-up does
    except UnicodeError:
        raise ValueError(f"not an address: {text[:80]!r}") from None
    return host


def parse_path(text: str) -> Path:
    """A path. Empty text, as from an unset variable, would be the current folder, which nobody means."""
    if not text:
        raise ValueError("an empty path")
    return Path(text)


def parse_megabytes(text: str) -> int:
    """Megabytes of memory, so many that they may be counted in bytes."""
    number = parse_number(text)
    if number >= 1 << 32:
        raise ValueError(f"too many megabytes: {text!r}")
    return number


def parse_amount(text: str) -> float:
    """A number, perhaps with a fraction, that is not negative."""
    if not re.fullmatch(r"[0-9]{1,20}(\.[0-9]*)?|\.[0-9]+", text):
        raise ValueError(f"not an amount: {text[:80]!r}")
    return float(text)


def parse_list(text: str) -> tuple[str, ...]:
    """Values separated by commas; spaces around them do not count."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def parse_urls(text: str) -> tuple[str, ...]:
    """HTTP addresses separated by commas."""
    urls = parse_list(text)
    for url in urls:
        if not re.match(r"https?://[^/]", url):
            raise ValueError(f"not an HTTP address: {url}")
    return urls


def parse_seconds(text: str) -> float:
    """Seconds, from a plain number or Go's form: `5s`, `1h30m`, `500ms`."""
    return float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else parse_duration(text)


@dataclass(frozen=True, slots=True)
class Flag:
    """One row of the table."""

    name: str
    field: str
    parse: Callable[[str], Any]
    help: str
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()

    @property
    def environment(self) -> str:
        return _variable(self.name)


def _variable(name: str) -> str:
    return ENVIRONMENT_PREFIX + name.upper().replace(".", "_").replace("-", "_")


_PARSERS: Mapping[type, Callable[[str], Any]] = {
    bool: parse_bool,
    tuple: parse_list,
    int: parse_number,
    float: parse_amount,
    str: str,
}


def _flag(
    name: str,
    default: Any,
    help: str,
    *aliases: str,
    parse: Callable[[str], Any] | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    if parse is None:
        parse = _PARSERS[type(default)]
    return field(default=default, metadata={"flag": (name, parse, help, aliases, choices)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one node, in the order of `--help`."""

    # chain and data
    datadir: Path | None = _flag(
        "datadir", None, "data directory (default ~/.l2engine; `dev` stays in memory)", "data-dir", parse=parse_path
    )
    network: str | None = _flag("network", None, "registered chain, like op-sepolia or unichain-mainnet", "op-network", "chain", parse=str)
    chain_file: Path | None = _flag("chain-file", None, "file of registered chains, added to the built-in ones", parse=parse_path)
    genesis: Path | None = _flag("genesis", None, "genesis file in geth's format (.json, .gz, .zst)", parse=parse_path)
    networkid: int | None = _flag("networkid", None, "network id (default: the chain id)", "network-id", parse=parse_number)
    syncmode: str = _flag("syncmode", "full", "how to catch up from peers", choices=("full", "snap"))
    gcmode: str = _flag("gcmode", "full", "archive keeps all history", choices=("full", "archive"))
    history_state: int = _flag(
        "history.state", HISTORY_STATE, "blocks whose state stays readable; 0 keeps all", "prune.account-history.distance"
    )
    history_proofs: int = _flag("history.proofs", HISTORY_PROOFS, "blocks whose proofs can be made; 0 keeps all", "proofs-history.window")
    cache: int = _flag("cache", 256, "megabytes for the database's caches", parse=parse_megabytes)
    db_sync: str = _flag("db.sync", "auto", "fsync at base moves and shutdown, or at each acknowledgement", choices=("auto", "always"))
    evm: str = _flag("evm", "auto", "executor", choices=("auto", "py", "native", "both"))

    # HTTP and WebSocket
    http: bool = _flag("http", False, "serve JSON-RPC over HTTP")
    http_addr: str = _flag("http.addr", LOCALHOST, "HTTP address", parse=parse_address)
    http_port: int = _flag("http.port", 8545, "HTTP port; 0 picks a free one", parse=parse_port)
    http_api: tuple[str, ...] = _flag("http.api", ("eth", "net", "web3"), "namespaces over HTTP")
    http_corsdomain: tuple[str, ...] = _flag("http.corsdomain", (), "origins that browsers may call from; * for all")
    http_vhosts: tuple[str, ...] = _flag("http.vhosts", ("localhost",), "Host names that are served; * for all")
    ws: bool = _flag("ws", False, "serve JSON-RPC over WebSocket")
    ws_addr: str = _flag("ws.addr", LOCALHOST, "WebSocket address", parse=parse_address)
    ws_port: int = _flag("ws.port", 8546, "WebSocket port; 0 picks a free one", parse=parse_port)
    ws_api: tuple[str, ...] = _flag("ws.api", ("eth", "net", "web3"), "namespaces over WebSocket")
    ws_origins: tuple[str, ...] = _flag("ws.origins", (), "origins that may connect; * for all")
    ipcdisable: bool = _flag("ipcdisable", False, "accepted; there is no IPC socket")

    # Engine API
    authrpc_addr: str = _flag("authrpc.addr", LOCALHOST, "Engine API address", parse=parse_address)
    authrpc_port: int = _flag("authrpc.port", 8551, "Engine API port; 0 picks a free one", parse=parse_port)
    authrpc_jwtsecret: Path | None = _flag(
        "authrpc.jwtsecret",
        None,
        "file of the shared secret (default: jwtsecret in the data directory)",
        "authrpc.jwt-secret",
        parse=parse_path,
    )
    authrpc_vhosts: tuple[str, ...] = _flag("authrpc.vhosts", ("localhost",), "Host names that the Engine port serves; * for all")

    # limits
    rpc_gascap: int = _flag("rpc.gascap", _RPC.gas_cap, "gas of eth_call and estimates; 0 is no limit", "rpc.gas-cap")
    rpc_evmtimeout: float = _flag("rpc.evmtimeout", _RPC.evm_timeout_seconds, "seconds a call may run; 0 is no limit", parse=parse_seconds)
    rpc_txfeecap: float = _flag(
        "rpc.txfeecap", _RPC.tx_fee_cap_wei / 10**18, "highest fee in ether of a sent transaction; 0 is no limit", "rpc.tx-fee-cap"
    )
    rpc_batch_request_limit: int = _flag("rpc.batch-request-limit", _RPC.batch_request_limit, "requests per batch; 0 is no limit")
    rpc_batch_response_max_size: int = _flag(
        "rpc.batch-response-max-size", _RPC.batch_response_max_bytes, "bytes of a batch's answer; 0 is no limit"
    )
    rpc_rangelimit: int = _flag(
        "rpc.rangelimit", _RPC.log_range_limit, "blocks per eth_getLogs; 0 is no limit", "rpc.max-blocks-per-filter"
    )
    rpc_logquerylimit: int = _flag(
        "rpc.logquerylimit", _RPC.log_query_limit, "addresses, and topics of one position, in a filter for logs; 0 is no limit"
    )
    rpc_max_logs_per_response: int = _flag("rpc.max-logs-per-response", _RPC.log_count_limit, "logs per eth_getLogs; 0 is no limit")
    rpc_max_response_size: int = _flag(
        "rpc.max-response-size", _RPC.response_max_bytes // 10**6, "megabytes of one answer with logs or traces; 0 is no limit"
    )
    rpc_max_connections: int = _flag(
        "rpc.max-connections", _RPC.max_connections, "connections to the HTTP and WebSocket ports together; 0: as many as files may be open"
    )
    rpc_allow_unprotected_txs: bool = _flag(
        "rpc.allow-unprotected-txs", _RPC.allow_unprotected, "take transactions without replay protection"
    )

    gpo_minsuggestedpriorityfee: int = _flag(
        "gpo.minsuggestedpriorityfee", _RPC.minimum_suggested_tip, "lowest tip in wei that is suggested", "min-suggested-priority-fee"
    )

    # rollup
    rollup_sequencerhttp: str | None = _flag(
        "rollup.sequencerhttp",
        None,
        "sequencer to which raw transactions go",
        "rollup.sequencer-http",
        "rollup.sequencer",
        "rollup.sequencer-ws",
        parse=str,
    )
    rollup_retain_forwarded_txs: bool = _flag(
        "rollup.retain-forwarded-txs",
        _RPC.keep_forwarded,
        "keep transactions in the pool that went to the sequencer",
        "rollup.enabletxpooladmission",
        "rollup.txpool.enable-admission",
    )
    rollup_historicalrpc: str | None = _flag(
        "rollup.historicalrpc", None, "accepted; blocks before Bedrock are not served", "rollup.historical-rpc", parse=str
    )
    rollup_disabletxpoolgossip: bool = _flag(
        "rollup.disabletxpoolgossip",
        False,
        "transactions do not go to peers",
        "rollup.disable-tx-pool-gossip",
        "disable-tx-gossip",
        "rollup.txpool.disable-gossip",
    )
    rollup_computependingblock: bool = _flag(
        "rollup.computependingblock", False, "accepted; the pending block is the latest", "rollup.compute-pending-block"
    )
    rollup_interop_http: tuple[str, ...] = _flag(
        "rollup.interop-http",
        (),
        "filter that checks messages between chains; may be repeated",
        parse=parse_urls,
    )
    rollup_interop_min_responses: int = _flag("rollup.interop-min-responses", 0, "filters that must answer, and agree; 0 is all of them")
    rollup_interop_safety_level: str = _flag(
        "rollup.interop-safety-level",
        "cross-unsafe",
        "how safe a message must be",
        choices=("unsafe", "local-safe", "cross-unsafe", "cross-safe", "safe", "finalized"),
    )
    rollup_halt: str = _flag(
        "rollup.halt", _RPC.rollup_halt, "stop at this kind of protocol version increase", choices=("", "none", "major", "minor", "patch")
    )
    engine_allow_unwind_canonical_header: bool = _flag(
        "engine.allow-unwind-canonical-header", False, "a forkchoice to an ancestor moves latest back"
    )

    # building and pool
    builder_deadline: float = _flag(
        "builder.deadline", BuilderSettings().deadline_seconds, "seconds that a build may go on improving", parse=parse_seconds
    )
    sdm_policy: str = _flag("sdm.policy", "none", "which gas refunds a builder gives from Lagoon on", choices=SDM_POLICIES)
    rollup_operator_sdm_opt_in: bool = _flag(
        "rollup.operator-sdm-opt-in", False, "give refunds in blocks built here, by the policy of --sdm.policy"
    )
    miner_gaslimit: int | None = _flag(
        "miner.gaslimit", None, "gas limit of the dev chain's blocks", "builder.gaslimit", parse=parse_number
    )
    txpool_pricelimit: int = _flag("txpool.pricelimit", _POOL.price_limit, "lowest tip in wei", "txpool.minimum-priority-fee")
    txpool_pricebump: int = _flag("txpool.pricebump", _POOL.price_bump, "percent by which a replacement must pay more")
    txpool_accountslots: int = _flag(
        "txpool.accountslots", _POOL.account_slots, "executable transactions kept per account", "txpool.max-account-slots"
    )
    txpool_globalslots: int = _flag(
        "txpool.globalslots", _POOL.global_slots, "executable transactions kept in all", "txpool.pending-max-count"
    )
    txpool_accountqueue: int = _flag("txpool.accountqueue", _POOL.account_queue, "transactions with a nonce gap kept per account")
    txpool_globalqueue: int = _flag(
        "txpool.globalqueue", _POOL.global_queue, "transactions with a nonce gap kept in all", "txpool.queued-max-count"
    )
    txpool_lifetime: float = _flag(
        "txpool.lifetime", _POOL.lifetime_seconds, "seconds that a transaction with a nonce gap waits", parse=parse_seconds
    )

    txpool_journal: str = _flag(
        "txpool.journal",
        JOURNAL,
        "file of accepted transactions, in the data directory, for the next start; empty for none",
        "txpool.transactions-backup",
    )
    txpool_rejournal: float = _flag(
        "txpool.rejournal", _POOL.rejournal_seconds, "seconds between rewritings of that file", parse=parse_seconds
    )
    txpool_nolocals: bool = _flag(
        "txpool.nolocals", False, "do not keep transactions for the next start", "txpool.disable-transactions-backup"
    )
    txpool_journalremotes: bool = _flag("txpool.journalremotes", False, "with --txpool.nolocals: keep those of peers and all others")

    # peers
    port: int = _flag("port", 30303, "TCP port for peers", parse=parse_port)
    discovery_port: int | None = _flag("discovery.port", None, "UDP port for discovery (default: --port)", parse=parse_port)
    bootnodes: tuple[str, ...] = _flag("bootnodes", (), "enode or enr records to start from")
    nodiscover: bool = _flag("nodiscover", False, "do not look for peers", "disable-discovery")
    maxpeers: int = _flag("maxpeers", 50, "peers at most", "max-peers")
    nodekey: Path | None = _flag("nodekey", None, "file of the node's private key", "p2p-secret-key", parse=parse_path)
    nat: str = _flag("nat", "any", "how to learn the public address")

    # operation
    metrics: bool = _flag("metrics", False, "serve metrics for Prometheus")
    metrics_addr: str = _flag("metrics.addr", LOCALHOST, "metrics address", parse=parse_address)
    metrics_port: int = _flag("metrics.port", 6060, "metrics port", parse=parse_port)
    log_format: str = _flag("log.format", "terminal", "form of log lines", "log.stdout.format", choices=("terminal", "logfmt", "json"))
    verbosity: int = _flag("verbosity", 3, "0 silent, 1 error, 2 warn, 3 info, 4 debug, 5 trace")

    override: Mapping[str, int] = field(default_factory=dict)
    """Fork name to activation time, from `--override.<fork>`."""
    warnings: tuple[str, ...] = ()
    """Warnings about the settings themselves, for the operator."""

    def as_toml(self) -> str:
        """The settings as a file that `--config` reads back."""
        lines = []
        for flag in FLAGS:
            value = getattr(self, flag.field)
            if value is not None:
                lines.append(f"{_toml_key(flag.name)} = {_toml_value(value)}")
        lines += [f"override.{name} = {time}" for name, time in self.override.items()]
        return "\n".join(lines) + "\n"


FLAGS = tuple(Flag(name, f.name, parse, text, aliases, choices) for f in fields(Settings) if "flag" in f.metadata
              for name, parse, text, aliases, choices in [f.metadata["flag"]])  # fmt: skip
_BY_NAME = {name: flag for flag in FLAGS for name in (flag.name, *flag.aliases)}
_KNOWN = (*_BY_NAME, *OVERRIDES)
_VARIABLES = {flag.environment: flag.name for flag in FLAGS} | {_variable(name): name for name in OVERRIDES}
_OTHER_VARIABLES = {ENVIRONMENT_PREFIX + "CONFIG", ENVIRONMENT_PREFIX + "VECTORS"}  # the configuration file, the tests' vectors
_METAVARS: Mapping[Callable[[str], Any], str] = {
    parse_bool: "",
    parse_number: "N",
    parse_port: "PORT",
    parse_address: "ADDRESS",
    parse_list: "A,B,…",
    parse_urls: "URL",
    parse_seconds: "TIME",
    parse_path: "PATH",
    parse_megabytes: "N",
}
SWITCHES = frozenset(name for name, flag in _BY_NAME.items() if flag.parse is parse_bool)

_GETH_SWITCHES = """
    snapshot cache.noprefetch cache.preimages history.logs.disable lightkdf usb nousb allow-insecure-unlock mine graphql pprof vmdebug
    discovery.v4 discovery.v5 v5disc metrics.expensive rpc.enabledeprecatedpersonal rollup.superchain-upgrades
    log.rotate log.compress log.debug log.json rollup.sequencertxconditionalenabled rollup.interopmempoolfiltering
    rollup.txpool.trusted-peers-only state.size-tracking
    metrics.influxdb metrics.influxdbv2 pprof.cpuprofile
"""
_GETH_VALUES = """
    state.scheme db.engine cache.gc cache.database cache.trie cache.snapshot cache.blocklogs txlookuplimit history.transactions
    history.chain history.logs datadir.ancient datadir.minfreedisk keystore unlock password miner.etherbase miner.recommit
    miner.extradata miner.gasprice miner.newpayload-timeout http.rpcprefix ws.rpcprefix graphql.corsdomain graphql.vhosts pprof.addr
    pprof.port log.file log.maxsize log.maxage log.maxbackups log.vmodule bloomfilter.size gpo.blocks gpo.percentile gpo.maxprice
    gpo.ignoreprice identity ethstats ipcpath maxpendpeers netrestrict discovery.dns nodekeyhex
    txpool.locals rollup.historicalrpctimeout rollup.interoprpc rollup.txpool.netrestrict
    history.trienode history.logs.export metrics.influxdb.endpoint metrics.influxdb.database metrics.influxdb.username
    metrics.influxdb.password metrics.influxdb.tags metrics.influxdb.token metrics.influxdb.bucket metrics.influxdb.organization
    metrics.influxdb.interval pprof.memprofilerate pprof.blockprofilerate fdlimit crypto.kzg blobpool.datadir blobpool.datacap
    blobpool.pricebump miner.pending.fee rpc.txsync.defaulttimeout rpc.txsync.maxtimeout
"""
NOT_SERVED_YET = frozenset(("syncmode", "rollup.historicalrpc", "bootnodes", "nodekey", "metrics"))
"""Flags of features that are still to come."""
IGNORED_SWITCHES = frozenset(_GETH_SWITCHES.split()) | op_reth_flags.IGNORED_SWITCHES
IGNORED_VALUES = frozenset(_GETH_VALUES.split()) | op_reth_flags.IGNORED_VALUES
assert not (IGNORED_SWITCHES | IGNORED_VALUES) & _BY_NAME.keys()


def add_flags(parser: argparse.ArgumentParser, *listed: str, **defaults: Any) -> None:
    """Let `parser` take all flags, the ignored ones and `--config` included, so that one set of them serves every command.
    Its help lists those that matter to the command, or all, with the command's own `defaults` in place of the table's."""
    for flag in FLAGS:
        text = flag.help if flag.name in listed or not listed else None
        if text is not None and flag.name in NOT_SERVED_YET and not text.startswith("accepted;"):
            text += "; accepted, changes nothing yet"
        default = defaults.get(flag.field, Settings.__dataclass_fields__[flag.field].default)
        _add(parser, [flag.name, *flag.aliases], flag.field, flag.parse, text, flag.choices, default)
    _add(parser, ["config"], "config", parse_path, "TOML file of settings")
    for name in OVERRIDES:
        text = f"time at which {name.removeprefix('override.')} begins"
        _add(parser, [name], name, parse_number, text if "override" in listed or not listed else None)
    for name in sorted(IGNORED_SWITCHES | IGNORED_VALUES):
        parser.add_argument(f"--{name}", dest="ignored", action="append", help=argparse.SUPPRESS, default=argparse.SUPPRESS)
    if listed:
        parser.epilog = "The other flags of `l2engine run` are taken, too."


def spell_out(arguments: Sequence[str]) -> list[str]:
    """The arguments with `--http` written as `--http=true`, so that switches take `=false` and never swallow the next word."""
    return [f"{word}=true" if word[:2] == "--" and (word[2:] in SWITCHES or word[2:] in IGNORED_SWITCHES) else word for word in arguments]


def parse_arguments(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """Parse, with a hint at the nearest flag when one is unknown."""
    ours = op_reth_flags.in_our_words(arguments, SWITCHES | IGNORED_SWITCHES)
    words = [f"-{word}" if _ONE_DASH.match(word) else word for word in ours]
    args, unknown = parser.parse_known_args(spell_out(words))
    if unknown:
        _refuse(parser, unknown[0])
    given = {word[2:].partition("=")[0] for word in words if word.startswith("--")}
    args.ignored_names = sorted(given & (IGNORED_SWITCHES | IGNORED_VALUES)) if hasattr(args, "ignored") else []
    return args


def _names(parser: argparse.ArgumentParser) -> set[str]:
    """The flags of a command: those of all commands, and its own, which its help lists."""
    return {*_KNOWN, *re.findall(r"--([\w.-]+)", parser.format_help())}


def resolve(args: argparse.Namespace, environment: Mapping[str, str] = os.environ, **defaults: Any) -> Settings:
    """The settings that these parsed flags mean. `defaults` replace the table's (the dev chain has its own)."""
    values: dict[str, Any] = dict(defaults)
    override: dict[str, int] = {}
    config = getattr(args, "config", None) or environment.get(ENVIRONMENT_PREFIX + "CONFIG")
    for name, value in _read_toml(Path(config)).items() if config else ():
        _place(values, override, name, value, str(config))
    for variable, name in _VARIABLES.items():
        if environment.get(variable):
            _place(values, override, name, environment[variable], variable)
    for key, value in vars(args).items():
        if key in OVERRIDES:
            override[key.removeprefix("override.")] = value
        elif key in Settings.__dataclass_fields__:
            values[key] = tuple(value) if isinstance(value, list) else value
    strange = sorted(
        word for word in environment if word.startswith(ENVIRONMENT_PREFIX) and word not in _VARIABLES.keys() | _OTHER_VARIABLES
    )
    warnings = [f"environment variable {word} is not a known setting{hint(word, _VARIABLES)}" for word in strange]
    warnings += [f"--{name} has no meaning here and is ignored" for name in getattr(args, "ignored_names", ())]
    fields = {flag.field for flag in FLAGS if flag.name in NOT_SERVED_YET}
    unserved = sorted(key for key in fields & values.keys() if values[key] != Settings.__dataclass_fields__[key].default)
    warnings += [f"--{key.replace('_', '.')} is accepted but changes nothing yet: see docs/roadmap.md" for key in unserved]
    settings = Settings(**values, override=override, warnings=tuple(warnings))
    for name in (*settings.http_api, *settings.ws_api):
        if name not in API_NAMES and name not in OTHER_API_NAMES:
            raise ConfigError(f"unknown API {name!r}; known are {', '.join(API_NAMES)}")
    return settings


def argument(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """`parse` for argparse, which would hide its message."""

    def read(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _add(
    parser: argparse.ArgumentParser,
    names: Iterable[str],
    key: str,
    parse: Callable[[str], Any],
    text: str | None,
    choices: tuple[str, ...] = (),
    default: Any = None,
) -> None:
    """One flag; without `text` the help does not list it."""
    shown = "" if default in (None, False, "", ()) or "(default" in (text or "") else f" (default {shown_value(default)})"
    metavar = "{" + "|".join(c for c in choices if c) + "}" if choices else _METAVARS.get(parse, "VALUE")
    parser.add_argument(
        *(f"--{name}" for name in names),
        dest=key,
        type=argument(parse),
        choices=choices or None,
        metavar=metavar,
        help=text.replace("%", "%%") + shown if text is not None else argparse.SUPPRESS,
        default=argparse.SUPPRESS,
        action="extend" if parse is parse_urls else "store",
    )


def _place(values: dict[str, Any], override: dict[str, int], name: str, value: Any, source: str) -> None:
    """Note a setting that came as text or as a TOML value."""
    flag = _BY_NAME.get(name)
    try:
        if name in OVERRIDES:
            override[name.removeprefix("override.")] = parse_number(str(value))
        elif flag is None:
            raise ConfigError(f"{source}: unknown setting {name!r}{hint(name, _KNOWN)}")
        else:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            values[flag.field] = flag.parse(text)
            if flag.choices and values[flag.field] not in flag.choices:
                raise ConfigError(f"{source}: {name} must be one of {', '.join(filter(None, flag.choices))}, not {text!r}")
    except (ValueError, KeyError):
        raise ConfigError(f"{source}: bad value for {name}: {value!r}") from None


def _read_toml(path: Path) -> dict[str, Any]:
    """The file's settings by flag name. A switch that heads a table is its key `enabled` (`[http] enabled = true`)."""
    try:
        document = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}") from error
    found: dict[str, Any] = {}

    def walk(prefix: str, table: Mapping[str, Any]) -> None:
        for key, value in table.items():
            name = prefix if key == "enabled" else f"{prefix}.{key}" if prefix else key
            if isinstance(value, dict):
                walk(name, value)
            else:
                found[name] = value

    walk("", document)
    return found


def _toml_key(name: str) -> str:
    return f"{name}.enabled" if any(flag.name.startswith(name + ".") for flag in FLAGS) else name


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    if isinstance(value, str | Path):
        return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


def shown_value(value: Any) -> str:
    """A default as help and documentation write it."""
    if value is True:
        return "on"
    return ",".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)


def hint(name: str, known: Iterable[str], prefix: str = "") -> str:
    """A suggestion of what `name` may have meant, for the end of a message."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


def _refuse(parser: argparse.ArgumentParser, word: str) -> NoReturn:
    name = word.removeprefix("--").partition("=")[0]
    parser.error(f"unknown flag {word}{hint(name, _names(parser), '--')}" if word.startswith("-") else f"unexpected argument {word!r}")
