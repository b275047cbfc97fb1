"""The deposits of Lagoon's activation block, from the bundle among the vectors."""

import gzip
import json
from functools import cache
from typing import Any

from l2engine.rules.deposits import upgrade_source
from l2engine.rules.predeploys import L1_BLOCK
from l2engine.types.transaction import DepositTransaction
from l2engine.types.transaction_codec import encode_transaction
from tests.lagoon.facts import FOLDER, unhex

DEPOSITOR = unhex("0xdeaddeaddeaddeaddeaddeaddeaddeaddead0001")
ETH_LIQUIDITY = unhex("0x4200000000000000000000000000000000000025")
FUNDS = 2**128 - 1


@cache
def bundle() -> list[dict[str, Any]]:
    """The network upgrade bundle's rows, in order."""
    return list(json.loads(gzip.decompress((FOLDER / "lagoon_nut_bundle.json.gz").read_bytes()))["transactions"])


def set_feature() -> DepositTransaction:
    """Comes before the bundle where several chains depend on each other."""
    data = unhex("46a4d780") + b"INTEROP".ljust(32, b"\0")
    return DepositTransaction(upgrade_source("Interop pre: setFeature(INTEROP)"), DEPOSITOR, L1_BLOCK, 0, 0, 100_000, False, data)


def of_bundle(index: int) -> DepositTransaction:
    """One deposit of the bundle. The label is Interop, not Lagoon."""
    row = bundle()[index]
    source = upgrade_source(f"Interop {index}: {row['intent']}")
    return DepositTransaction(source, unhex(row["from"]), unhex(row["to"]), 0, 0, int(row["gasLimit"]), False, unhex(row["data"]))


def funding() -> DepositTransaction:
    """Comes after the bundle where several chains depend on each other."""
    source = upgrade_source("Interop post: ETHLiquidity Funding")
    return DepositTransaction(source, DEPOSITOR, ETH_LIQUIDITY, FUNDS, FUNDS, 50_000, False, unhex("b60d4288"))


def deposits(chains: int) -> list[bytes]:
    """All of them, encoded, for a dependency set of so many chains."""
    of_all = [of_bundle(index) for index in range(len(bundle()))]
    return [encode_transaction(tx) for tx in ([set_feature(), *of_all, funding()] if chains > 1 else of_all)]
