"""Random blocks: weighted opcodes, calls between contracts, creations, self-destructs, precompiles at their limits, deposits,
delegations, access lists. Everything follows from the seed."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from l2engine.conformance.world import World
from l2engine.rules import forks
from l2engine.rules.config import ChainConfig, chain_config
from l2engine.rules.forks import Fork, L1Rules
from l2engine.rules.l1_attributes import L1Attributes, encode_calldata, format_of
from l2engine.rules.predeploys import BEACON_ROOTS, CONSOLIDATION_REQUESTS, DEPOSITOR, HISTORY_STORAGE, L1_BLOCK, WITHDRAWAL_REQUESTS
from l2engine.types.base import EMPTY_CODE_HASH, EMPTY_OMMERS_HASH, EMPTY_ROOT, Address, encode_int, keccak
from l2engine.types.block import Withdrawal
from l2engine.types.delegation import Authorization, sign_authorization
from l2engine.types.environment import BlockEnv
from l2engine.types.execution import AccountOverride, Call
from l2engine.types.header import Header
from l2engine.types.signature import address_of, public_key
from l2engine.types.state import Account
from l2engine.types.transaction import (
    AccessListTransaction,
    BlobTransaction,
    DepositTransaction,
    FeeMarketTransaction,
    LegacyTransaction,
    SetCodeTransaction,
)
from l2engine.types.transaction_codec import encode_transaction, signed
from tests.agreement.precompile_inputs import NUMBERS, precompile_input

FORKS = (*forks.OP_FORKS, forks.PARIS, forks.SHANGHAI, forks.CANCUN, forks.PRAGUE, forks.OSAKA)
_BY_BLOCK = (forks.BEDROCK, forks.PARIS)  # which no configuration gives a time
CHAIN_ID = 901
KEYS = [keccak(bytes([i])) for i in range(1, 6)]
SENDERS: list[Address] = [address_of(public_key(key)) for key in KEYS]
CONTRACTS: list[Address] = [bytes([0xC0 + i]) * 20 for i in range(6)]
PRECOMPILES: list[Address] = [i.to_bytes(20, "big") for i in NUMBERS]
_TIMESTAMP = 1000
_INTERESTING = (0, 1, 2, 31, 32, 33, 255, 256, 2**16, 2**32, 2**64 - 1, 2**64, 2**128, 2**255, 2**256 - 1)

# opcodes with how many words they take and leave
_ARITHMETIC = {0x01: 2, 0x02: 2, 0x03: 2, 0x04: 2, 0x05: 2, 0x06: 2, 0x07: 2, 0x08: 3, 0x09: 3, 0x0A: 2, 0x0B: 2, 0x10: 2, 0x11: 2,
               0x12: 2, 0x13: 2, 0x14: 2, 0x15: 1, 0x16: 2, 0x17: 2, 0x18: 2, 0x19: 1, 0x1A: 2, 0x1B: 2, 0x1C: 2, 0x1D: 2, 0x1E: 1}  # fmt: skip
_CONTEXT = (0x30, 0x32, 0x33, 0x34, 0x36, 0x38, 0x3A, 0x3D, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x4A, 0x58, 0x59, 0x5A, 0x5F)
_OF_ADDRESS = (0x31, 0x3B, 0x3F)


@dataclass(frozen=True)
class RandomBlock:
    """A block to execute on `world`."""

    config: ChainConfig
    world: World
    env: BlockEnv
    transactions: tuple[bytes, ...]
    calls: tuple[tuple[Call, dict[Address, AccountOverride]], ...]
    """To make on the world beside the block, with their overrides."""


def random_block(seed: int, count: int = 12, fork: Fork | None = None) -> RandomBlock:
    """A block of about `count` transactions; some of them cannot stand. The seed decides the fork too, unless one is given."""
    rng = random.Random(seed)
    fork = fork or FORKS[seed % len(FORKS)]
    begins = rng.random() < 0.15 and fork is not forks.PARIS  # in this very block
    config = rules(fork, _TIMESTAMP if begins else 0)
    world = _world(rng, fork)
    base_fee = rng.choice((0, 7, 1000, 10**9))
    parent = Header(
        rng.randbytes(32), EMPTY_OMMERS_HASH, bytes(20), EMPTY_ROOT, EMPTY_ROOT, EMPTY_ROOT, bytes(256), 0, 299, 30_000_000, 0, _TIMESTAMP - 2, b"",
        bytes(32), bytes(8),
    )  # fmt: skip
    env = BlockEnv(
        number=300,
        timestamp=_TIMESTAMP,
        gas_limit=rng.choice((5_000_000, 30_000_000, 30_000_000)),
        beneficiary=rng.choice((bytes.fromhex("4200000000000000000000000000000000000011"), SENDERS[0], bytes([9]) * 20)),
        prev_randao=rng.randbytes(32),
        base_fee_per_gas=base_fee,
        parent=parent,
        parent_beacon_block_root=rng.randbytes(32) if fork.has(L1Rules.CANCUN) else None,
        excess_blob_gas=(0 if fork.is_optimism else rng.choice((0, 2**20, 2**25))) if fork.has(L1Rules.CANCUN) else None,
        withdrawals=None if not fork.has(L1Rules.SHANGHAI) else () if fork.is_optimism else _withdrawals(rng),
    )
    nonces = dict.fromkeys(SENDERS, 0)
    transactions = [_l1_attributes(rng, fork, config.fork_at(299, _TIMESTAMP - 2))] if fork.is_optimism else []
    transactions += [_transaction(rng, fork, base_fee, nonces) for _ in range(rng.randrange(count // 2, count + 1))]
    return RandomBlock(config, world, env, tuple(transactions), tuple(_message(rng) for _ in range(3)))


def rules(fork: Fork, since: int = 0) -> ChainConfig:
    """A chain on which this fork holds from a time on, and those before it always did."""
    rows = FORKS[: FORKS.index(fork) + 1]
    times = {row.name + "Time": since if row is fork else 0 for row in rows if row.is_optimism == fork.is_optimism and row not in _BY_BLOCK}
    if fork.is_optimism:
        return chain_config({"chainId": CHAIN_ID, "bedrockBlock": 0, "optimism": {}} | times)
    blocks = dict.fromkeys(_ETHEREUM_BLOCKS, 0)
    return chain_config({"chainId": CHAIN_ID, "terminalTotalDifficulty": 0, "depositContractAddress": CONTRACTS[0].hex()} | blocks | times)


_ETHEREUM_BLOCKS = [
    name + "Block"
    for name in ("homestead", "eip150", "eip158", "byzantium", "constantinople", "petersburg", "istanbul", "berlin", "london")
]


def _world(rng: random.Random, fork: Fork) -> World:
    accounts, storages, codes = {}, {}, {EMPTY_CODE_HASH: b""}

    def put(address: Address, balance: int, code: bytes = b"", storage: dict[int, int] | None = None, nonce: int = 0) -> None:
        code_hash = keccak(code) if code else EMPTY_CODE_HASH
        codes[code_hash] = code
        accounts[address] = Account(nonce, balance, code_hash)
        storages[address] = {slot: value for slot, value in (storage or {}).items() if value}

    for sender in SENDERS:
        put(sender, 10**24)
    for contract in CONTRACTS:
        storage = {slot: rng.choice(_INTERESTING) for slot in range(rng.randrange(6))}
        put(contract, rng.choice((0, 1, 10**18)), code(rng), storage, nonce=1)
    for system in (BEACON_ROOTS, HISTORY_STORAGE):
        if rng.random() < 0.7:
            put(system, 0, bytes.fromhex("5f35435500"), nonce=1)  # sstore(number, calldata)
    for requests in (WITHDRAWAL_REQUESTS, CONSOLIDATION_REQUESTS):
        put(requests, 0, bytes.fromhex("60015f5560205ff3"), nonce=1)  # hands out 32 bytes
    if fork.is_optimism:
        # Keeps the words of its calldata in the slots that fees are read from.
        scalars = rng.choice((0, rng.getrandbits(256)))  # none yet in Ecotone's first block
        slots = {1: 10**9, 3: scalars, 5: 188, 6: 684_000, 7: rng.choice((0, 10**9)), 8: rng.choice((0, rng.getrandbits(112)))}
        put(L1_BLOCK, 0, bytes.fromhex("00"), slots, nonce=1)
    return World(accounts, storages, codes, lambda number: keccak(str(number).encode()) if 40 <= number < 300 else None)


def code(rng: random.Random, depth: int = 0) -> bytes:
    """Code that mostly runs: each step pushes what it takes."""
    out = bytearray()
    for _ in range(rng.randrange(2, 24)):
        out += rng.choices(_STEPS, _WEIGHTS)[0](rng, depth)
    out += rng.choice((b"\x00", b"\x60\x20\x60\x00\xf3", b"\x60\x20\x60\x00\xfd", b"", b"\xfe"))
    return bytes(out)


def _push(value: int) -> bytes:
    digits = encode_int(value) or b"\0"
    return bytes([0x5F + len(digits)]) + digits


def _word(rng: random.Random) -> bytes:
    return _push(rng.choice(_INTERESTING) if rng.random() < 0.5 else rng.getrandbits(rng.choice((8, 64, 256))))


def _small(rng: random.Random) -> bytes:
    return _push(rng.choice((0, 1, 32, 64, 100, 300)))


def _address(rng: random.Random) -> bytes:
    return b"\x73" + rng.choice((*CONTRACTS, *SENDERS, *PRECOMPILES, rng.randbytes(20), L1_BLOCK))


def _arithmetic(rng: random.Random, depth: int) -> bytes:
    opcode = rng.choice(list(_ARITHMETIC))
    return b"".join(_word(rng) for _ in range(_ARITHMETIC[opcode])) + bytes([opcode]) + rng.choice((b"\x50", b"\x5f\x52", b"\x60\x20\x52"))


def _storage(rng: random.Random, depth: int) -> bytes:
    slot = _push(rng.randrange(6))
    if rng.random() < 0.4:
        return slot + b"\x54\x50"
    return rng.choice((_word(rng), b"\x60\x00", b"\x60\x00")) + slot + b"\x55"


def _transient(rng: random.Random, depth: int) -> bytes:
    slot = _push(rng.randrange(3))
    return slot + b"\x5c\x50" if rng.random() < 0.5 else _word(rng) + slot + b"\x5d"


def _look(rng: random.Random, depth: int) -> bytes:
    if rng.random() < 0.5:
        return bytes([rng.choice(_CONTEXT)]) + b"\x60\x00\x52"
    if rng.random() < 0.3:
        return _push(rng.choice((43, 44, 298, 299, 300, 301))) + b"\x40\x60\x00\x52"
    return _address(rng) + bytes([rng.choice(_OF_ADDRESS)]) + b"\x60\x20\x52"


def _memory(rng: random.Random, depth: int) -> bytes:
    kind = rng.randrange(5)
    if kind == 0:
        return _small(rng) + _small(rng) + b"\x20\x50"
    if kind == 1:
        return _small(rng) + _small(rng) + _small(rng) + bytes([rng.choice((0x37, 0x39, 0x3E, 0x5E))])
    if kind == 2:
        return _word(rng) + _small(rng) + b"\x53"
    if kind == 3:
        return _small(rng) + _small(rng) + _small(rng) + _address(rng) + b"\x3c"
    return _small(rng) + b"\x35\x60\x40\x52"


def _log(rng: random.Random, depth: int) -> bytes:
    topics = rng.randrange(5)
    return b"".join(_word(rng) for _ in range(topics)) + _small(rng) + _small(rng) + bytes([0xA0 + topics])


def _call(rng: random.Random, depth: int) -> bytes:
    opcode = rng.choice((0xF1, 0xF1, 0xF2, 0xF4, 0xFA))
    length = _push(rng.choice((0, 4, 32, 96, 128, 160, 192, 213, 384, 1024)))
    value = _push(rng.choice((0, 0, 1, 10**20))) if opcode in (0xF1, 0xF2) else b""
    gas = rng.choice((b"\x5a", _push(rng.choice((0, 2300, 30_000, 500_000)))))
    return b"\x60\x20\x60\x00" + length + b"\x60\x00" + value + _address(rng) + gas + bytes([opcode]) + b"\x60\x00\x52"


def _to_memory(data: bytes) -> bytes:
    """Code that puts `data` at the beginning of memory."""
    words = range(0, len(data), 32)
    return b"".join(_push(int.from_bytes(data[i : i + 32].ljust(32, b"\0"), "big")) + _push(i) + b"\x52" for i in words)


def _precompile(rng: random.Random, depth: int) -> bytes:
    """Call a precompile with an input made for it, and keep success, size and hash of the answer in storage."""
    if depth:
        return b"\x5b"
    number = rng.choice(NUMBERS)
    data = precompile_input(rng, number)
    gas = rng.choice((b"\x5a", b"\x5a", _push(rng.choice((0, 100, 3450, 6900, 50_000)))))
    call = b"\x60\x00" * 2 + _push(len(data)) + b"\x60\x00" + _push(number) + gas + b"\xfa"
    answer = b"\x3d\x60\x00\x60\x00\x3e\x3d\x60\x00\x20"  # returndatacopy, keccak256
    return _to_memory(data) + call + b"\x3d\x01" + answer + b"\x01" + _push(rng.randrange(6)) + b"\x55"


def _create(rng: random.Random, depth: int) -> bytes:
    if depth > 1:
        return b"\x5b"
    kind = rng.randrange(8)
    if kind == 0:  # lengths around the limit of init code (EIP-3860), from memory as it is
        return _push(rng.choice((49_152, 49_153))) + b"\x60\x00" + _push(rng.choice((0, 10**20))) + b"\xf0\x60\x00\x55"
    initcode = code(rng, depth + 1)[:120]
    if kind == 1:  # code around its limit (EIP-170)
        initcode = _push(rng.choice((24_575, 24_576, 24_577))) + b"\x60\x00\xf3"
    elif kind == 2:  # code that must not begin so (EIP-3541), and a delegation that is none
        initcode = b"\x60" + rng.choice((b"\xef", b"\xfe")) + b"\x60\x00\x53" + _push(rng.choice((1, 23))) + b"\x60\x00\xf3"
    stores = _to_memory(initcode)
    value = _push(rng.choice((0, 0, 0, 1, 10**20)))
    if rng.random() < 0.5:
        return stores + _push(len(initcode)) + b"\x60\x00" + value + b"\xf0\x60\x00\x55"
    return stores + _push(rng.randrange(2)) + _push(len(initcode)) + b"\x60\x00" + value + b"\xf5\x50"


def _jump(rng: random.Random, depth: int) -> bytes:
    return b"\x58\x60\x04\x01\x56\x5b" if rng.random() < 0.7 else b"\x60\x01" + _small(rng) + b"\x57"


def _end(rng: random.Random, depth: int) -> bytes:
    return _address(rng) + b"\xff" if rng.random() < 0.5 else bytes([rng.randrange(256)])


_STEPS: tuple[Callable[[random.Random, int], bytes], ...] = (
    _arithmetic, _storage, _transient, _look, _memory, _log, _call, _create, _jump, _end,
    _precompile,
)  # fmt: skip
_WEIGHTS = (10, 12, 2, 6, 6, 3, 8, 3, 2, 1, 3)


def _l1_attributes(rng: random.Random, fork: Fork, before: Fork) -> bytes:
    """The first transaction, in an activation block still in the form of the fork before."""
    attributes = L1Attributes(base_fee=10**9, da_footprint_gas_scalar=rng.choice((0, 400)))
    data = encode_calldata(format_of(before), attributes)
    return encode_transaction(
        DepositTransaction(rng.randbytes(32), DEPOSITOR, L1_BLOCK, 0, 0, 1_000_000, not fork.deposits_report_gas, data)
    )


def _message(rng: random.Random) -> tuple[Call, dict[Address, AccountOverride]]:
    """A call as eth_call makes it, with state overrides now and then."""
    to = rng.choice((*CONTRACTS, *CONTRACTS, rng.choice(PRECOMPILES), rng.choice(SENDERS), None))
    data = code(rng) if to is None else rng.randbytes(rng.choice((0, 4, 160)))
    if to in PRECOMPILES:
        data = precompile_input(rng, int.from_bytes(to, "big"))
    value, gas = rng.choice((0, 0, 1, 10**20)), rng.choice((21_000, 100_000, 3_000_000))
    overrides = {}
    for contract in rng.sample(CONTRACTS, rng.choice((0, 0, 1, 2))):
        slots = {rng.randrange(6): rng.choice(_INTERESTING) for _ in range(3)}
        overrides[contract] = AccountOverride(
            nonce=rng.choice((None, 5)),
            balance=rng.choice((None, 0, 10**21)),
            code=rng.choice((None, code(rng))),
            state=slots if rng.random() < 0.3 else None,
        )
        if overrides[contract].state is None and rng.random() < 0.5:
            overrides[contract] = replace(overrides[contract], state_diff=slots)
    return Call(rng.choice((*SENDERS, rng.randbytes(20))), to, gas, value=value, data=data), overrides


_FLAWS = ("nonce", "nonce", "last nonce", "price", "tip", "gas", "gas cap", "value", "init code", "chain")


def _transaction(rng: random.Random, fork: Fork, base_fee: int, nonces: dict[Address, int]) -> bytes:
    to = rng.choice((*CONTRACTS, *CONTRACTS, rng.choice(SENDERS), rng.choice(PRECOMPILES), rng.randbytes(20), b""))
    data = code(rng) if to == b"" else rng.randbytes(rng.choice((0, 4, 32, 160, 1000)))
    if to in PRECOMPILES and rng.random() < 0.7:
        data = precompile_input(rng, int.from_bytes(to, "big"))
    value = rng.choice((0, 0, 1, 10**12))
    gas = rng.choice((150_000, 300_000, 800_000, 1_500_000, 1_500_000, 8_000_000))
    if fork.is_optimism and rng.random() < 0.3:
        if to == b"" and rng.random() < 0.2:
            data += bytes(rng.choice((49_152, 49_153)) - len(data))
        sender = rng.choice((*SENDERS, rng.randbytes(20)))
        is_system = rng.random() < (0.02 if fork.deposits_report_gas else 0.2)
        if not (is_system and fork.deposits_report_gas):
            nonces[sender] = nonces.get(sender, 0) + 1
        mint = rng.choice((0, 0, 10**18))
        return encode_transaction(
            DepositTransaction(
                rng.randbytes(32), sender, to or None, mint, rng.choice((value, 10**24)), rng.choice((gas, 21_000, 60_000)), is_system, data
            )
        )
    index = rng.randrange(len(KEYS))
    key, sender = KEYS[index], SENDERS[index]
    flaws = rng.sample(_FLAWS, rng.choice((1, 1, 2))) if rng.random() < 0.08 else ()  # of two, both executors must find the same one
    nonce = 2**64 - 1 if "last nonce" in flaws else nonces[sender] + (rng.choice((-1, 1)) if "nonce" in flaws else 0)
    nonces[sender] += not flaws
    gas = 21_000 if "gas" in flaws else 2**24 + 1 if "gas cap" in flaws else gas
    value = 10**25 if "value" in flaws else value
    tip = rng.choice((0, 1, 10**9))
    price = max(0, base_fee - 1) if "price" in flaws else base_fee + tip
    to, data = (b"", bytes(49_153)) if "init code" in flaws else (to, data)
    kinds = [2] if "tip" in flaws else [0, 1, 2, 2] + ([4] if fork.has(L1Rules.PRAGUE) and to else [])
    takes_blobs = fork.has(L1Rules.CANCUN) and not fork.is_optimism
    if to and rng.random() < (0.2 if takes_blobs else 0.01):
        kinds = [3]
        nonces[sender] -= not flaws and not takes_blobs
    kind = rng.choice(kinds)
    nonce, target, chain_id = max(nonce, 0), to or None, CHAIN_ID + ("chain" in flaws)
    if kind == 0:
        return signed(LegacyTransaction(nonce, price, gas, target, value, data, 35 + 2 * chain_id), key).raw
    access = tuple(
        (rng.choice(CONTRACTS), tuple(rng.randrange(6).to_bytes(32, "big") for _ in range(rng.randrange(3))))
        for _ in range(rng.randrange(3))
    )
    if kind == 1:
        return signed(AccessListTransaction(chain_id, nonce, price, gas, target, value, data, access), key).raw
    head = chain_id, nonce, price + 1 if "tip" in flaws else min(tip, price), price, gas
    if kind == 3:
        hashes = tuple(
            (b"\x01" if rng.random() < 0.97 else b"\x02") + rng.randbytes(31) for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 6, 7, 10)))
        )
        return signed(BlobTransaction(*head, to, value, data, access, rng.choice((1, 10**9)), hashes), key).raw
    if kind == 4:
        delegations = tuple(_authorization(rng, nonces) for _ in range(rng.randrange(1, 4)))
        return signed(SetCodeTransaction(*head, to, value, data, access, delegations), key).raw
    return signed(FeeMarketTransaction(*head, target, value, data, access), key).raw


def _authorization(rng: random.Random, nonces: dict[Address, int]) -> Authorization:
    index = rng.randrange(len(KEYS))
    nonce = nonces[SENDERS[index]] if rng.random() < 0.8 else 7
    chain_id, address = rng.choice((0, CHAIN_ID, 5)), rng.choice((*CONTRACTS, *PRECOMPILES[:2], bytes(20), SENDERS[0]))
    return sign_authorization(Authorization(chain_id, address, nonce), KEYS[index])


def _withdrawals(rng: random.Random) -> tuple[Withdrawal, ...]:
    return tuple(Withdrawal(i, i, rng.choice((*SENDERS, rng.randbytes(20))), rng.choice((0, 1, 10**9))) for i in range(rng.randrange(3)))
