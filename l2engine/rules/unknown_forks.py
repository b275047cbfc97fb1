"""Forks that a chain schedules but this build has no rules for.

Genesis files write a fork as `nameTime` or `nameBlock`, the superchain registry as `name_time`. A key of that form that is in neither
the fork table nor `NOT_FORKS` is taken for a fork: blocks at or after it must not be judged by the older rules.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from l2engine.errors import ConfigError, UnknownFork
from l2engine.types.base import BlockNumber, Timestamp

SUFFIXES = ("Time", "_time", "Block")  # in any case, as Go reads names

NOT_FORKS = frozenset(
    (
        "eip155Block",  # began with eip158Block on every chain
        "pectraBlobScheduleTime",  # how the rollup node reads L1's blob fees (OP specs, protocol/superchain-upgrades)
        "blockTime",  # seconds between blocks, in rollup.json
    )
)
"""Keys that look like forks but change no rule of the engine."""
_ENDINGS = tuple(suffix.lower() for suffix in SUFFIXES)
_NOT_FORKS = frozenset(key.lower() for key in NOT_FORKS)

_LAST = {
    "azul": "with it Base left the OP Stack for rules of its own, which Base's own node follows (docs.base.org/upgrades/azul)",
}
"""Forks that no later build will know either, with the reason: the chain can only be followed up to them."""

_UPGRADE = "install a release that knows it, or take the key out of the configuration if it is not a fork"


@dataclass(frozen=True, slots=True)
class UnknownActivation:
    """An unknown fork and its beginning: a block number or a timestamp."""

    key: str
    """The key in the configuration."""
    block: BlockNumber | None = None
    time: Timestamp | None = None

    @property
    def name(self) -> str:
        """The fork's name: the key without its ending."""
        return _without_suffix(self.key) or self.key

    @property
    def is_last(self) -> bool:
        """Whether the chain is meant to be followed only up to this fork, so that its date alone does not prevent a start."""
        return self.name in _LAST

    @property
    def advice(self) -> str:
        """Advice to the operator, or why nothing can be done."""
        return _LAST.get(self.name, _UPGRADE)

    def reached(self, number: BlockNumber, timestamp: Timestamp) -> bool:
        """Whether a block with this number and timestamp belongs to the fork or a later one."""
        return (self.block is not None and number >= self.block) or (self.time is not None and timestamp >= self.time)

    def error(self) -> UnknownFork:
        """The error for a block or attributes that reach the fork."""
        return UnknownFork(self.name, self.time, self.block, self.advice)

    def __str__(self) -> str:
        if self.time is None:
            return f"{self.name} ({self.key} {self.block})"
        return f"{self.name} ({self.key} {self.time}{_utc(self.time)})"


def find(config: Mapping[str, Any], known: Collection[str]) -> tuple[UnknownActivation, ...]:
    """The unknown forks of a genesis `config`, in the order in which they begin; `known` lists the keys with rules in this build.

    `ConfigError` when such a key's value is not a number; null means that the fork is not scheduled.
    """
    found = []
    for key, value in config.items():
        if (
            value is None
            or not key.lower().endswith(_ENDINGS)
            or key in known
            or genesis_key(key).lower() in _NOT_FORKS
            or _is_dao_without_effect(config, key)
        ):
            continue
        number = _number(key, value)
        found.append(UnknownActivation(key, block=number) if key.lower().endswith("block") else UnknownActivation(key, time=number))
    return tuple(sorted(found, key=lambda fork: (fork.time or 0, fork.block or 0, fork.key)))


def genesis_times(hardforks: Mapping[str, Any]) -> dict[str, Any]:
    """The `_time` keys of a registry's `[hardforks]` table or of a rollup.json, renamed to the form of a genesis `config`."""
    return {genesis_key(key): value for key, value in hardforks.items() if key.endswith("_time")}


def genesis_key(key: str) -> str:
    """`some_fork_time` becomes `someForkTime`; other keys are unchanged."""
    if not key.endswith("_time"):
        return key
    first, *rest = key.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def _is_dao_without_effect(config: Mapping[str, Any], key: str) -> bool:
    """Whether this is a DAO fork that changes no state: on a chain that did not support it, or at block 0."""
    return key == "daoForkBlock" and (not config.get("daoForkSupport") or config[key] == 0)


def _without_suffix(key: str) -> str:
    for ending in sorted(_ENDINGS, key=len, reverse=True):
        if key.lower().endswith(ending):
            return key[: -len(ending)]
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
    except (ValueError, OverflowError, OSError):  # a number too large for a date, as some files write "never"
        return ""
