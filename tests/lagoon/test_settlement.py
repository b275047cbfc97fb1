"""Payments for refunded gas: on both executors, equal to plain integers worked out from the specification."""

from dataclasses import dataclass, replace

import pytest

from l2engine.errors import InvalidTransaction
from l2engine.refusals import Reason
from l2engine.rules.forks import LAGOON, L1Rules
from l2engine.rules.post_execution import balance_changes, settle
from l2engine.rules.predeploys import BASE_FEE_VAULT, L1_FEE_VAULT, OPERATOR_FEE_VAULT
from l2engine.types.base import Address
from tests.evm.states import Before, deposit
from tests.helpers.accounts import signer
from tests.lagoon.blocks import BOTH, BURNER, COINBASE, SINK, Chain, pay, wealth
from tests.lagoon.chain import post_execution
from tests.lagoon.facts import Fact, facts

KINDS = {"legacy": 0, "access_list": 1, "dynamic_fee": 2, "set_code": 4}
WITHOUT_GAS_CAP = LAGOON.then("lagoon", l1=L1Rules.PRAGUE)
"""For transactions of more gas than Osaka lets one have."""


@dataclass
class Settled:
    """One refunded transaction in plain integers: no code of the engine is in here."""

    price: int
    base_fee: int
    evm_gas: int
    refund: int
    scalar: int

    @property
    def gas(self) -> int:
        return self.evm_gas - self.refund

    def changes(self) -> tuple[int, int, int, int]:
        """The balance changes of sender, beneficiary, base fee vault and operator fee vault get (+) or lose (-)."""
        operator = self.refund * self.scalar * 100
        tip = self.price - self.base_fee
        return self.refund * self.price + operator, -self.refund * tip, -self.refund * self.base_fee, -operator


@facts("settlement.json", "settlement")
@BOTH
def test_settled_balances(fact: Fact, evm: str) -> None:
    given, expected = fact.input, {name: int(value) for name, value in fact.expected.items()}
    gas, base_fee, refund = int(given["evm_gas_used"]), int(given["base_fee"]), int(given["refund"])
    max_fee = int(given.get("gas_price", given.get("max_fee_per_gas", 0)))
    tip = int(given.get("max_priority_fee_per_gas", max_fee))
    scalar = given["operator_fee_scalar"]
    fork = LAGOON if gas <= 2**24 else WITHOUT_GAS_CAP
    who = signer("settled")
    chain = Chain(evm, fork, 7, base_fee, scalar, given["operator_fee_constant"], max(gas, 30_000_000))
    chain.accounts |= wealth(who, balance=2**250)
    # A plain transfer where its 21,000 are all that is used; else a call that burns its whole limit, and fails.
    raw = pay(KINDS[given["transaction"]], who, SINK if gas == 21_000 else BURNER, gas, max_fee, tip)
    plain = chain.balances([raw], who.address)
    result = chain.run([raw, post_execution(7, (0, refund))])
    settled = chain.balances([raw, post_execution(7, (0, refund))], who.address)

    names = {
        who.address: expected["sender_credit"],
        COINBASE: -expected["beneficiary_debit"],
        BASE_FEE_VAULT: -expected["base_fee_vault_debit"],
        OPERATOR_FEE_VAULT: -expected["operator_fee_vault_debit"],
        L1_FEE_VAULT: -expected["l1_fee_vault_debit"],
    }
    assert {address: settled[address] - plain[address] for address in settled} == names
    assert result.gas_used == result.receipts[0].cumulative_gas_used == expected["canonical_gas_used"]
    by_hand = Settled(expected["effective_gas_price"], base_fee, gas, refund, scalar)
    assert by_hand.gas == result.gas_used
    assert by_hand.changes() == tuple(names[address] for address in (who.address, COINBASE, BASE_FEE_VAULT, OPERATOR_FEE_VAULT))


# ---- accounts that coincide -----------------------------------------------------------------------------------------


class Purse:
    """Balances by name of the roles that accounts play."""

    def __init__(self, balances: dict[str, str]) -> None:
        self.balances = {name: int(wei) for name, wei in balances.items()}
        self.touched: set[str] = set()

    def of(self, role: str) -> str:
        return next(name for name in self.balances if role in name.split("_and_"))

    def name(self, address: Address) -> str:
        roles = {b"s": "sender", b"b": "beneficiary", BASE_FEE_VAULT: "base_fee_vault", OPERATOR_FEE_VAULT: "operator_fee_vault"}
        return self.of(roles[address])

    def get_balance(self, address: Address) -> int:
        return self.balances[self.name(address)]

    def delta_balance(self, address: Address, delta: int) -> None:
        self.balances[self.name(address)] += delta
        self.touched.add(self.name(address))


@facts("settlement.json", "settlement_balances")
def test_settled_accounts_that_coincide(fact: Fact) -> None:
    given = fact.input
    purse = Purse(given["balances_after_evm"])
    changes = balance_changes(b"s", b"b", given["refund"], given["effective_gas_price"], given["base_fee"], given["operator_delta"])
    if not fact.expected["valid"]:
        with pytest.raises(InvalidTransaction, match=r"gas refund cannot be settled: .* has less than 5 wei") as caught:
            settle(purse, changes)
        assert caught.value.reason is Reason.SETTLEMENT_UNDERFLOWS and caught.value.facts["address"] == BASE_FEE_VAULT
        return
    settle(purse, changes)
    assert purse.balances == {name: int(wei) for name, wei in fact.expected["balances"].items()}
    if given["case"] == "zero deltas touch nothing":
        assert purse.touched == {"sender", "base_fee_vault"}


def after(evm: str, coinbase: str, refund: int) -> dict[Address, int]:
    """Balances when a transfer of 21,000 gas is refunded in a block whose beneficiary is the one named."""
    who = signer("same")
    chain = Chain(evm, coinbase={"sender": who.address, "vault": BASE_FEE_VAULT}[coinbase], base_fee=40, operator_scalar=3)
    chain.accounts |= wealth(who, balance=10**12)
    raw = pay(2, who, SINK, 21_000, 100)
    return chain.balances([raw, post_execution(100, (0, refund))] if refund else [raw], who.address)


@BOTH
def test_sender_who_is_the_beneficiary(evm: str) -> None:
    who = signer("same").address
    plain, settled = after(evm, "sender", 0), after(evm, "sender", 21_000)
    assert settled[who] - plain[who] == 21_000 * 40 + 21_000 * 300
    assert settled[BASE_FEE_VAULT] == settled[OPERATOR_FEE_VAULT] == 0
    assert settled[who] == 10**12 - settled[L1_FEE_VAULT]


@BOTH
def test_beneficiary_that_is_the_base_fee_vault(evm: str) -> None:
    plain, settled = after(evm, "vault", 0), after(evm, "vault", 10)
    assert plain[BASE_FEE_VAULT] == 21_000 * 100 and settled[BASE_FEE_VAULT] == 20_990 * 100


# ---- a whole block --------------------------------------------------------------------------------------------------


@BOTH
def test_refunded_wei_are_spent_later_in_the_block(evm: str) -> None:
    who = signer("spender")
    gas, price, scalar = 60_000, 50, 2
    burnt = gas * price + gas * scalar * 100
    chain = Chain(evm, operator_scalar=scalar)
    first = pay(2, who, BURNER, gas, price)
    second = pay(2, who, SINK, 21_000, price)
    rich = replace(chain, accounts={who.address: Before(10**18)}).begin([])
    chain.accounts[who.address] = Before(burnt + sum(rich.apply(raw).l1_fee for raw in (first, second)))
    assert chain.refusal([first, second])[0] is Reason.INSUFFICIENT_FUNDS
    needed = (21_000 * price + 21_000 * scalar * 100) // (price + scalar * 100)
    assert chain.refusal([first, second, post_execution(100, (0, needed - 1))])[0] is Reason.INSUFFICIENT_FUNDS
    assert chain.refusal([first, second, post_execution(100, (0, needed))]) == (None, "")


@BOTH
def test_every_receipt_and_balance_of_a_block(evm: str) -> None:
    """Success, failure, creation, delegation; refunds of 1, of a part, of everything; deposits between them."""
    rich, poor = signer("rich"), signer("poor")
    chain = Chain(evm, base_fee=11, operator_scalar=5, operator_constant=6)
    chain.accounts |= wealth(rich, poor)
    after_deposit = replace(poor, nonce=4)  # which counts one as well
    rows = [  # transaction, price, refund; None for what is never refunded
        (deposit(rich.address, SINK, gas=50_000), 0, 0),
        (pay(0, poor, SINK, 30_000, 19), 19, 1),
        (pay(1, poor, BURNER, 70_000, 12), 12, 70_000),
        (pay(2, poor, None, 90_000, 500, 4, data=bytes.fromhex("600160015500")), 15, 999),
        (deposit(poor.address, BURNER, gas=80_000), 0, 0),
        (pay(4, after_deposit, BURNER, 61_000, 15, 0), 11, 20_500),
        (pay(2, after_deposit, SINK, 21_000, 500, 2), 13, 0),
    ]
    raws = [raw for raw, _, _ in rows]
    plain = chain.run(raws)
    refunds = [(index, refund) for index, (_, _, refund) in enumerate(rows) if refund]
    block = [*raws, post_execution(100, *refunds)]
    result = chain.run(block)

    used = [b.cumulative_gas_used - a for a, b in zip((0, *(r.cumulative_gas_used for r in plain.receipts)), plain.receipts, strict=False)]
    by_hand = [Settled(price, 11, gas, refund, 5) for gas, (_, price, refund) in zip(used, rows, strict=True)]
    expected, total = [], 0
    for receipt, settled in zip(plain.receipts, by_hand, strict=True):
        total += settled.gas
        expected.append(replace(receipt, cumulative_gas_used=total))
    last = result.receipts[-1]
    assert list(result.receipts[:-1]) == expected
    assert (last.type, last.status, last.cumulative_gas_used, last.logs) == (0x7D, 1, total, ())
    assert result.gas_used == total
    assert plain.value - result.value == -sum(settled.changes()[1] for settled in by_hand)

    before, now = chain.balances(raws, poor.address, rich.address), chain.balances(block, poor.address, rich.address)
    moved = [sum(column) for column in zip(*(settled.changes() for settled in by_hand), strict=True)]
    roles = (poor.address, COINBASE, BASE_FEE_VAULT, OPERATOR_FEE_VAULT)
    assert {address: now[address] - before[address] for address in now if now[address] != before[address]} == dict(
        zip(roles, moved, strict=True)
    )
    assert sum(moved) == 0
