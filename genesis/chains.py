"""The chains of the Superchain registry by name: `chains.json` holds their configuration facts, one line a chain.

A line has the chain id, the rollup's genesis block (on migrated chains the Bedrock transition block, and beside it the
hash of block 0), the EIP-1559 constants (elasticity, denominator, Canyon denominator) and the fork times in seconds.
Allocations are not kept here. Source: ethereum-optimism/superchain-registry at 8336d2ae (Base: 5b055be4).
"""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from genesis.loader import Genesis, load, read_json
from l2engine.errors import ConfigError, GenesisMismatch
from l2engine.rules.config import chain_config
from l2engine.types.base import BlockNumber, Hash32, Timestamp

OP_MAINNET = 10

_IMPLIED_L1_TIMES = {"canyon": "shanghai", "ecotone": "cancun", "isthmus": "prague", "karst": "osaka"}
_ETHEREUM_FORKS = (
    "homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg", "istanbul", "muirGlacier",
    "berlin", "london", "arrowGlacier", "grayGlacier", "mergeNetsplit",
)  # fmt: skip
_CELO = {42220, 11142220}
_OP_MAINNET_BERLIN = 3_950_000


@dataclass(frozen=True, slots=True)
class Chain:
    """A registered chain."""

    key: str
    """The registry's own name, such as `mainnet/op`."""
    name: str
    chain_id: int
    genesis_number: BlockNumber
    genesis_hash: Hash32
    """The block where the rollup begins."""
    block_0_hash: Hash32 | None
    """Differs from `genesis_hash` on migrated chains; None where it is not known."""
    eip_1559: tuple[int, int, int]
    """Elasticity, denominator, Canyon denominator."""
    block_time: int
    """Seconds."""
    times: Mapping[str, Timestamp]
    """Fork name to activation time; forks that are not scheduled are absent."""

    def config(self) -> dict[str, Any]:
        """The chain's `config` section as op-geth would make it."""
        config: dict[str, Any] = {"chainId": self.chain_id}
        config |= {fork + "Block": 0 for fork in _ETHEREUM_FORKS}
        if self.genesis_number:  # lived before Bedrock, on Istanbul's rules
            config |= {fork + "Block": self.genesis_number for fork in _ETHEREUM_FORKS[_ETHEREUM_FORKS.index("london") :]}
        if self.chain_id == OP_MAINNET:
            config["berlinBlock"] = _OP_MAINNET_BERLIN
        config |= {"terminalTotalDifficulty": 0, "terminalTotalDifficultyPassed": True, "bedrockBlock": self.genesis_number}
        elasticity, denominator, canyon_denominator = self.eip_1559
        config["optimism"] = {
            "eip1559Elasticity": elasticity,
            "eip1559Denominator": denominator,
            "eip1559DenominatorCanyon": canyon_denominator,
        }
        return override(config, {"regolith": 0, **self.times})


@cache
def chains() -> Mapping[str, Chain]:
    """All registered chains by registry key."""
    facts = json.loads(files("genesis").joinpath("chains.json").read_text())
    return {key: _chain(key, line) for key, line in facts.items()}


def chain(name: str) -> Chain:
    """The chain called `name`: the registry's key (`mainnet/op`), `op-mainnet`, `op_mainnet`, or for short `op`, which means
    the mainnet where there are several. `ConfigError` for an unknown name."""
    found = _names().get(name.lower().replace("_", "-"))
    if found is None:
        close = difflib.get_close_matches(name, _names(), n=3)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise ConfigError(f"unknown network {name!r}{hint}")
    return found


def select(name: str | None, file: Path | str | Mapping[str, Any] | None, overrides: Mapping[str, Timestamp] | None = None) -> Genesis:
    """The genesis that `--network`, `--genesis` and `--override.<fork>` ask for together.

    With a name, the rules are the registry's and only the allocation is the file's; block 0 must be the registered one, and
    overrides do not touch it. Without a name, all is the file's. `ConfigError` when the file is needed and missing, saying
    where to get it; `GenesisMismatch` when block 0 is another one.
    """
    if name is not None:
        genesis = _registered(chain(name), file)
        if not overrides:
            return genesis
        config = override(genesis.config_json, overrides)
        return replace(genesis, config=chain_config(config), config_json=config)
    if file is None:
        raise ConfigError("no chain is named: pass --network NAME or --genesis FILE")
    document = file if isinstance(file, Mapping) else read_json(Path(file))
    config = document.get("config")
    return load(document, override(config, overrides) if overrides and isinstance(config, Mapping) else None)


def override(config: Mapping[str, Any], times: Mapping[str, Timestamp]) -> dict[str, Any]:
    """`config` with these forks at these times, as `--override.<fork>` asks, the Ethereum forks that they imply included."""
    changed = dict(config)
    for fork, time in times.items():
        changed[fork + "Time"] = time
        if config.get("optimism") is not None and fork in _IMPLIED_L1_TIMES:
            changed[_IMPLIED_L1_TIMES[fork] + "Time"] = time
    return changed


def _registered(known: Chain, file: Path | str | Mapping[str, Any] | None) -> Genesis:
    if known.chain_id in _CELO:
        raise ConfigError(f"{known.name} is registered, but needs Celo's own transaction types, which this engine does not have")
    if file is None:
        raise ConfigError(
            f"{known.name} needs its genesis allocation, which is not shipped. Get superchain/extra/genesis/{known.key}.json.zst and "
            f"superchain/extra/dictionary from github.com/ethereum-optimism/superchain-registry, put both into one folder and pass "
            f"--genesis FILE"
        )
    genesis = load(file, known.config())
    if known.block_0_hash is not None and genesis.hash != known.block_0_hash:
        raise GenesisMismatch(known.block_0_hash, genesis.hash)
    return genesis


def _chain(key: str, line: Mapping[str, Any]) -> Chain:
    number, genesis_hash = line["genesis_number"], bytes.fromhex(line["genesis_hash"][2:])
    block_0_hash = bytes.fromhex(line["block_0_hash"][2:]) if "block_0_hash" in line else genesis_hash if number == 0 else None
    return Chain(
        key=key,
        name=line["name"],
        chain_id=line["chain_id"],
        genesis_number=number,
        genesis_hash=genesis_hash,
        block_0_hash=block_0_hash,
        eip_1559=tuple(line["eip_1559"]),
        block_time=line["block_time"],
        times=line["times"],
    )


@cache
def _names() -> Mapping[str, Chain]:
    """Every spelling of every chain's name, lower case."""
    names: dict[str, Chain] = {}
    for key, known in chains().items():  # sorted: mainnet comes before the test networks and keeps the short name
        superchain, short = key.split("/")
        short = short.replace("_", "-")
        for name in (key, f"{short}-{superchain}"):
            names[name] = known
        names.setdefault(short, known)
    return names
