"""Lagoon's real upgrade deposits, run on the predeploys of Karst with both executors."""

from typing import Any

import pytest

from genesis import loader
from l2engine.dev.upgrades import read_upgrade
from l2engine.evm.native.machine import NativeExecutor, available
from l2engine.evm.reference.machine import ReferenceExecutor
from l2engine.rules.forks import LAGOON
from l2engine.rules.predeploys import DEPOSITOR, ETH_LIQUIDITY, L1_BLOCK, SEQUENCER_FEE_VAULT
from l2engine.types.base import Address, keccak
from tests.evm.states import Before, config, env, world
from tests.lagoon.facts import BUNDLE, Fact, data, facts, unhex

EXECUTORS = [
    ReferenceExecutor,
    pytest.param(NativeExecutor, marks=pytest.mark.skipif(not available(), reason="the native core is not installed: `make native`")),
]
FEATURES: Address = unhex("0x420000000000000000000000000000000000002d")
INTEROP_BIT = 0xC8BC8F9195CFB2D040744AAC63412D02FFC186EA9BD519039EDC4666EE9032BC
IMPLEMENTATION = 0x360894A13BA1A3210667C828492DB98DCA3E2076CC3735A920A3CA505D382BBC  # EIP-1967


class State:
    """The predeploys after a block."""

    def __init__(self, accounts: dict[Address, Before]) -> None:
        self.before, self.view = accounts, world(accounts)
        self.changes: Any = {}
        self.codes: Any = {}

    def run(self, executor: type[Any], *raws: bytes) -> list[Any]:
        """One block of these transactions; what became of each."""
        execution = executor(config(LAGOON)).begin(self.view, env(LAGOON, gas_limit=120_653_172, beneficiary=SEQUENCER_FEE_VAULT))
        results = [execution.apply(raw) for raw in raws]
        diff = execution.finish().diff
        self.changes, self.codes = diff.accounts, diff.codes
        return results

    def account(self, address: Address) -> tuple[int, int, bytes]:
        """Nonce, balance and code."""
        change = self.changes.get(address)
        account = self.view.account(address) if change is None else change.account
        if account is None:
            return 0, 0, b""
        return account.nonce, account.balance, self.codes.get(account.code_hash) or self.view.code(account.code_hash)

    def slot(self, address: Address, slot: int) -> int:
        change = self.changes.get(address)
        if change is not None and slot in change.storage:
            return int(change.storage[slot])
        return int(self.view.storage(address, slot))


def predeploys(name: str) -> dict[Address, Before]:
    alloc = loader.load({"config": {"chainId": 901}, "alloc": data(name)}).alloc
    return {address: Before(account.balance, account.nonce, account.code, dict(account.storage)) for address, account in alloc.items()}


@pytest.mark.parametrize("executor", EXECUTORS)
@facts("activation.json", "activation_run")
def test_bundle_runs_as_recorded(executor: type[Any], fact: Fact) -> None:
    is_multi = fact.input["deposits"].startswith("setFeature")
    state, expected = State(predeploys("karst_state")), fact.expected
    if is_multi:
        state.before[FEATURES].storage[INTEROP_BIT] = 1
    results = state.run(executor, *read_upgrade(BUNDLE, "lagoon", is_multi).deposits)
    got = [{"success": bool(result.receipt.status), "gas_used": result.gas_used} for result in results]
    assert got == [{key: row[key] for key in ("success", "gas_used")} for row in expected["deposits"]]
    assert sum(result.gas_used for result in results) == expected["gas_used_by_them"]
    nonce, balance, _ = state.account(DEPOSITOR)
    assert (nonce, balance) == (expected["depositor_nonce_after"], int(expected["depositor_balance_after"]))
    if not is_multi:
        wanted = State(predeploys("lagoon_state"))
        for address, account in wanted.before.items():
            assert state.account(address) == wanted.account(address), address.hex()
            slots = {slot: state.slot(address, slot) for slot in account.storage if address != L1_BLOCK or slot > 8}
            assert slots == {slot: account.storage[slot] for slot in slots}, address.hex()
        return
    for proxy, row in expected["implementations_changed"].items():
        code = state.account(unhex(row["implementation"]))[2]
        assert state.slot(unhex(proxy), IMPLEMENTATION) == int(row["implementation"], 16)
        assert (len(code), keccak(code)) == (row["code_length"], unhex(row["code_keccak"]))
    assert state.account(ETH_LIQUIDITY)[1] == int(expected["balance_of_ETHLiquidity"])


@pytest.mark.parametrize("executor", EXECUTORS)
def test_failed_upgrade_deposits_keep_their_mint(executor: type[Any]) -> None:
    """INTEROP is set in L1Block but not among the feature flags: the upgrade and the funding fail, and the block stands."""
    state = State(predeploys("karst_state"))
    results = state.run(executor, *read_upgrade(BUNDLE, "lagoon", multi_chain=True).deposits)
    assert [index for index, result in enumerate(results) if not result.receipt.status] == [28, 29]
    assert "a27dcc88" in results[28].output.hex()  # FeatureFlagMismatch
    assert state.account(DEPOSITOR)[:2] == (30, 2**128 - 1)
