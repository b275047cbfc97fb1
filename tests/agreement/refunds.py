"""Random Lagoon blocks with gas refunds, good ones and every bad kind. Everything follows from the seed."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from l2engine.conformance.world import World
from l2engine.errors import DecodeError, InvalidTransaction
from l2engine.evm.native.machine import NativeExecutor
from l2engine.rules.forks import LAGOON
from l2engine.types.base import EMPTY_CODE_HASH
from l2engine.types.execution import TransactionResult
from l2engine.types.state import Account
from l2engine.types.transaction import FeeMarketTransaction, GasRefund, PostExecutionTransaction, record_of
from l2engine.types.transaction_codec import decode_transaction, encode_transaction, signed
from l2engine.types.transactions import Transactions
from tests.agreement.fuzz import CHAIN_ID, CONTRACTS, SENDERS, RandomBlock, random_block
from tests.helpers.accounts import Signer, signer

Entries = tuple[GasRefund, ...]


@dataclass(frozen=True)
class RefundedBlock:
    """A random block that ends with a 0x7D, if that is what its `flaw` leaves of it."""

    block: RandomBlock
    flaw: str
    """The fault of its refunds; "" for none."""
    traits: frozenset[str]
    """The special feature of the block."""


def refunded_block(seed: int) -> RefundedBlock:
    """The random block of this seed under Lagoon's rules, with the transactions that stand in it and refunds for some of them."""
    rng = random.Random(-1 - seed)
    block, traits = random_block(seed, fork=LAGOON), set[str]()
    if rng.random() < 0.5:
        block = replace(block, env=replace(block.env, beneficiary=rng.choice(SENDERS)))
        traits.add("sender is the beneficiary")
    block, results = _standing(block)
    refunds = _refunds(rng, block.transactions, results)
    if rng.random() < 0.6 and refunds:
        block, refunds = _with_spender(rng, block, refunds)
        traits.add("refund is spent")
    if rng.random() < 0.5:
        block = _filled(rng, block)
        traits.add("filled before refunds")
    for index, gas in refunds.items():
        if index < len(results):
            result, raw = results[index], block.transactions[index]
            traits |= {"everything is refunded"} if gas == result.gas_used else set()
            traits |= {"failed"} if result.receipt.status == 0 else set()
            traits |= {"delegates"} if raw[0] == 4 else set()
            traits |= {"below the floor"} if result.gas_used - gas < 21_000 else set()
    entries = tuple(GasRefund(index, gas) for index, gas in sorted(refunds.items()))
    flaw = rng.choice(list(FLAWS)) if rng.random() < 0.35 else "" if entries else "no refunds"
    last = FLAWS[flaw](rng, block, entries) if flaw else [_payload(block, entries)]
    raws = (*block.transactions, *last)
    if flaw == "not last":
        raws = (*raws[:-2], raws[-1], raws[-2])
    return RefundedBlock(replace(block, transactions=raws), flaw, frozenset(traits))


def _standing(block: RandomBlock) -> tuple[RandomBlock, list[TransactionResult]]:
    execution = NativeExecutor(block.config).begin(block.world, block.env)
    raws, results = [], []
    for raw in block.transactions:
        try:
            results.append(execution.apply(raw))
        except (InvalidTransaction, DecodeError):
            continue
        raws.append(raw)
    return replace(block, transactions=tuple(raws)), results


def _refunds(rng: random.Random, raws: Sequence[bytes], results: Sequence[TransactionResult]) -> dict[int, int]:
    refunds = {}
    for index, (raw, result) in enumerate(zip(raws, results, strict=True)):
        if record_of(raw).is_signed and rng.random() < 0.6:
            used = result.gas_used
            refunds[index] = rng.choice((1, used // 2, used - 1, used, used, rng.randrange(1, used + 1)))
    return refunds


def _with_spender(rng: random.Random, block: RandomBlock, refunds: dict[int, int]) -> tuple[RandomBlock, dict[int, int]]:
    """Two more transactions, of an account that cannot pay for the second without what the first gives back."""
    who, price = signer("spender", CHAIN_ID), (block.env.base_fee_per_gas or 0) + 10**9
    world = World({**block.world.accounts, who.address: Account(0, 10**19, EMPTY_CODE_HASH)}, block.world.storages, block.world.codes,
                  block.world.block_hash)  # fmt: skip
    first = _transfer(who, price, rng.choice(CONTRACTS), rng.choice((60_000, 400_000)), 0)
    place = len(block.transactions)
    execution = NativeExecutor(block.config).begin(world, block.env)
    execution.apply_all(Transactions(block.transactions))
    try:
        result = execution.apply(first)
    except InvalidTransaction:  # the block is full
        return block, refunds
    refund = result.gas_used - rng.randrange(2)
    left = execution.finish().diff.accounts[who.address].account
    assert left is not None
    likely = 21_000 * price + result.l1_fee + result.operator_fee
    value = left.balance - likely + rng.choice((refund * price // 2, refund * price * 2))
    if value < 0:
        return block, refunds
    second = _transfer(who, price, SENDERS[0], 21_000, value)
    return replace(block, world=world, transactions=(*block.transactions, first, second)), {**refunds, place: refund}


def _transfer(who: Signer, price: int, to: bytes, gas: int, value: int) -> bytes:
    who.nonce += 1
    return signed(FeeMarketTransaction(CHAIN_ID, who.nonce - 1, 10**9, price, gas, to, value, b""), who.key).raw


def _filled(rng: random.Random, block: RandomBlock) -> RandomBlock:
    """The block with a gas limit that its last transaction fills before refunds, or just misses."""
    execution = NativeExecutor(block.config).begin(block.world, block.env)
    execution.apply_all(Transactions(block.transactions[:-1]))
    needed = execution.gas_before_refunds + decode_transaction(block.transactions[-1]).gas
    return replace(block, env=replace(block.env, gas_limit=needed - rng.choice((0, 0, 1))))


# ---- flaws ----------------------------------------------------------------------------------------------------------


def _payload(block: RandomBlock, entries: Entries, number: int | None = None) -> bytes:
    return encode_transaction(PostExecutionTransaction(1, block.env.number if number is None else number, entries))


def _above(rng: random.Random, block: RandomBlock, entries: Entries) -> list[bytes]:
    """One refund above what any transaction of the block uses."""
    if not entries:
        return [_payload(block, entries)]
    place = rng.randrange(len(entries))
    gas = rng.choice((10**8, 2**64 - 1, decode_transaction(block.transactions[entries[place].index]).gas + 1))
    return [_payload(block, (*entries[:place], GasRefund(entries[place].index, gas), *entries[place + 1 :]))]


def _mangled(rng: random.Random, block: RandomBlock, entries: Entries) -> list[bytes]:
    """Some bytes are not as they were."""
    raw = bytearray(_payload(block, entries))
    for _ in range(rng.randrange(1, 4)):
        kind, at = rng.randrange(3), rng.randrange(1, len(raw)) if len(raw) > 1 else 0
        if kind == 0 and at:
            raw[at] = rng.choice((0, 1, 0x80, 0x81, 0xC0, 0xF8, rng.randrange(256)))
        elif kind == 1:
            raw += rng.randbytes(1)
        elif len(raw) > 1:
            del raw[-1]
    return [bytes(raw)]


FLAWS: Mapping[str, Callable[[random.Random, RandomBlock, Entries], list[bytes]]] = {
    "another number": lambda rng, block, entries: [_payload(block, entries, block.env.number + rng.choice((-1, 1)))],
    "no refunds": lambda rng, block, entries: [_payload(block, ())],
    "of nothing": lambda rng, block, entries: [_payload(block, (*entries, GasRefund(len(block.transactions) - 1, 0)))],
    "twice": lambda rng, block, entries: [_payload(block, (*entries, *entries[-1:]))],
    "backwards": lambda rng, block, entries: [_payload(block, entries[::-1])],
    "of a deposit": lambda rng, block, entries: [_payload(block, (GasRefund(0, 1), *entries))],
    "of itself": lambda rng, block, entries: [_payload(block, (*entries, GasRefund(len(block.transactions), 1)))],
    "beyond": lambda rng, block, entries: [_payload(block, (*entries, GasRefund(rng.choice((10**3, 2**64 - 1)), 1)))],
    "above": _above,
    "two": lambda rng, block, entries: [_payload(block, entries), _payload(block, entries)],
    "not last": lambda rng, block, entries: [_payload(block, entries)],
    "mangled": _mangled,
}
"""Ways to spoil refunds; some leave them as good as they were."""
