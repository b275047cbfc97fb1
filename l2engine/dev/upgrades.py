"""Network-upgrade deposits, which the rollup node adds to a fork's activation block.

The deposits come in a bundle, a JSON file of the Optimism monorepo (`op-core/nuts/bundles`). An engine does not need it, since it
builds the block that it is given; the dev chain reads one to make a real activation block. Source: digest "Lagoon", sections 9.1 and 9.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genesis import loader
from l2engine.errors import ConfigError
from l2engine.rules.deposits import upgrade_source
from l2engine.rules.predeploys import DEPOSITOR, ETH_LIQUIDITY, L1_BLOCK
from l2engine.types.base import Address, Gas, Wei, keccak
from l2engine.types.transaction import DepositTransaction
from l2engine.types.transaction_codec import encode_transaction

_LABELS = {"karst": "Karst", "lagoon": "Interop"}
"""The first word of the intents in a fork's bundle. Lagoon was called Interop when its deposits were fixed."""
_SET_FEATURE_GAS, _FUND_GAS = 100_000, 50_000
_LIQUIDITY: Wei = 2**128 - 1


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The additions to a fork's activation block."""

    deposits: tuple[bytes, ...] = ()
    """Raw transactions, in order; they follow the user deposits."""
    gas: Gas = 0
    """Added to the gas limit of this one block."""


def read_upgrade(path: Path, fork_name: str, multi_chain: bool = False) -> Upgrade:
    """The upgrade of a fork from its bundle (.json, .gz or .zst). With `multi_chain`, Lagoon's upgrade has two more deposits, whose gas
    is added in any case. `ConfigError` when the file is not a bundle or the fork has no bundle."""
    label = _LABELS.get(fork_name)
    if label is None:
        raise ConfigError(f"{fork_name} has no upgrade bundle; {' and '.join(_LABELS)} have")
    document = loader.read(path, "upgrade bundle")
    try:
        rows = [_deposit(label, str(index), row) for index, row in enumerate(document["transactions"])]
        gas = sum(int(row["gasLimit"]) for row in document["transactions"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} is no upgrade bundle: {error!r}") from error
    if fork_name != "lagoon":
        return Upgrade(tuple(rows), gas)
    before, after = ([_set_feature()], [_fund_liquidity()]) if multi_chain else ([], [])
    return Upgrade((*before, *rows, *after), gas + _SET_FEATURE_GAS + _FUND_GAS)


def _deposit(label: str, place: str, row: Mapping[str, Any]) -> bytes:
    to = row.get("to")
    return _encode(label, place, row["intent"], _bytes(row["from"]), _bytes(to) if to else None, int(row["gasLimit"]), _bytes(row["data"]))


def _set_feature() -> bytes:
    data = keccak(b"setFeature(bytes32)")[:4] + b"INTEROP".ljust(32, b"\0")
    return _encode("Interop", "pre", "setFeature(INTEROP)", DEPOSITOR, L1_BLOCK, _SET_FEATURE_GAS, data)


def _fund_liquidity() -> bytes:
    data = keccak(b"fund()")[:4]
    return _encode("Interop", "post", "ETHLiquidity Funding", DEPOSITOR, ETH_LIQUIDITY, _FUND_GAS, data, _LIQUIDITY)


def _encode(label: str, place: str, intent: str, sender: Address, to: Address | None, gas: Gas, data: bytes, mint: Wei = 0) -> bytes:
    source = upgrade_source(f"{label} {place}: {intent}")
    return encode_transaction(DepositTransaction(source, sender, to, mint, mint, gas, False, data))


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
