"""All registered OP Stack chains, found by name or by their genesis block.

`chains.json` names its sources and has one row a chain: its key in the superchain registry, ids, genesis, EIP-1559 constants
(elasticity, denominator, Canyon denominator) and fork times, those of forks that this build does not know included. A file of the
user's (--chain-file) adds chains to it or replaces facts of a chain: in the same form, or a chain's TOML file from the registry.
"""

import difflib
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from genesis import loader
from genesis.chains import RegisteredChain
from l2engine.errors import ConfigError
from l2engine.rules.config import ChainConfig
from l2engine.rules.unknown_forks import NOT_FORKS, genesis_times
from l2engine.types.base import Hash32

# Names that are accepted for a chain besides its key, network and chain joined by a dash, and the chain alone on mainnet.
_ALIASES = {"optimism": "mainnet/op", "optimism-mainnet": "mainnet/op", "optimism-sepolia": "sepolia/op"}

Row = Mapping[str, Any]
"""The facts of one chain, or some of them, as a file has them."""


@dataclass(frozen=True, slots=True)
class Registry:
    """The chains that this node knows."""

    chains: Mapping[str, RegisteredChain]
    """By key: network/chain."""

    def find(self, name: str) -> RegisteredChain:
        """The chain called `name`, in any case: its key (mainnet/op), chain-network (op-mainnet), a chain of mainnet by its own name
        (ink), or a common alias; _ counts as -. `ConfigError` suggests similar names, or lists all.
        """
        wanted = name.lower().replace("_", "-")
        wanted = _ALIASES.get(wanted, wanted)
        for key, chain in self.chains.items():
            network, _, short = key.replace("_", "-").partition("/")
            if wanted in (f"{network}/{short}", f"{short}-{network}", f"{network}-{short}") or (wanted == short and network == "mainnet"):
                return chain
        names = ["-".join(reversed(key.split("/"))) for key in self.chains]
        near = difflib.get_close_matches(wanted, names, 3, 0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known are: {', '.join(names)}"
        raise ConfigError(f"unknown network {name!r}; {hint}")

    def has_id(self, chain_id: int) -> bool:
        """Whether a chain has this id."""
        return any(chain.chain_id == chain_id for chain in self.chains.values())

    def with_genesis(self, chain_id: int, block_0_hash: Hash32) -> RegisteredChain | None:
        """The registered chain that begins with this block, if there is one."""
        same = (chain for chain in self.chains.values() if (chain.chain_id, chain.block_0_hash) == (chain_id, block_0_hash))
        return next(same, None)


def registry(file: Path | None = None) -> Registry:
    """The chains of this build; `file` adds chains or replaces facts. `ConfigError` names the file's first mistake."""
    built_in = _built_in()
    if file is None:
        return built_in
    try:
        return Registry(_merged(built_in.chains, _read(file, built_in.chains)))
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error


def check_dev_rules(config: ChainConfig) -> ChainConfig:
    """The same rules; `ConfigError` when a registered chain's id comes with a rule that only dev chains may have."""
    if config.equal_timestamps and registry().has_id(config.chain_id):
        raise ConfigError(f"config.l2engine.equalTimestamps is for dev chains, and {config.chain_id} is the id of a registered chain")
    return config


@cache
def _built_in() -> Registry:
    return Registry(_merged({}, json.loads(files("genesis").joinpath("chains.json").read_text())))


def _merged(chains: Mapping[str, RegisteredChain], document: Mapping[str, Any]) -> dict[str, RegisteredChain]:
    merged = dict(chains)
    rows = document.get("chains", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ConfigError('"chains" must be a list of objects')
    for row in rows:
        key = _text("key", row.get("key"))
        if key.count("/") != 1:
            raise ConfigError(f"key must be network/chain: {key!r}")
        try:
            facts = _facts(row)
            merged[key] = _changed(merged[key], facts) if key in merged else _new(facts)
        except ConfigError as error:
            raise ConfigError(f"chain {key}: {error}") from error
    for members in _id_lists(document.get("dependency_sets", [])):
        merged |= {key: replace(chain, dependency_set=members) for key, chain in merged.items() if chain.chain_id in members}
    return merged


def _new(facts: Row) -> RegisteredChain:
    needed = ("name", "chain_id", "genesis_hash", "genesis_time", "elasticity", "denominator", "denominator_canyon", "forks")
    if missing := [name for name in needed if name not in facts]:
        raise ConfigError(f"{'eip1559' if missing[0] == 'elasticity' else missing[0]} is missing")
    scheduled = {fork: time for fork, time in facts["forks"].items() if time is not None}
    return RegisteredChain(**{"genesis_number": 0, **facts, "forks": scheduled})


def _changed(chain: RegisteredChain, facts: Row) -> RegisteredChain:
    """The chain with the given facts replaced; its forks one by one, where null takes a fork away."""
    forks = {fork: time for fork, time in {**chain.forks, **facts.get("forks", {})}.items() if time is not None}
    unknown = tuple(fork for fork in chain.time_unknown if fork not in forks)
    return replace(chain, **{"time_unknown": unknown, **facts, "forks": forks})


# ---- reading a file ----------------------------------------------------------------------------------------------------


def _read(path: Path, known: Mapping[str, RegisteredChain]) -> Mapping[str, Any]:
    if path.suffix != ".toml":
        return loader.read(path, "chain file")
    try:
        document = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot be read: {error}") from error
    row = _from_toml(document)
    same = (
        key
        for key, chain in known.items()
        if (chain.chain_id, "0x" + chain.genesis_hash.hex()) == (row.get("chain_id"), row.get("genesis_hash"))
    )
    return {"chains": [{"key": next(same, f"{path.absolute().parent.name}/{path.stem}"), **row}]}


def _from_toml(document: Mapping[str, Any]) -> Row:
    """A row, without its key, from superchain/configs/NETWORK/CHAIN.toml of the registry."""
    block_0, constants = document, document.get("optimism", {})
    for table in ("genesis", "l2"):
        block_0 = block_0.get(table, {})
    row = {
        "name": document.get("name"),
        "chain_id": document.get("chain_id"),
        "genesis_number": block_0.get("number"),
        "genesis_hash": block_0.get("hash"),
        "genesis_time": document.get("genesis", {}).get("l2_time"),
        "sequencer": document.get("sequencer_rpc"),
        "eip1559": [constants.get(f"eip1559_{name}") for name in ("elasticity", "denominator", "denominator_canyon")],
        "forks": {
            name.removesuffix("Time"): time for name, time in genesis_times(document.get("hardforks", {})).items() if name not in NOT_FORKS
        },
    }
    return {name: value for name, value in row.items() if value is not None}


def _facts(row: Row) -> dict[str, Any]:
    """The fields of a `RegisteredChain` that a row gives. `ConfigError` for unknown names and values of the wrong kind."""
    facts: dict[str, Any] = {}
    for name, value in row.items():
        if name == "eip1559":
            facts |= dict(zip(("elasticity", "denominator", "denominator_canyon"), _constants(name, value), strict=True))
        elif name in _FIELDS:
            facts[name] = _FIELDS[name](name, value)
        else:
            raise ConfigError(f"unknown field {name!r}")
    return facts


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name} must be a text")
    return value


def _number(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 64:
        raise ConfigError(f"{name} must be a number from 0 to 2^64-1: {value!r}")
    return value


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be true or false: {value!r}")
    return value


def _hash(name: str, value: Any) -> Hash32:
    digits = _text(name, value).removeprefix("0x")
    try:
        data = bytes.fromhex(digits)
    except ValueError:
        data = b""
    if len(data) != 32:
        raise ConfigError(f"{name} must be 32 bytes in hex: {value!r}")
    return data


def _constants(name: str, value: Any) -> list[int]:
    if not isinstance(value, list) or len(value) != 3:
        raise ConfigError(f"{name} must be [elasticity, denominator, Canyon denominator]")
    numbers = [_number(name, item) for item in value]
    if 0 in numbers:
        raise ConfigError(f"{name} must not be 0")
    return numbers


def _times(name: str, value: Any) -> dict[str, int | None]:
    if not isinstance(value, dict):
        raise ConfigError(f"{name} must be an object of fork names and times")
    return {fork: None if time is None else _number(f"{name}.{fork}", time) for fork, time in value.items()}


def _names(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ConfigError(f"{name} must be a list")
    return tuple(_text(name, item) for item in value)


def _id_lists(value: Any) -> Iterable[tuple[int, ...]]:
    if not isinstance(value, list) or not all(isinstance(members, list) for members in value):
        raise ConfigError("dependency_sets must be a list of lists of chain ids")
    return (tuple(_number("dependency_sets", member) for member in members) for members in value)


_FIELDS: Mapping[str, Callable[[str, Any], Any]] = {
    "key": _text,
    "name": _text,
    "chain_id": _number,
    "genesis_number": _number,
    "genesis_hash": _hash,
    "genesis_time": _number,
    "forks": _times,
    "sequencer": _text,
    "retired": _flag,
    "time_unknown": _names,
}
