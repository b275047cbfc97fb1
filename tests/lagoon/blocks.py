"""Lagoon blocks over small states, run by one executor: who pays what, which gas is used, why a block is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from l2engine.chain.process import apply_all, block_env
from l2engine.errors import InvalidBlock, InvalidTransaction
from l2engine.evm.choose import executor_factory, is_native
from l2engine.evm.executor import BlockExecution
from l2engine.refusals import Reason
from l2engine.rules.config import Activation, ChainConfig
from l2engine.rules.forks import LAGOON, Fork
from l2engine.rules.predeploys import BASE_FEE_VAULT, L1_BLOCK, L1_FEE_VAULT, OPERATOR_FEE_VAULT
from l2engine.types.base import EMPTY_OMMERS_HASH, EMPTY_ROOT, ZERO_HASH, Address
from l2engine.types.block import Block
from l2engine.types.delegation import Authorization, sign_authorization
from l2engine.types.execution import BlockResult
from l2engine.types.header import Header
from l2engine.types.transaction import AccessListTransaction, FeeMarketTransaction, LegacyTransaction, SetCodeTransaction
from l2engine.types.transaction_codec import signed
from l2engine.types.transactions import Transactions
from tests.evm.states import CHAIN_ID, Before, world
from tests.helpers.accounts import Signer, signer

COINBASE: Address = b"\xbe" * 20
BURNER: Address = b"\xfe" * 20
"""A contract that takes all its gas and fails."""
SINK: Address = b"\x51" * 20
OVERHEAD = 5 * 2 + 3 + 3 + 2_600
"""Gas of a contract of `burning` beside what it burns."""

BOTH = pytest.mark.parametrize("evm", ["py", "native"])
"""Both executors, one after the other; the native one only where it is installed."""


def burning(gas: int) -> bytes:
    """Code that uses this much gas in a call, and its overhead."""
    return bytes.fromhex("5f5f5f5f5f73") + BURNER + b"\x67" + gas.to_bytes(8, "big") + bytes.fromhex("f100")


@dataclass
class Chain:
    """The situation before a block: accounts, fork, base fee, operator fee."""

    evm: str
    fork: Fork = LAGOON
    number: int = 100
    base_fee: int = 7
    operator_scalar: int = 0
    operator_constant: int = 0
    gas_limit: int = 30_000_000
    coinbase: Address = COINBASE
    accounts: dict[Address, Before] = field(default_factory=dict)

    @property
    def config(self) -> ChainConfig:
        return ChainConfig(CHAIN_ID, (Activation(self.fork, block=0),), is_optimism=True, terminal_total_difficulty=0)

    def begin(self, raws: Sequence[bytes]) -> BlockExecution:
        """A block of these transactions before its first one. `InvalidBlock` for refunds that break a rule of structure."""
        if self.evm == "native" and not is_native("auto"):
            pytest.skip("the native core is not installed: `make native` builds it (needs cargo)")
        slots = {1: 10**3, 3: 0, 5: 188, 6: 684_000, 7: 1, 8: self.operator_scalar << 64 | self.operator_constant}
        accounts = {BURNER: Before(code=b"\xfe", nonce=1), L1_BLOCK: Before(nonce=1, storage=slots)} | self.accounts
        blank = (EMPTY_OMMERS_HASH, self.coinbase, EMPTY_ROOT, EMPTY_ROOT, EMPTY_ROOT, bytes(256), 0)
        parent = Header(ZERO_HASH, *blank, self.number - 1, self.gas_limit, 0, 98, b"", ZERO_HASH, bytes(8))
        header = Header(ZERO_HASH, *blank, self.number, self.gas_limit, 0, 100, b"", ZERO_HASH, bytes(8), self.base_fee)
        env = block_env(self.config, Block(header, tuple(raws), ()), parent)
        return executor_factory(self.evm)(self.config).begin(world(accounts), env)

    def run(self, raws: Sequence[bytes]) -> BlockResult:
        """The executed block. `InvalidTransaction` of the first that is refused."""
        execution = self.begin(raws)
        failed = apply_all(execution, Transactions(raws))
        if failed is not None:
            raise failed[1]
        return execution.finish()

    def refusal(self, raws: Sequence[bytes]) -> tuple[Reason | None, str]:
        """Why the block is refused, as a kind and in words; (None, "") for one that is not."""
        try:
            self.run(raws)
        except InvalidTransaction as error:
            return error.reason, str(error)
        except InvalidBlock as error:
            assert isinstance(error.__cause__, InvalidTransaction)
            return error.__cause__.reason, str(error)
        return None, ""

    def balances(self, raws: Sequence[bytes], *others: Address) -> dict[Address, int]:
        """Balances of coinbase, vaults and `others` after the block."""
        changed = self.run(raws).diff.accounts
        found = {}
        for address in (self.coinbase, BASE_FEE_VAULT, L1_FEE_VAULT, OPERATOR_FEE_VAULT, *others):
            before = self.accounts.get(address, Before()).balance
            account = changed[address].account if address in changed else None
            found[address] = account.balance if account is not None else before
        return found


def pay(
    kind: int, who: Signer, to: Address | None, gas: int, max_fee: int, tip: int | None = None, value: int = 0, data: bytes = b""
) -> bytes:
    """A signed transaction of this type; types 0 and 1 pay `max_fee` for each unit of gas."""
    nonce = who.nonce
    who.nonce += 1
    tip = max_fee if tip is None else tip
    if kind == 0:
        return signed(LegacyTransaction(nonce, max_fee, gas, to, value, data, 35 + 2 * CHAIN_ID), who.key).raw
    if kind == 1:
        return signed(AccessListTransaction(CHAIN_ID, nonce, max_fee, gas, to, value, data), who.key).raw
    if kind == 2:
        return signed(FeeMarketTransaction(CHAIN_ID, nonce, tip, max_fee, gas, to, value, data), who.key).raw
    skipped = sign_authorization(Authorization(CHAIN_ID + 1, SINK, 0), signer("elsewhere").key)  # for another chain: no refund of its own
    return signed(SetCodeTransaction(CHAIN_ID, nonce, tip, max_fee, gas, to or SINK, value, data, (), (skipped,)), who.key).raw


def wealth(*signers: Signer, balance: int = 10**24) -> Mapping[Address, Before]:
    """Accounts with this much wei."""
    return {who.address: Before(balance) for who in signers}
