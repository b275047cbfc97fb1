"""Base fee and DA footprint around a 0x7D, against the Lagoon facts."""

import random
import struct
from dataclasses import replace
from functools import cache
from typing import Any

from l2engine.rules import fees
from l2engine.types.native_functions import fast_lz_length
from rpc.show.receipts import BlockCosts, show_l1_costs
from tests.lagoon.chain import ATTRIBUTES, GENESIS, block, transaction
from tests.lagoon.facts import Fact, facts, unhex
from tests.rules.headers import base_fee


@facts("gas.json", "next_base_fee_after_refunds")
def test_base_fee_follows_gas_after_refunds(fact: Fact) -> None:
    given, parent = fact.input, fact.input["parent"]
    extra = b"\x01" + struct.pack(">IIQ", given["denominator"], given["elasticity"], given["min_base_fee"])
    made, _ = block([transaction(0x7E, 0)], {})
    fields = {name: parent[name] for name in ("gas_limit", "gas_used", "blob_gas_used")}
    header = replace(made.header, base_fee_per_gas=parent["base_fee"], extra_data=extra, **fields)
    later = header.number + 1, header.timestamp + 2
    assert base_fee(GENESIS.config, header, *later) == fact.expected["next_base_fee"]
    mistaken = replace(header, gas_used=parent["gas_before_refunds"])
    assert base_fee(GENESIS.config, mistaken, *later) == fact.expected["wrong_if_gas_before_refunds_counted"]


@cache
def of_size(size: int) -> bytes:
    """Bytes of a type-2 transaction, good for nothing but their DA size."""
    noise = b"\x02" + random.Random(7).randbytes(2 * size)
    low, high = 1, len(noise)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if fees.da_size(noise[:middle], fast_lz_length) < size else (low, middle)
    return noise[:low]


@facts("gas.json", "da_footprint")
def test_it_has_no_share_in_the_da_footprint(fact: Fact) -> None:
    scalar, rows = fact.input["da_footprint_gas_scalar"], fact.input["transactions"]
    raws = [_raw(row, scalar) for row in rows]
    assert sum(fees.da_footprint(raw, scalar, fast_lz_length) for raw in raws) == fact.expected["blob_gas_used"]
    costs = BlockCosts(GENESIS.config, block(raws[:1], {})[0])
    shown: list[int | None] = [None]
    for raw in raws[1:]:
        assert costs.l1 is not None
        shown.append(int(show_l1_costs(costs.l1, raw)["blobGasUsed"], 16))
    assert shown == fact.expected["receipt_blob_gas_used"]


def _raw(row: dict[str, Any], scalar: int) -> bytes:
    if row["type"] == "0x7e":
        return transaction(0x7E, 0, replace(ATTRIBUTES, da_footprint_gas_scalar=scalar))
    return unhex(row["encoded"]) if "encoded" in row else of_size(row["footprint"] // scalar)
