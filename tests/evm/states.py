"""Small states and blocks for tests of execution: accounts in, one block, accounts out."""

from dataclasses import dataclass, field, replace

from l2engine.conformance.world import World
from l2engine.evm.reference import ReferenceBlockExecution, ReferenceExecutor
from l2engine.rules.config import Activation, ChainConfig
from l2engine.rules.forks import Fork, L1Rules
from l2engine.rules.l1_attributes import L1Attributes, encode_calldata, format_of
from l2engine.rules.predeploys import DEPOSITOR, L1_BLOCK
from l2engine.types.base import EMPTY_CODE_HASH, EMPTY_OMMERS_HASH, EMPTY_ROOT, ZERO_HASH, Address, keccak
from l2engine.types.environment import BlockEnv
from l2engine.types.header import Header
from l2engine.types.state import Account
from l2engine.types.transaction import encode_deposit

CHAIN_ID = 901
BENEFICIARY: Address = b"\xbe" * 20
BASE_FEE = 10**9
ETHER = 10**18


@dataclass
class Before:
    """An account before the block."""

    balance: int = 0
    nonce: int = 0
    code: bytes = b""
    storage: dict[int, int] = field(default_factory=dict)


def world(accounts: dict[Address, Before]) -> World:
    codes = {keccak(item.code): item.code for item in accounts.values()} | {EMPTY_CODE_HASH: b""}
    return World(
        {address: Account(item.nonce, item.balance, keccak(item.code)) for address, item in accounts.items()},
        {address: item.storage for address, item in accounts.items()},
        codes,
        lambda number: keccak(str(number).encode()),
    )


def config(fork: Fork) -> ChainConfig:
    return ChainConfig(CHAIN_ID, (Activation(fork, block=0),), is_optimism=fork.is_optimism, terminal_total_difficulty=0)


def env(fork: Fork, **changes: object) -> BlockEnv:
    parent = Header(
        ZERO_HASH, EMPTY_OMMERS_HASH, bytes(20), EMPTY_ROOT, EMPTY_ROOT, EMPTY_ROOT, bytes(256), 0, 0, 0, 0, 0, b"", ZERO_HASH, bytes(8)
    )
    plain = BlockEnv(
        number=1,
        timestamp=2,
        gas_limit=30_000_000,
        beneficiary=BENEFICIARY,
        prev_randao=b"\x5a" * 32,
        base_fee_per_gas=BASE_FEE if fork.has(L1Rules.LONDON) else None,
        parent=parent,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def block(fork: Fork, accounts: dict[Address, Before], **changes: object) -> ReferenceBlockExecution:
    """A block of this fork about to execute its first transaction."""
    return ReferenceExecutor(config(fork)).begin(world(accounts), env(fork, **changes))


def deposit(
    sender: Address,
    to: Address | None,
    mint: int = 0,
    value: int = 0,
    gas: int = 100_000,
    system: bool = False,
    data: bytes = b"",
) -> bytes:
    return encode_deposit(b"\x01" * 32, sender, to, mint, value, gas, system, data)


def l1_info(fork: Fork, attributes: L1Attributes) -> bytes:
    """The deposit that every L2 block begins with; the tests' L1Block has no code, its slots are set beforehand."""
    return deposit(DEPOSITOR, L1_BLOCK, gas=1_000_000, data=encode_calldata(format_of(fork), attributes))
