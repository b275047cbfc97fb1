"""Transactions that are wrong in one or two ways, made by name, with the chains, blocks and accounts that they meet.

Which fault is named first shows the order of the checks. `two_faults.json` holds what op-geth answered to each;
tests/interop/record_two_faults.py asks it again.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import coincurve
import rlp
from eth_utils import to_checksum_address

from genesis import loader
from genesis.dev import dev_genesis
from l2engine.chain.payload import draft_block
from l2engine.chain.sequencer import SequencerSettings, dev_attributes
from l2engine.rules import blobs, fees
from l2engine.rules.config import ChainConfig
from l2engine.rules.forks import Fork, L1Rules, OperatorFeeRule
from l2engine.rules.intrinsic_gas import floor_gas, intrinsic_gas
from l2engine.rules.l1_attributes import L1Attributes, encode_calldata, format_of
from l2engine.rules.predeploys import CONSOLIDATION_REQUESTS, DEPOSITOR, L1_BLOCK, WITHDRAWAL_REQUESTS
from l2engine.types.accelerated import ordered_root
from l2engine.types.base import MAX_UINT64, MAX_UINT256, Address, encode_int, keccak
from l2engine.types.block import Block
from l2engine.types.payload import PayloadAttributes
from l2engine.types.transaction import SECP256K1_N, decode_transaction, encode_deposit

CHAINS = ("holocene", "isthmus", "jovian", "karst", "prague", "osaka")
"""Each with this fork in force from its genesis on; the last two are Ethereum's."""
CHAIN_ID, TIME, GAS_LIMIT, GAS_CAP = 901, 1_700_000_000, 30_000_000, 2**24
NONCE, RICH, LEFT = 7, 10**24, 5_000
SINK: Address = bytes([7]) * 20
BURNER: Address = bytes([0xFE]) * 20
DEPOSIT = 0x7E
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


@dataclass
class Draft:
    """A transaction before it is signed, its sender's account, and the block it comes into."""

    fork: Fork
    type: int
    chain_id: int | None = CHAIN_ID
    nonce: int = NONCE
    tip: int = 10**6
    fee_cap: int = 3 * 10**9
    gas: int = 0
    """0: as much as is needed, and some more."""
    to: Address | None = SINK
    value: int = 5
    data: bytes = b""
    blob_fee_cap: int = 10**9
    blob_hashes: list[bytes] = field(default_factory=lambda: [b"\x01" + bytes(31)])
    authorizations: int = 1
    """How many."""
    bend: Callable[[int, int, int], tuple[int, int, int]] | None = None
    """What becomes of the signature's parity, r and s."""
    v: int | None = None
    mint: int = 0
    is_system: bool = False
    account_nonce: int = NONCE
    code: bytes = b""
    missing: str = ""
    """Which part of the cost the sender cannot pay."""
    crowded: bool = False
    """The block has next to no gas left."""

    def tuples(self) -> list[Any]:
        """Authorizations whose signatures are nobody's."""
        return [[encode_int(CHAIN_ID), SINK, b"", b"", b"\x01", b"\x01"]] * self.authorizations

    def fields(self) -> list[Any]:
        """The unsigned transaction's RLP list."""
        numbers = (self.nonce, self.tip, self.fee_cap, self.gas)
        if self.type < 2:
            numbers = (self.nonce, self.fee_cap, self.gas)  # type: ignore[assignment]
        plain = [*map(encode_int, numbers), self.to or b"", encode_int(self.value), self.data]
        if self.type == 0:
            return plain
        found = [encode_int(self.chain_id or 0), *plain, []]
        if self.type == 3:
            found += [encode_int(self.blob_fee_cap), self.blob_hashes]
        return [*found, self.tuples()] if self.type == 4 else found

    def sign(self, key: coincurve.PrivateKey) -> bytes:
        """The raw transaction."""
        if self.type == DEPOSIT:
            return encode_deposit(b"\x03" * 32, sender_of(key), self.to, self.mint, self.value, self.gas, self.is_system, self.data)
        prefix, fields = bytes([self.type] if self.type else []), self.fields()
        protection = [encode_int(self.chain_id), b"", b""] if self.type == 0 and self.chain_id else []
        signature = key.sign_recoverable(keccak(prefix + rlp.encode(fields + protection)), hasher=None)
        r, s, parity = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
        if self.bend is not None:
            parity, r, s = self.bend(parity, r, s)
        if self.type == 0:
            parity += 35 + 2 * self.chain_id if self.chain_id else 27
        encoded: bytes = rlp.encode([*fields, *map(encode_int, (parity if self.v is None else self.v, r, s))])
        return prefix + encoded


Change = Callable[[Draft], None]


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a transaction."""

    name: str
    change: Change
    spots: frozenset[str]
    """What of the transaction it is about; two faults of one transaction have no spot in common."""
    types: frozenset[int]
    """Types of transactions that can have it, the usual one first."""
    exists: Callable[[Fork], bool]

    def meets(self, other: "Fault") -> bool:
        return not self.spots & other.spots and bool(self.types & other.types)


def _fault(
    name: str, spots: str, change: Change, types: str = "02314", exists: Callable[[Fork], bool] = lambda fork: True
) -> Fault:
    return Fault(name, change, frozenset(spots.split()), frozenset(int(item, 16) for item in types.replace("d", "")) | _deposit(types), exists)


def _deposit(types: str) -> frozenset[int]:
    return frozenset({DEPOSIT} if "d" in types else ())


def _set(**values: Any) -> Change:
    def change(draft: Draft) -> None:
        for name, value in values.items():
            setattr(draft, name, value)

    return change


def _high_tip(draft: Draft) -> None:
    draft.tip = draft.fee_cap + 1


def _long_data(size: int) -> Change:
    def change(draft: Draft) -> None:
        draft.data = draft.data.ljust(size, b"\0")

    return change


def _long_initcode(draft: Draft) -> None:
    draft.to = None
    _long_data(49_153)(draft)


def _needs(draft: Draft) -> tuple[int, int]:
    """Intrinsic gas and the floor of the draft as it is."""
    tx = decode_transaction(replace(draft, fee_cap=1, tip=1, value=0, gas=0).sign(_key("anybody")))
    return intrinsic_gas(draft.fork, tx), floor_gas(draft.fork, tx)


def _below_floor(draft: Draft) -> None:
    if draft.gas:  # a limit that another fault has set: more data than it pays for
        draft.data = draft.data.ljust(draft.gas // 40 + 1, b"\1")
        return
    draft.data = draft.data or b"\1" * 1_000
    draft.gas = sum(_needs(draft)) // 2


def _below_intrinsic(draft: Draft) -> None:
    if draft.gas > 10**6:
        draft.authorizations = draft.gas // 25_000 + 1
    else:
        draft.gas = 20_000


def _fewer_blobs(draft: Draft) -> None:
    draft.blob_hashes = []


def _many_blobs(draft: Draft) -> None:
    most = draft.fork.blobs.max if draft.fork.blobs is not None else 0
    draft.blob_hashes *= blobs.MAX_BLOBS_PER_TRANSACTION + 1 if draft.fork.has(L1Rules.OSAKA) else most + 1


def _on_optimism(fork: Fork) -> bool:
    return fork.is_optimism


def _on_ethereum(fork: Fork) -> bool:
    return not fork.is_optimism


def _since(rules: L1Rules) -> Callable[[Fork], bool]:
    return lambda fork: fork.has(rules)


# In the order in which they change a draft: limits on gas before what must not fit them, fees before what exceeds them.
FAULTS = (
    _fault("deposit type", "type", _set(), "d", _on_ethereum),
    _fault("blob type", "type", _set(), "3", _on_optimism),
    _fault("set-code type before Prague", "type", _set(), "4", lambda fork: not fork.has(L1Rules.PRAGUE)),
    _fault("system deposit", "system", _set(is_system=True), "d", _on_optimism),
    _fault("mint of 257 bits", "mint", _set(mint=2**256 + 3), "d", _on_optimism),
    _fault("no replay protection", "chain", _set(chain_id=None), "0"),
    _fault("other chain's id", "chain", _set(chain_id=902)),
    _fault("r of zero", "signature", _set(bend=lambda parity, r, s: (parity, 0, s))),
    _fault("s in the upper half", "signature", _set(bend=lambda parity, r, s: (1 - parity, r, SECP256K1_N - s))),
    _fault("nobody's signature", "signature", _set(bend=lambda parity, r, s: (parity, 5, s))),
    _fault("parity of two", "signature", _set(bend=lambda parity, r, s: (2, r, s)), "234"),
    _fault("v of 29", "signature chain", _set(v=29), "0"),
    _fault("v of zero", "signature chain", _set(v=0), "0"),
    _fault("nonce too low", "nonce", _set(nonce=NONCE - 1)),
    _fault("nonce too high", "nonce", _set(nonce=NONCE + 1)),
    _fault("nonce of 2^64-1", "nonce", _set(nonce=MAX_UINT64)),
    _fault("account's nonce of 2^64-1", "nonce", _set(nonce=MAX_UINT64, account_nonce=MAX_UINT64)),
    _fault("sender with code", "code", _set(code=b"\0")),
    _fault("fee cap of 257 bits", "cap", _set(fee_cap=2**256 + 3), "02"),
    _fault("fees above 256 bits", "cap", _set(fee_cap=2**255)),
    _fault("fee cap below base fee", "cap", _set(fee_cap=10**6)),
    _fault("tip of 257 bits", "tip", _set(tip=2**256 + 3), "2"),
    _fault("tip above fee cap", "tip", _high_tip, "234"),
    _fault("no tip", "tip", _set(tip=0), "234"),
    _fault("value of 257 bits", "value", _set(value=2**256 + 3), "02"),
    _fault("value of 2^256-1", "value", _set(value=MAX_UINT256)),
    _fault("no blobs", "hashes", _fewer_blobs, "3", _on_ethereum),
    _fault("blob hash of version 2", "hashes", _set(blob_hashes=[b"\x02" + bytes(31)]), "3", _on_ethereum),
    _fault("too many blobs", "hashes", _many_blobs, "3", _on_ethereum),
    _fault("blob fee cap too low", "blob cap", _set(blob_fee_cap=0), "3", _on_ethereum),
    _fault("no authorizations", "authorizations", _set(authorizations=0), "4", _since(L1Rules.PRAGUE)),
    _fault("no gas left in the block", "block", _set(crowded=True), "02314d"),
    _fault("gas above the block's limit", "limit", _set(gas=GAS_LIMIT + 1), "02314d"),
    _fault("gas above the transaction cap", "limit", _set(gas=GAS_CAP + 1), exists=_since(L1Rules.OSAKA)),
    _fault("init code too long", "to", _long_initcode, "02"),
    _fault("data too long for the pool", "size", _long_data(128 * 1024 + 1)),
    _fault("gas below the floor", "floor", _below_floor, exists=_since(L1Rules.PRAGUE)),
    _fault("gas below the intrinsic", "intrinsic", _below_intrinsic),
    _fault("no funds for gas", "funds", _set(missing="gas")),
    _fault("no funds for value", "funds", _set(missing="value")),
    _fault("no funds for L1 fee", "funds", _set(missing="L1 fee"), exists=_on_optimism),
    _fault("no funds for operator fee", "funds", _set(missing="operator fee"), exists=lambda f: f.operator_fee is not OperatorFeeRule.NONE),
)
_TYPES_BY_CUSTOM = (2, 0, 4, 3, DEPOSIT)


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
        alloc["0x" + sender_of(_key("filler")).hex()] = {"balance": hex(RICH)}
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
        first = encode_deposit(b"\x01" * 32, DEPOSITOR, L1_BLOCK, 0, 0, 1_000_000, False, data)
        if not crowded:
            return (first,)
        tx = decode_transaction(first)
        gas = GAS_LIMIT - max(intrinsic_gas(self.fork, tx), floor_gas(self.fork, tx)) - LEFT
        return first, encode_deposit(b"\x02" * 32, BURNER, BURNER, 0, 0, gas, False, b"")

    def attributes(self, case: Case) -> PayloadAttributes:
        """Attributes that force the case's transaction into the block after genesis."""
        plain = SequencerSettings(gas_limit=GAS_LIMIT)
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

    # ---- cases ------------------------------------------------------------------------------------------------------

    def _cases(self) -> Iterator[Case]:
        known = [fault for fault in FAULTS if fault.exists(self.fork)]
        yield from (self._case((fault,)) for fault in known)
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
        possible = set(_TYPES_BY_CUSTOM).intersection(*(fault.types for fault in faults))
        if needs_many:  # only authorizations make so much intrinsic gas out of so few bytes
            possible &= {4}
        odd = set() if any("type" in fault.spots for fault in faults) else self._odd_types()
        return next((kind for kind in _TYPES_BY_CUSTOM if kind in possible - odd), None)

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
        draft.gas = draft.gas or max(_needs(draft)) + 10_000
        key = _key(name)
        raw = draft.sign(key)
        account = {"balance": hex(self._balance(draft, raw)), "nonce": hex(draft.account_nonce)}
        if draft.code:
            account["code"] = "0x" + draft.code.hex()
        hashes = tuple(draft.blob_hashes) if draft.type == 3 else ()
        return Case(name, raw, sender_of(key), account, hashes, draft.crowded)

    def _balance(self, draft: Draft, raw: bytes) -> int:
        """What the sender has: one wei less than what it cannot pay, or plenty."""
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


@cache
def _key(name: str) -> coincurve.PrivateKey:
    return coincurve.PrivateKey(keccak(name.encode()))


def sender_of(key: coincurve.PrivateKey) -> Address:
    """The address of a key."""
    return keccak(key.public_key.format(compressed=False)[1:])[12:]


def _filler(nonce: int, gas: int) -> bytes:
    from l2engine.rules.forks import PRAGUE

    return Draft(PRAGUE, 2, nonce=nonce, gas=gas, to=BURNER, value=0).sign(_key("filler"))


def _ethereum_genesis(fork: str) -> dict[str, Any]:
    """An Ethereum chain after the merge. Its request contracts hand out nothing."""
    blocks = "homestead eip150 eip155 eip158 byzantium constantinople petersburg istanbul muirGlacier berlin london arrowGlacier grayGlacier"
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


# ---- op-geth's answers ----------------------------------------------------------------------------------------------

ANSWERS = Path(__file__).with_suffix(".json")
CRASHED = "method handler crashed"
"""What op-geth says when it has panicked over a request."""
ANYTHING = "refused"
"""Stands in for an answer that nobody should follow: the transaction is refused, for whatever reason."""


@dataclass(frozen=True)
class Answer:
    """What op-geth said to a transaction; None where it took it."""

    pool: str | None
    payload: str | None
    forced: str | None


@cache
def load() -> dict[str, dict[str, Answer]]:
    """op-geth's answers by chain and case."""
    found: dict[str, dict[str, Answer]] = {name: {} for name in CHAINS}
    for row in json.loads(ANSWERS.read_text()):
        for name in row["chains"].split():
            case = chain(name).by_name[row["case"]]
            found[name][case.name] = Answer(*(_fill(row[key], case) for key in ("pool", "payload", "forced")))
    for name in CHAINS:
        for case_name in ("type 0x7d", "deposit type"):  # op-geth reads the first and runs the second, also on Ethereum
            if case_name in found[name]:
                found[name][case_name] = Answer(ANYTHING, ANYTHING, ANYTHING)
    return found


def reason(answer: Answer, case: Case) -> str | None:
    """What execution has against the transaction, as far as the payload's refusal says it."""
    if answer.payload is None:
        return None
    found = re.fullmatch(rf"could not apply tx \d \[0x{keccak(case.raw).hex()}\]: (.*)|invalid transaction \d: (.*)", answer.payload)
    return (found[1] or found[2]) if found else ANYTHING


def group(answers: Mapping[str, Mapping[str, Answer]]) -> str:
    """The file's text: a line for each different answer to a case, with the chains that give it."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for name, by_case in answers.items():
        for case_name, answer in by_case.items():
            case = chain(name).by_name[case_name]
            texts = (json.dumps(_blank(text, case)) for text in (answer.pool, answer.payload, answer.forced))
            rows.setdefault((json.dumps(case_name), *texts), []).append(name)
    lines = (
        f'{{"case": {case}, "chains": "{" ".join(names)}",\n "pool": {pool},\n "payload": {payload},\n "forced": {forced}}}'
        for (case, pool, payload, forced), names in sorted(rows.items())
    )
    return "[\n" + ",\n".join(lines) + "\n]\n"


def _fill(text: str | None, case: Case) -> str | None:
    """The text with the case's hash and sender in their places."""
    if text == CRASHED:
        return ANYTHING
    return text and text.replace("HASH", "0x" + keccak(case.raw).hex()).replace("SENDER", to_checksum_address(case.sender))


def _blank(text: str | None, case: Case) -> str | None:
    return text and text.replace("0x" + keccak(case.raw).hex(), "HASH").replace(to_checksum_address(case.sender), "SENDER")
