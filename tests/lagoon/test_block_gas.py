"""The gas of a block with refunds: what is left to ask for, what receipts and header say."""

import pytest

from l2engine.refusals import Reason
from l2engine.types.transaction import DepositTransaction
from l2engine.types.transaction_codec import encode_transaction
from tests.evm.states import Before
from tests.helpers.accounts import signer
from tests.lagoon.blocks import BOTH, OVERHEAD, SINK, Chain, burning, pay, wealth
from tests.lagoon.chain import post_execution
from tests.lagoon.facts import Fact, facts

BASE = {0x7E: 21_000, 0: 21_000, 1: 21_000, 2: 21_000, 4: 46_000}
"""Gas before the first frame; type 4 has one tuple."""


def body(chain: Chain, rows: list[dict[str, object]]) -> list[bytes]:
    """Transactions that use the gas asked for: transfers, or calls of contracts that burn the rest."""
    who = signer("burning")
    chain.accounts |= wealth(who)
    raws, refunds = [], []
    for index, row in enumerate(rows):
        kind, limit, used = int(str(row["type"]), 16), int(str(row["gas_limit"])), int(str(row["evm_gas_used"]))
        if kind == 0x7D:
            raws.append(post_execution(chain.number, *refunds))
            continue
        if "refund" in row:
            refunds.append((index, int(str(row["refund"]))))
        to = SINK
        if used > BASE[kind]:
            to = bytes([index + 1]) * 20
            chain.accounts[to] = Before(nonce=1, code=burning(used - BASE[kind] - OVERHEAD))
        if kind == 0x7E:
            raws.append(encode_transaction(DepositTransaction(bytes(32), b"\xdd" * 20, to, 0, 0, limit, False, b"")))
        else:
            raws.append(pay(kind, who, to, limit, 100))
    return raws


@facts("gas.json", "gas_accounting")
@BOTH
def test_gas_of_a_block(fact: Fact, evm: str) -> None:
    rows, expected = fact.input["transactions"], fact.expected
    chain = Chain(evm, gas_limit=fact.input["block_gas_limit"])
    raws = body(chain, rows)
    execution = chain.begin(raws)
    failed = execution.apply_all(raws)
    if not expected["valid"]:
        assert failed is not None and expected["reason"].startswith(f"transaction {failed[0]}: ")
        assert failed[1].reason is Reason.GAS_LIMIT_REACHED  # type: ignore[attr-defined]
        left = int(expected["reason"].split("above the ")[1].split()[0])
        assert chain.gas_limit - execution.gas_before_refunds == left
        return
    assert failed is None
    assert execution.gas_before_refunds == expected["gas_before_refunds"]
    result = execution.finish()
    gas = [receipt.cumulative_gas_used for receipt in result.receipts]
    assert [{"gas_used": b - a, "cumulative_gas_used": b} for a, b in zip([0, *gas], gas, strict=False)] == expected["receipts"]
    assert result.gas_used == expected["header_gas_used"]


@BOTH
@pytest.mark.parametrize("declared", [58_000, 58_001])
def test_refunds_make_no_room_when_run_one_by_one(evm: str, declared: int) -> None:
    who, chain = signer("room"), Chain(evm, gas_limit=100_000)
    chain.accounts |= wealth(who)
    raws = [pay(2, who, SINK, gas, 100) for gas in (50_000, 50_000, declared)]
    execution = chain.begin([*raws, post_execution(100, (1, 21_000))])
    for raw in raws[:2]:
        execution.apply(raw)
    assert execution.gas_before_refunds == 42_000
    if declared == 58_000:
        assert execution.apply(raws[2]).receipt.cumulative_gas_used == 42_000
    else:
        with pytest.raises(Exception, match="gas limit reached"):
            execution.apply(raws[2])
