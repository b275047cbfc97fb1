"""The configuration of one chain: which fork is in force at a block, and the parameters that differ between chains.

Read from the `config` section of a geth genesis (or from registry facts in `genesis/`). Sources: digest 1.1 and 1.12.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from l2engine.errors import ConfigError
from l2engine.rules import forks, unknown_forks
from l2engine.rules.forks import BlobSchedule, Fork
from l2engine.rules.unknown_forks import UnknownActivation
from l2engine.types.base import BlockNumber, Timestamp

_NO_BLOCK_IS_LATER: BlockNumber = 1 << 63


@dataclass(frozen=True, slots=True)
class Activation:
    """When a fork begins: from a block number on, from a timestamp on, or when both are reached."""

    fork: Fork
    block: BlockNumber | None = None
    time: Timestamp | None = None

    def reached(self, number: BlockNumber, timestamp: Timestamp) -> bool:
        return (self.block is None or number >= self.block) and (self.time is None or timestamp >= self.time)


@dataclass(frozen=True, slots=True)
class EIP1559Parameters:
    """The chain's base fee constants, in force until Holocene puts them into headers."""

    elasticity: int = 2
    denominator: int = 8
    denominator_canyon: int = 8


@dataclass(frozen=True, slots=True)
class ChainConfig:
    """One chain's rules over time."""

    chain_id: int
    activations: tuple[Activation, ...]
    """In fork order; the last one reached is in force."""
    eip_1559: EIP1559Parameters = EIP1559Parameters()
    is_optimism: bool = False
    bedrock_block: BlockNumber = 0
    terminal_total_difficulty: int | None = None
    deposit_contract: bytes | None = None
    """EIP-6110, Ethereum only."""
    unknown_forks: tuple[UnknownActivation, ...] = ()
    """Scheduled forks without rules in this build, the earliest first."""
    equal_timestamps: bool = False
    """Whether a block may have its parent's timestamp: a rule of l2engine's own, for dev chains alone."""

    def fork_at(self, number: BlockNumber, timestamp: Timestamp) -> Fork:
        """The fork in force for a block with this number and timestamp."""
        for activation in reversed(self.activations):
            if activation.reached(number, timestamp):
                return activation.fork
        raise ConfigError(f"no fork is active at block {number}")

    def fork_at_time(self, timestamp: Timestamp) -> Fork:
        """The fork in force at a time, assuming that every fork activated by block number has begun."""
        return self.fork_at(_NO_BLOCK_IS_LATER, timestamp)

    def fork_of_parent(self, fork: Fork, parent: tuple[BlockNumber, Timestamp]) -> Fork:
        """The fork in force for `parent` (number, timestamp), where `fork` is in force for its child: nearly always the same."""
        for activation in self.activations:
            if activation.fork is fork and activation.reached(*parent):
                return fork
        return self.fork_at(*parent)

    def next_fork(self, now: Timestamp) -> tuple[str, Timestamp] | None:
        """The name and time of the next fork after `now` that is scheduled by time, known to this build or not."""
        known = [(activation.time, activation.fork.name) for activation in self.activations if activation.time is not None]
        coming = [*known, *((fork.time, fork.name) for fork in self.unknown_forks if fork.time is not None)]
        time, name = min(((time, name) for time, name in coming if time > now), default=(0, ""))
        return (name, time) if name else None

    def earliest_child(self, parent: Timestamp) -> Timestamp:
        """The lowest timestamp that a child of a block with the timestamp `parent` may have."""
        return parent if self.equal_timestamps else parent + 1

    def require_known(self, number: BlockNumber, timestamp: Timestamp) -> None:
        """Raise `UnknownFork` when a block with this number and timestamp is at or after a fork that this build does not know."""
        for fork in self.unknown_forks:
            if fork.reached(number, timestamp):
                raise fork.error()

    def activated(self, parent: tuple[BlockNumber, Timestamp], block: tuple[BlockNumber, Timestamp]) -> tuple[Fork, ...]:
        """The forks whose first block is this one (number, timestamp), the child of `parent`."""
        begun: list[Fork] = []
        for item in reversed(self.activations):
            if item.reached(*parent):  # and so are all the earlier ones
                break
            if item.reached(*block):
                begun.insert(0, item.fork)
        return tuple(begun)


DEV_RULES: Mapping[str, Any] = {"l2engine": {"equalTimestamps": True}}
"""The section of a genesis `config` by which a dev chain lets a block have its parent's timestamp."""

_ETHEREUM_BLOCK_KEYS = (
    ("homesteadBlock", forks.HOMESTEAD),
    ("eip150Block", forks.TANGERINE_WHISTLE),
    ("eip158Block", forks.SPURIOUS_DRAGON),
    ("byzantiumBlock", forks.BYZANTIUM),
    ("constantinopleBlock", forks.CONSTANTINOPLE),
    ("petersburgBlock", forks.PETERSBURG),
    ("istanbulBlock", forks.ISTANBUL),
    ("muirGlacierBlock", forks.MUIR_GLACIER),
    ("berlinBlock", forks.BERLIN),
    ("londonBlock", forks.LONDON),
    ("arrowGlacierBlock", forks.ARROW_GLACIER),
    ("grayGlacierBlock", forks.GRAY_GLACIER),
)
_ETHEREUM_TIME_KEYS = (
    ("shanghaiTime", forks.SHANGHAI, "shanghai"),
    ("cancunTime", forks.CANCUN, "cancun"),
    ("pragueTime", forks.PRAGUE, "prague"),
    ("osakaTime", forks.OSAKA, "osaka"),
    ("bpo1Time", forks.BPO1, "bpo1"),
    ("bpo2Time", forks.BPO2, "bpo2"),
)
_OP_TIME_KEYS = tuple((fork.name + "Time", fork) for fork in forks.OP_FORKS[1:])
ETHEREUM_KEYS = (*(key for key, _ in _ETHEREUM_BLOCK_KEYS), *(key for key, _, _ in _ETHEREUM_TIME_KEYS))
"""Keys of a genesis `config` that schedule Ethereum's forks, in fork order."""
OP_KEYS = tuple(key for key, _ in _OP_TIME_KEYS)
"""Keys that schedule the OP forks after Bedrock, in fork order."""
FORK_KEYS = frozenset((*ETHEREUM_KEYS, *OP_KEYS, "mergeNetsplitBlock", "bedrockBlock"))
"""All keys that schedule a fork which this build knows."""


def chain_config(config: Mapping[str, Any]) -> ChainConfig:
    """The rules described by a geth genesis `config`. Unknown keys are ignored, but those that look like a fork are listed in
    `unknown_forks`. `ConfigError` for contradictions: forks out of order, OP times that differ from the L1 times they imply."""
    known = _op_config(config) if config.get("optimism") is not None else _ethereum_config(config)
    return replace(known, unknown_forks=unknown_forks.find(config, FORK_KEYS), equal_timestamps=_equal_timestamps(config))


def geth_config(config: ChainConfig) -> dict[str, Any]:
    """The geth genesis `config` that describes these rules: the inverse of `chain_config`. `ConfigError` for schedules that no
    genesis can express."""
    keys = {fork.name: key for key, fork in (*_ETHEREUM_BLOCK_KEYS, ("mergeNetsplitBlock", forks.PARIS))}
    keys |= {fork.name: key for key, fork, _ in _ETHEREUM_TIME_KEYS}
    keys |= {fork.name: key for key, fork in (("bedrockBlock", forks.BEDROCK), *_OP_TIME_KEYS)}
    document: dict[str, Any] = {"chainId": config.chain_id}
    schedule = {}
    for activation in config.activations:
        name = activation.fork.name
        if name in keys:
            document[keys[name]] = activation.block if keys[name].endswith("Block") else activation.time
        if activation.fork.blobs is not None and not config.is_optimism:
            blobs = activation.fork.blobs
            schedule[name] = {"target": blobs.target, "max": blobs.max, "baseFeeUpdateFraction": blobs.base_fee_update_fraction}
    if config.is_optimism:
        fees = config.eip_1559
        names = ("eip1559Elasticity", "eip1559Denominator", "eip1559DenominatorCanyon")
        document["optimism"] = dict(zip(names, (fees.elasticity, fees.denominator, fees.denominator_canyon), strict=True))
    else:
        document |= {"blobSchedule": schedule, "terminalTotalDifficulty": config.terminal_total_difficulty}
        if config.deposit_contract:
            document["depositContractAddress"] = "0x" + config.deposit_contract.hex()
    if config.equal_timestamps:
        document |= DEV_RULES
    for unknown in config.unknown_forks:
        document[unknown.key] = unknown.block if unknown.time is None else unknown.time
    if chain_config(document) != config:
        raise ConfigError("no genesis describes this schedule of forks")
    return document


def _op_config(config: Mapping[str, Any]) -> ChainConfig:
    bedrock = int(config.get("bedrockBlock") or 0)
    activations: list[Activation] = []
    if bedrock > 0:
        activations = _block_activations(config)  # the chain before Bedrock, of which only the headers matter
    activations.append(Activation(forks.BEDROCK, block=bedrock))
    for key, fork in _OP_TIME_KEYS:
        time = config.get(key)
        if time is not None:
            activations.append(Activation(fork, block=bedrock, time=int(time)))  # never before Bedrock, also on migrated chains
    _check_order(activations)
    _check_l1_times(config)
    section = config["optimism"]
    elasticity = int(section.get("eip1559Elasticity") or 6)
    denominator = int(section.get("eip1559Denominator") or 50)
    canyon = int(section.get("eip1559DenominatorCanyon") or 250)
    return ChainConfig(
        chain_id=int(config["chainId"]),
        activations=tuple(activations),
        eip_1559=EIP1559Parameters(elasticity, denominator, canyon),
        is_optimism=True,
        bedrock_block=bedrock,
        terminal_total_difficulty=0,
    )


def _equal_timestamps(config: Mapping[str, Any]) -> bool:
    """The rule in the section "l2engine" of an OP chain. A section that says anything else is refused: it may be a rule, too."""
    section = config.get("l2engine")
    if section is None:
        return False
    if config.get("optimism") is None or section not in (DEV_RULES["l2engine"], {"equalTimestamps": False}):
        raise ConfigError(f'config.l2engine: an OP dev chain may have {{"equalTimestamps": true}} here, not {section!r}')
    return bool(section["equalTimestamps"])


def _ethereum_config(config: Mapping[str, Any]) -> ChainConfig:
    activations = _block_activations(config)
    total_difficulty = config.get("terminalTotalDifficulty")
    merge = config.get("mergeNetsplitBlock")
    if total_difficulty is not None:
        if merge is None and (int(total_difficulty) == 0 or config.get("terminalTotalDifficultyPassed")):
            merge = 0
        if merge is not None:
            activations.append(Activation(forks.PARIS, block=int(merge)))
    schedule = config.get("blobSchedule") or {}
    for key, fork, name in _ETHEREUM_TIME_KEYS:
        if config.get(key) is not None:
            if name in schedule:
                blobs = schedule[name]
                fork = fork.then(
                    fork.name, blobs=BlobSchedule(int(blobs["target"]), int(blobs["max"]), int(blobs["baseFeeUpdateFraction"]))
                )
            activations.append(Activation(fork, time=int(config[key])))
    _check_order(activations)
    deposit_contract = config.get("depositContractAddress")
    return ChainConfig(
        chain_id=int(config["chainId"]),
        activations=tuple(activations),
        terminal_total_difficulty=None if total_difficulty is None else int(total_difficulty),
        deposit_contract=bytes.fromhex(deposit_contract.removeprefix("0x")) if deposit_contract else None,
    )


def _block_activations(config: Mapping[str, Any]) -> list[Activation]:
    activations = [Activation(forks.FRONTIER, block=0)]
    for key, fork in _ETHEREUM_BLOCK_KEYS:
        if config.get(key) is not None:
            activations.append(Activation(fork, block=int(config[key])))
    return activations


def _check_order(activations: list[Activation]) -> None:
    for earlier, later in pairwise(activations):
        for a, b in ((earlier.block, later.block), (earlier.time, later.time)):
            if a is not None and b is not None and a > b:
                raise ConfigError(f"unsupported fork ordering: {earlier.fork.name} at {a}, but {later.fork.name} at {b}")


def _check_l1_times(config: Mapping[str, Any]) -> None:
    """op-geth refuses an OP chain whose Ethereum fork times differ from the OP forks that imply them."""
    for op_key, l1_key in (
        ("canyonTime", "shanghaiTime"),
        ("ecotoneTime", "cancunTime"),
        ("isthmusTime", "pragueTime"),
        ("karstTime", "osakaTime"),
    ):
        if config.get(l1_key) is not None and config.get(l1_key) != config.get(op_key):
            raise ConfigError(f"{l1_key} {config.get(l1_key)} must equal {op_key} {config.get(op_key)}")
