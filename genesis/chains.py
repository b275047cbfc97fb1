"""The registered OP Stack chains: facts of the superchain registry, and how they become a genesis.

`chains.json` names its sources and has one line a chain: its key in the registry, ids, genesis, EIP-1559 constants (elasticity,
denominator, Canyon denominator) and fork times, those of forks that this build does not know included. Allocations are not shipped:
they come from the registry, or ready-made from the user.
"""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from genesis import loader
from genesis.loader import Genesis
from l2engine.errors import ConfigError, GenesisMismatch
from l2engine.rules.config import ChainConfig, chain_config
from l2engine.types.base import Hash32

REGISTRY = "https://github.com/ethereum-optimism/superchain-registry"

# What `l2engine` lets one say instead of the registry's network and chain, besides both joined by a dash.
_ALIASES = {
    "optimism": "mainnet/op",
    "optimism-mainnet": "mainnet/op",
    "optimism-sepolia": "sepolia/op",
    "base": "mainnet/base",
    "unichain": "mainnet/unichain",
    "ink": "mainnet/ink",
    "mode": "mainnet/mode",
    "zora": "mainnet/zora",
}

# Where chains that began before Bedrock really begin: the registry names their Bedrock block, block 0 is older.
_BLOCK_0 = {
    "mainnet/op": "7ca38a1916c42007829c55e69d3e9a73265554b586a499015373241b8a3fa48b",
    "mainnet/boba": "dcd9e6a8f9973eaa62da2874959cb152faeb4fd6929177bd6335a1a16074ef9c",
    "sepolia/boba": "c6171953a6a376ece6e33149686044f24f58a387ce2636a54e391d330b2326b5",
}
# Chains of the registry whose blocks hold what no OP Stack specification describes (Celo's transaction types and fee currencies).
_OWN_RULES = ("mainnet/celo", "sepolia/celo-sep")
_BERLIN_BLOCK = {"mainnet/op": 3_950_000}
L1_FORKS = {"canyon": "shanghai", "ecotone": "cancun", "isthmus": "prague", "karst": "osaka"}  # what a fork brings along


@dataclass(frozen=True, slots=True)
class RegisteredChain:
    """One chain of the registry."""

    key: str
    """network/chain, as the registry files it."""
    name: str
    chain_id: int
    genesis_number: int
    """0, or the Bedrock block of a chain that began earlier."""
    genesis_hash: Hash32
    genesis_time: int
    elasticity: int
    denominator: int
    denominator_canyon: int
    forks: Mapping[str, int]
    sequencer: str | None = None
    retired: bool = False
    """Whether the registry has dropped it; the chain itself may go on."""
    time_unknown: tuple[str, ...] = ()
    """Forks that it has, at times that are not known here."""

    @property
    def block_0_hash(self) -> Hash32:
        """The hash that block 0 must have."""
        return bytes.fromhex(_BLOCK_0[self.key]) if self.key in _BLOCK_0 else self.genesis_hash

    def geth_config(self) -> dict[str, Any]:
        """The chain's rules as the `config` section of a geth genesis."""
        bedrock = self.genesis_number
        zero = ("homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg", "istanbul", "muirGlacier")
        config: dict[str, Any] = {"chainId": self.chain_id} | {name + "Block": 0 for name in zero}
        config["berlinBlock"] = _BERLIN_BLOCK.get(self.key, 0)
        for name in ("london", "arrowGlacier", "grayGlacier", "mergeNetsplit", "bedrock"):
            config[name + "Block"] = bedrock
        config |= {"terminalTotalDifficulty": 0, "terminalTotalDifficultyPassed": True, "regolithTime": 0}
        config |= {fork + "Time": time for fork, time in self.forks.items()}
        for fork, l1_fork in L1_FORKS.items():
            if fork in self.forks:
                config[l1_fork + "Time"] = self.forks[fork]
        config["optimism"] = {
            "eip1559Elasticity": self.elasticity,
            "eip1559Denominator": self.denominator,
            "eip1559DenominatorCanyon": self.denominator_canyon,
        }
        return config

    def warnings(self, config: ChainConfig) -> list[str]:
        """Warnings for an operator who follows this chain by the rules of `config`."""
        lines = []
        if self.retired:
            lines.append(f"{self.name} is retired: the superchain registry no longer has it, so its forks to come are not known here")
        known = {activation.fork.name for activation in config.activations}
        lines += [
            f"{self.name} has the fork {fork} at a time that is not known here: give it with --override.{fork} TIME"
            for fork in self.time_unknown
            if fork not in known
        ]
        return lines


@cache
def registered_chains() -> Mapping[str, RegisteredChain]:
    """All chains by registry key."""
    return {row["key"]: _chain(row) for row in json.loads(files("genesis").joinpath("chains.json").read_text())["chains"]}


def _chain(row: Mapping[str, Any]) -> RegisteredChain:
    """One line of `chains.json`."""
    elasticity, denominator, denominator_canyon = row["eip1559"]
    return RegisteredChain(
        key=row["key"],
        name=row["name"],
        chain_id=row["chain_id"],
        genesis_number=row["genesis_number"],
        genesis_hash=bytes.fromhex(row["genesis_hash"].removeprefix("0x")),
        genesis_time=row["genesis_time"],
        elasticity=elasticity,
        denominator=denominator,
        denominator_canyon=denominator_canyon,
        forks=row["forks"],
        sequencer=row.get("sequencer"),
        retired=row.get("retired", False),
        time_unknown=tuple(row.get("time_unknown", ())),
    )


def with_genesis(chain_id: int, block_0_hash: Hash32) -> RegisteredChain | None:
    """The registered chain that begins with this block, if there is one."""
    same = (chain for chain in registered_chains().values() if (chain.chain_id, chain.block_0_hash) == (chain_id, block_0_hash))
    return next(same, None)


def check_dev_rules(config: ChainConfig) -> ChainConfig:
    """The same rules; `ConfigError` when a registered chain's id comes with a rule that only dev chains may have."""
    if config.equal_timestamps and is_registered(config.chain_id):
        raise ConfigError(f"config.l2engine.equalTimestamps is for dev chains, and {config.chain_id} is the id of a registered chain")
    return config


def is_registered(chain_id: int) -> bool:
    """Whether a chain of the registry has this id."""
    return any(chain.chain_id == chain_id for chain in registered_chains().values())


def find(name: str) -> RegisteredChain:
    """The chain called `name`: the registry's key (mainnet/op), chain-network (op-mainnet) or a common alias, any case.

    `ConfigError` when nothing fits names what comes near, or all that there is.
    """
    chains = registered_chains()
    wanted = name.lower()
    wanted = _ALIASES.get(wanted, wanted)
    if wanted in chains:
        return chains[wanted]
    for key, chain in chains.items():
        network, _, short = key.partition("/")
        if wanted in (f"{short}-{network}", f"{network}-{short}"):
            return chain
    names = ["-".join(reversed(key.split("/"))) for key in chains]
    near = difflib.get_close_matches(wanted, names, 3, 0.5)
    raise ConfigError(f"unknown network {name!r}; " + (f"did you mean {' or '.join(near)}?" if near else f"known are: {', '.join(names)}"))


def load_named(name: str, allocation: Path | None, overrides: Mapping[str, int] | None = None) -> Genesis:
    """The genesis of a registered chain: fork times from the registry, the allocation from `allocation`.

    `ConfigError` without an allocation file says where to get it, and for a chain that is not followed why; `GenesisMismatch` has
    both hashes when the file gives another block 0 than the registered one.
    """
    chain = find(name)
    if chain.key in _OWN_RULES:
        raise ConfigError(f"{chain.name} has transaction types and fee currencies of its own, which this engine does not know")
    if allocation is None and chain.key in _BLOCK_0:
        raise ConfigError(f"{chain.name} began before Bedrock: it starts from the state at its Bedrock block, which cannot be imported yet")
    if allocation is None:
        raise ConfigError(
            f"{chain.name} needs its genesis allocation, which is not part of this program. Get\n"
            f"  superchain/extra/genesis/{chain.key}.json.zst and superchain/extra/dictionary\n"
            f"from {REGISTRY}\n"
            "and name the first with --genesis; the second is found in the folder beside it or above it."
        )
    genesis = loader.load(allocation, chain.geth_config())
    if genesis.hash != chain.block_0_hash:
        raise GenesisMismatch(chain.block_0_hash, genesis.hash)
    if not overrides:
        return genesis
    config = override_forks(chain.geth_config(), overrides)  # only now: a fork moved to the start is not in the registered block 0
    return replace(genesis, config=chain_config(config), geth_config=config)


def override_forks(geth_config: Mapping[str, Any], overrides: Mapping[str, int]) -> dict[str, Any]:
    """A `config` section with some fork times replaced, as --override.<fork> asks; Ethereum's times follow."""
    config = dict(geth_config)
    for fork, time in overrides.items():
        config[fork + "Time"] = time
        if fork in L1_FORKS and config.get("optimism") is not None:
            config[L1_FORKS[fork] + "Time"] = time
    return config
