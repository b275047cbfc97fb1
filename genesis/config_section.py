"""The `config` section of a genesis file: known names in geth's spelling, values checked, and what op-geth refuses refused.

`l2engine/rules/config.py` gives the section its meaning, and refuses forks out of order.
"""

from collections.abc import Callable, Mapping
from typing import Any

from genesis import fields
from genesis.fields import Fields
from l2engine.errors import ConfigError
from l2engine.rules.config import ETHEREUM_KEYS, FORK_KEYS, OP_KEYS

_OPTIONAL = ("muirGlacierBlock", "arrowGlacierBlock", "grayGlacierBlock", "bpo1Time", "bpo2Time", "deltaTime")
"""Forks that files leave out: ice ages, blob parameters, and Delta, which changes nothing in execution."""

_Reader = Callable[[Any, str], Any]


def read_section(value: Any) -> dict[str, Any]:
    """The section as JSON with geth's names, numbers as numbers and null left out; what is not known is kept as it is. `ConfigError`
    names the field that is wrong."""
    named = {_SPELLINGS.get(name.lower(), name): item for name, item in fields.mapping(value, "config").items()}
    section = {name: _READERS.get(name, _as_it_is)(item, f"config.{name}") for name, item in named.items() if item is not None}
    if "chainId" not in section:
        raise ConfigError("config.chainId is missing")
    if "optimism" in section:
        _check_optimism(section)
    return section


def check_no_gap(section: Mapping[str, Any]) -> None:
    """Refuse a schedule in which a fork is missing between others. Here each fork includes the earlier ones; in op-geth each begins
    by its own time alone, so that the blocks would differ. geth refuses it on Ethereum's chains."""
    missing = None
    for key in ETHEREUM_KEYS if section.get("optimism") is None else OP_KEYS:
        if section.get(key) is None:
            missing = missing or (None if key in _OPTIONAL else key)
        elif missing is not None:
            raise ConfigError(f"config.{missing} is missing, but config.{key} is set")


def _check_optimism(section: Mapping[str, Any]) -> None:
    names = ["eip1559Elasticity", "eip1559Denominator"]
    if "canyonTime" in section:
        names.append("eip1559DenominatorCanyon")
    for name in names:
        if not section["optimism"].get(name):
            raise ConfigError(f"config.optimism.{name} is missing or zero")


def _as_it_is(value: Any, name: str) -> Any:
    return value


def _number(bits: int) -> _Reader:
    return lambda value, name: fields.number(value, name, bits)


def _boolean(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{name} is neither true nor false: {fields.shown(value)}")
    return value


def _address(value: Any, name: str) -> str:
    raw = fields.hex_bytes(value, name)
    if len(raw) != 20:
        raise ConfigError(f"{name} has {len(raw)} bytes instead of 20: {value}")
    return "0x" + raw.hex()


def _numbers(*names: str, bits: int) -> _Reader:
    """An object of numbers, of which some may be missing."""

    def read(value: Any, where: str) -> dict[str, int]:
        found = Fields(value, where + ".")
        return {name: found.number(name, bits) for name in names if found.has(name)}

    return read


def _blob_schedule(value: Any, where: str) -> dict[str, dict[str, int]]:
    names = ("target", "max", "baseFeeUpdateFraction")
    schedule = {}
    for fork, item in fields.mapping(value, where).items():
        schedule[fork] = _numbers(*names, bits=64)(item, f"{where}.{fork}")
        for name in names:
            if name not in schedule[fork]:
                raise ConfigError(f"{where}.{fork}.{name} is missing")
    return schedule


_READERS: Mapping[str, _Reader] = {
    "chainId": _number(64),
    **dict.fromkeys((*FORK_KEYS, "daoForkBlock", "eip155Block"), _number(64)),
    "terminalTotalDifficulty": _number(256),
    "terminalTotalDifficultyPassed": _boolean,
    "daoForkSupport": _boolean,
    "depositContractAddress": _address,
    "blobSchedule": _blob_schedule,
    "optimism": _numbers("eip1559Elasticity", "eip1559Denominator", "eip1559DenominatorCanyon", bits=32),  # as headers have them
}
_SPELLINGS = {name.lower(): name for name in _READERS}
