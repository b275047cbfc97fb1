"""Forks that a chain schedules and this build has no rules for.

Genesis files write a fork as `nameTime` or `nameBlock`, the superchain registry as `name_time`. A key of that form that neither the
fork table nor `NOT_FORKS` knows is taken for a fork: no block at or after it may be judged by the rules before it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from l2engine.errors import ConfigError, UnknownFork
from l2engine.types.base import BlockNumber, Timestamp

SUFFIXES = ("Time", "_time", "Block")

NOT_FORKS = frozenset(
    (
        "eip155Block",  # began with eip158Block on every chain
        "pectraBlobScheduleTime",  # how the rollup node reads L1's blob fees (OP specs, protocol/superchain-upgrades)
        "blockTime",  # seconds between blocks, in rollup.json
    )
)
"""Keys that look like forks and change no rule of an engine."""

_LAST = {
    "azul": "with it Base left the OP Stack for rules of its own, which Base's own node follows (docs.base.org/upgrades/azul)",
}
"""Forks that end what can be followed of a chain, with the reason: no later build will know them."""

_UPGRADE = "install a release that knows it, or take the key out of the configuration if it is not a fork"


@dataclass(frozen=True, slots=True)
class UnknownActivation:
    """An unknown fork and its beginning: a block number or a timestamp."""

    key: str
    """As the configuration has it."""
    block: BlockNumber | None = None
    time: Timestamp | None = None

    @property
    def name(self) -> str:
        """The fork's name, which is the key without its ending."""
        return _without_suffix(self.key) or self.key

    @property
    def is_last(self) -> bool:
        """Whether the chain is followed up to here on purpose, so that the date alone is no reason to refuse a start."""
        return self.name in _LAST

    @property
    def advice(self) -> str:
        """What the operator can do, or why nothing can be done."""
        return _LAST.get(self.name, _UPGRADE)

    def reached(self, number: BlockNumber, timestamp: Timestamp) -> bool:
        """Whether a block with this number and timestamp belongs to the fork or a later one."""
        return (self.block is not None and number >= self.block) or (self.time is not None and timestamp >= self.time)

    def error(self) -> UnknownFork:
        """What answers a block or attributes that reach the fork."""
        return UnknownFork(self.name, self.time, self.block, self.advice)

    def __str__(self) -> str:
        if self.time is None:
            return f"{self.name} ({self.key} {self.block})"
        return f"{self.name} ({self.key} {self.time}{_utc(self.time)})"


def find(config: Mapping[str, Any], known: Collection[str]) -> tuple[UnknownActivation, ...]:
    """The unknown forks of a genesis `config`, whose known keys are given, in the order of their beginnings.

    `ConfigError` when such a key has no number; null means that the fork is not scheduled.
    """
    found = []
    for key, value in config.items():
        if (
            value is None
            or not key.endswith(SUFFIXES)
            or key in known
            or genesis_key(key) in NOT_FORKS
            or _is_dao_without_effect(config, key)
        ):
            continue
        number = _number(key, value)
        found.append(UnknownActivation(key, block=number) if key.endswith("Block") else UnknownActivation(key, time=number))
    return tuple(sorted(found, key=lambda fork: (fork.time or 0, fork.block or 0, fork.key)))


def genesis_times(hardforks: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a registry's `[hardforks]` table, or of a rollup.json, that end in `_time`, as a genesis `config` has them."""
    return {genesis_key(key): value for key, value in hardforks.items() if key.endswith("_time")}


def genesis_key(key: str) -> str:
    """`some_fork_time` as `someForkTime`; other keys as they are."""
    if not key.endswith("_time"):
        return key
    first, *rest = key.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def _is_dao_without_effect(config: Mapping[str, Any], key: str) -> bool:
    """The DAO fork changes state in one block after the first, and only on chains that supported it."""
    return key == "daoForkBlock" and (not config.get("daoForkSupport") or config[key] == 0)


def _without_suffix(key: str) -> str:
    for suffix in ("_time", "Time", "Block"):
        if key.endswith(suffix):
            return key.removesuffix(suffix)
    return key


def _number(key: str, value: Any) -> int:
    try:
        if isinstance(value, str):
            number = int(value, 16 if value.startswith("0x") else 10)
        elif isinstance(value, bool) or not isinstance(value, int | float) or int(value) != value:
            raise ValueError
        else:
            number = int(value)
        if number < 0:
            raise ValueError
    except (ValueError, OverflowError):
        raise ConfigError(f"{key} looks like a fork that this build does not know, but has no number: {value!r}") from None
    return number


def _utc(timestamp: Timestamp) -> str:
    try:
        return f", {datetime.fromtimestamp(timestamp, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):  # "never", as some files write it
        return ""
