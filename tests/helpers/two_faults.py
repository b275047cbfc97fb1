"""Transactions that are wrong in one or two ways, made by name, with the chains, blocks and accounts that they meet.

Which fault is named first shows the order of the checks. `two_faults.json` holds what op-geth answered to each
(tests/helpers/op_geth_answers.py); tests/interop/record_two_faults.py asks it again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import combinations
from typing import Any

from genesis import loader
from genesis.dev import dev_genesis
from l2engine.chain.payload import draft_block, from_block
from l2engine.dev.l1 import ImaginedL1, dev_attributes
from l2engine.rules import blobs, fees
from l2engine.rules.config import ChainConfig
from l2engine.rules.forks import PRAGUE, L1Rules
from l2engine.rules.intrinsic_gas import floor_gas, intrinsic_gas
from l2engine.rules.l1_attributes import L1Attributes, encode_calldata, format_of
from l2engine.rules.predeploys import CONSOLIDATION_REQUESTS, DEPOSITOR, L1_BLOCK, WITHDRAWAL_REQUESTS
from l2engine.types.base import MAX_UINT256, Address
from l2engine.types.block import Block
from l2engine.types.native_functions import ordered_root
from l2engine.types.payload import ExecutionPayload, PayloadAttributes
from l2engine.types.transaction import DepositTransaction
from l2engine.types.transaction_codec import decode_transaction, encode_transaction
from tests.helpers.faults import CHAIN_ID, DEPOSIT, FAULTS, GAS_LIMIT, SINK, TYPES_BY_CUSTOM, Draft, Fault, gas_needed, key_of, sender_of

CHAINS = ("holocene", "isthmus", "jovian", "karst", "prague", "osaka")
"""Each with this fork in force from its genesis on; the last two are Ethereum's."""
TIME, RICH, LEFT = 1_700_000_000, 10**24, 5_000
BURNER: Address = bytes([0xFE]) * 20
ATTRIBUTES = L1Attributes(
    base_fee=2 * 10**9,
    overhead=188,
    scalar=684_000,
    blob_base_fee=3 * 10**8,
    base_fee_scalar=5_227,
    blob_base_fee_scalar=1_014_213,
    operator_fee_scalar=7_000,
    operator_fee_constant=11,
    da_footprint_gas_scalar=400,
)
L1_BLOCK_SLOTS = {1: 2 * 10**9, 3: 5_227 << 96 | 1_014_213 << 64, 5: 188, 6: 684_000, 7: 3 * 10**8, 8: 400 << 96 | 7_000 << 64 | 11}


@dataclass(frozen=True)
class Case:
    """One transaction with its faults."""

    name: str
    raw: bytes
    sender: Address
    account: dict[str, Any]
    """As genesis files have it."""
    blob_hashes: tuple[bytes, ...] = ()
    crowded: bool = False


class Chain:
    """One fork's cases, and the genesis and blocks around them."""

    def __init__(self, name: str) -> None:
        self.name = name
        ethereum = name in ("prague", "osaka")
        self.genesis = _ethereum_genesis(name) if ethereum else dev_genesis(name, TIME, accounts=())
        self.config: ChainConfig = loader.load(self.genesis).config
        self.fork = self.config.fork_at(1, TIME + 2)
        self.cases = tuple(self._cases())
        self.by_name = {case.name: case for case in self.cases}
        alloc: dict[str, Any] = self.genesis["alloc"]
        alloc["0x" + BURNER.hex()] = {"balance": "0x0", "code": "0xfe"}
        alloc["0x" + sender_of(key_of("filler")).hex()] = {"balance": hex(RICH)}
        if not ethereum:  # an L1Block that keeps its values
            storage = {f"0x{slot:064x}": f"0x{value:064x}" for slot, value in L1_BLOCK_SLOTS.items()}
            alloc["0x" + L1_BLOCK.hex()] = {"balance": "0x0", "code": "0x00", "storage": storage}
        alloc |= {"0x" + case.sender.hex(): case.account for case in self.cases}

    # ---- blocks -----------------------------------------------------------------------------------------------------

    @cached_property
    def _parent(self) -> Any:
        return loader.load(self.genesis).block.header

    def before(self, crowded: bool) -> tuple[bytes, ...]:
        """The transactions that stand before a case's own: the L1-attributes deposit, and those that fill a crowded block."""
        if not self.fork.is_optimism:
            return tuple(_filler(nonce, gas) for nonce, gas in enumerate((GAS_LIMIT // 2, GAS_LIMIT // 2 - LEFT))) if crowded else ()
        data = encode_calldata(format_of(self.fork), ATTRIBUTES)
        first = encode_transaction(DepositTransaction(b"\x01" * 32, DEPOSITOR, L1_BLOCK, 0, 0, 1_000_000, False, data))
        if not crowded:
            return (first,)
        tx = decode_transaction(first)
        gas = GAS_LIMIT - max(intrinsic_gas(self.fork, tx), floor_gas(self.fork, tx)) - LEFT
        return first, encode_transaction(DepositTransaction(b"\x02" * 32, BURNER, BURNER, 0, 0, gas, False, b""))

    def attributes(self, case: Case) -> PayloadAttributes:
        """Attributes that force the case's transaction into the block after genesis."""
        plain = ImaginedL1(gas_limit=GAS_LIMIT)
        attributes = dev_attributes(self.config, self._parent, TIME + 2, plain)
        return replace(attributes, transactions=(*self.before(case.crowded), case.raw), no_tx_pool=True)

    def block(self, case: Case) -> Block:
        """A block with the case's transaction last. Its roots and its gas are nobody's: the transaction is refused before."""
        draft = draft_block(self.config, self._parent, self.attributes(case))
        transactions = draft.transactions
        footprint = len(case.blob_hashes) * blobs.GAS_PER_BLOB
        if self.fork.is_optimism:
            paying = (raw for raw in transactions if raw[0] != DEPOSIT and self.fork.da_footprint)
            footprint = sum(fees.da_footprint(raw, ATTRIBUTES.da_footprint_gas_scalar or 0) for raw in paying)
        header = replace(draft.header, transactions_root=ordered_root(transactions), blob_gas_used=footprint, gas_used=0)
        return Block(header, transactions, (), draft.withdrawals)

    def payload(self, case: Case) -> ExecutionPayload:
        """The payload that carries the case's block."""
        payload = from_block(self.config, self.block(case))
        return payload if self.fork.is_optimism else replace(payload, withdrawals_root=None)

    # ---- cases ------------------------------------------------------------------------------------------------------

    def _cases(self) -> Iterator[Case]:
        known = [fault for fault in FAULTS if fault.exists(self.fork)]
        yield from (self._case((fault,)) for fault in known)
        if self.fork.has(L1Rules.PRAGUE):
            yield self._case((), "delegated sender", code=b"\xef\x01\x00" + SINK)
        for kind in (5, 0x7D):
            case = self._case((), f"type 0x{kind:02x}")
            yield replace(case, raw=bytes([kind]) + case.raw[1:])
        for pair in combinations(known, 2):
            if pair[0].meets(pair[1]) and self._type(pair) is not None:
                yield self._case(pair)

    def _type(self, faults: tuple[Fault, ...]) -> int | None:
        """The type of a transaction with these faults, one that by itself is no fault if there is one."""
        needs_many = {"limit", "intrinsic"} <= {spot for fault in faults for spot in fault.spots}
        possible = set(TYPES_BY_CUSTOM).intersection(*(fault.types for fault in faults))
        if needs_many:  # only authorizations make so much intrinsic gas out of so few bytes
            possible &= {4}
        odd = set() if any("type" in fault.spots for fault in faults) else self._odd_types()
        return next((kind for kind in TYPES_BY_CUSTOM if kind in possible - odd), None)

    def _odd_types(self) -> set[int]:
        if not self.fork.is_optimism:
            return {DEPOSIT}
        return {3} if self.fork.has(L1Rules.PRAGUE) else {3, 4}

    def _case(self, faults: tuple[Fault, ...], name: str = "", **changes: Any) -> Case:
        name = name or ", ".join(fault.name for fault in faults)
        draft = replace(Draft(self.fork, self._type(faults) or 0), **changes)
        for fault in faults:
            fault.change(draft)
        if draft.type < 2:
            draft.tip = draft.fee_cap
        draft.gas = draft.gas or max(gas_needed(draft)) + 10_000
        key = key_of(name)
        raw = draft.sign(key)
        account = {"balance": hex(self._balance(draft, raw)), "nonce": hex(draft.account_nonce)}
        if draft.code:
            account["code"] = "0x" + draft.code.hex()
        hashes = tuple(draft.blob_hashes) if draft.type == 3 else ()
        return Case(name, raw, sender_of(key), account, hashes, draft.crowded)

    def _balance(self, draft: Draft, raw: bytes) -> int:
        """The sender's balance: one wei less than what it cannot pay, or plenty."""
        if not draft.missing:
            return RICH
        parts = {
            "gas": draft.gas * draft.fee_cap + (len(draft.blob_hashes) * blobs.GAS_PER_BLOB * draft.blob_fee_cap if draft.type == 3 else 0),
            "value": draft.value,
            "L1 fee": fees.l1_fee(self.fork, raw, ATTRIBUTES).fee if self.fork.is_optimism else 0,
            "operator fee": fees.operator_fee(self.fork, draft.gas, ATTRIBUTES),
        }
        total = 0
        for part, wei in parts.items():
            total += wei
            if part == draft.missing:
                break
        return min(total - 1, MAX_UINT256)


@cache
def chain(name: str) -> Chain:
    """The chain of this name, made once."""
    return Chain(name)


def _filler(nonce: int, gas: int) -> bytes:
    return Draft(PRAGUE, 2, nonce=nonce, gas=gas, to=BURNER, value=0).sign(key_of("filler"))


def _ethereum_genesis(fork: str) -> dict[str, Any]:
    """An Ethereum chain after the merge. Its request contracts hand out nothing."""
    blocks = (
        "homestead eip150 eip155 eip158 byzantium constantinople petersburg istanbul muirGlacier berlin london arrowGlacier grayGlacier"
    )
    names = ("shanghai", "cancun", "prague", "osaka")
    schedule = {
        "cancun": {"target": 3, "max": 6, "baseFeeUpdateFraction": 3338477},
        "prague": {"target": 6, "max": 9, "baseFeeUpdateFraction": 5007716},
        "osaka": {"target": 6, "max": 9, "baseFeeUpdateFraction": 5007716},
    }
    reached = names[: names.index(fork) + 1]
    config: dict[str, Any] = {"chainId": CHAIN_ID, "terminalTotalDifficulty": 0, "terminalTotalDifficultyPassed": True}
    config |= {f"{name}Block": 0 for name in (*blocks.split(), "mergeNetsplit")} | {f"{name}Time": 0 for name in reached}
    config["blobSchedule"] = {name: schedule[name] for name in reached[1:]}
    contracts = (WITHDRAWAL_REQUESTS, CONSOLIDATION_REQUESTS)
    return {
        "config": config,
        "nonce": "0x0",
        "timestamp": hex(TIME),
        "extraData": "0x",
        "gasLimit": hex(GAS_LIMIT),
        "difficulty": "0x0",
        "mixHash": "0x" + "00" * 32,
        "coinbase": "0x" + "00" * 20,
        "number": "0x0",
        "gasUsed": "0x0",
        "parentHash": "0x" + "00" * 32,
        "baseFeePerGas": hex(10**9),
        "excessBlobGas": "0x0",
        "blobGasUsed": "0x0",
        "alloc": {"0x" + address.hex(): {"balance": "0x0", "nonce": "0x1", "code": "0x00"} for address in contracts},
    }
