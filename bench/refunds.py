"""The cost of Lagoon's gas refunds: verifying a block of transfers that are all refunded, next to one without refunds.

    .venv/bin/python bench/refunds.py [--gas 30000000] [--pairs 25]

A run takes a payload's hash and executes its block on the native executor and store, roots included. First with senders that nobody
has recovered yet, as a node finds them that follows a sequencer; then the same blocks again, with senders that are known. The two kinds
take turns. Prints a Markdown table: medians in milliseconds of processor time, and by how much the refunded block takes more.
"""

import argparse
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from genesis import loader
from genesis.dev import dev_genesis
from l2engine.chain.engine import Engine
from l2engine.chain.payload import from_block, to_block
from l2engine.chain.process import process_block
from l2engine.dev.l1 import ImaginedL1, dev_attributes
from l2engine.evm.native.machine import NativeExecutor
from l2engine.store.blocks import BlockStore
from l2engine.store.genesis import write_genesis
from l2engine.store.native import NativeKeyValue, NativeState
from l2engine.types.base import keccak
from l2engine.types.block import Block
from l2engine.types.signature import address_of, public_key
from l2engine.types.transaction import FeeMarketTransaction, GasRefund, PostExecutionTransaction
from l2engine.types.transaction_codec import encode_transaction, signed
from l2engine.types.transactions import Transactions

TRANSFER_GAS = 21_000
SENDERS = 200
REMEMBERED = 65_536
"""Senders that the core keeps."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gas", type=int, default=30_000_000, help="gas in a block, before refunds")
    parser.add_argument("--pairs", type=int, default=25, help="blocks without and with refunds")
    arguments = parser.parse_args()
    count = arguments.gas // TRANSFER_GAS
    engine, keys = _chain()
    blocks: list[tuple[Block, Block]] = []
    for pair in range(max(arguments.pairs, REMEMBERED // (2 * count) + 2)):  # enough of them to make the first ones forgotten
        raws = [_transfers(engine, keys, count, 2 * pair + half) for half in range(2)]
        refunds = tuple(GasRefund(index + 1, 2_500) for index in range(count))  # the L1-attributes deposit is the first
        payload = encode_transaction(PostExecutionTransaction(1, 1, refunds))
        blocks.append((_built(engine, raws[0]), _built(engine, [*raws[1], payload])))
    print("| transfers | Mgas before refunds | senders | without refunds | all refunded | more |\n|---|---|---|---|---|---|")
    for senders in ("recovered", "known"):
        plain: list[float] = []
        settled: list[float] = []
        for without, refunded in blocks[-8:] * 4 if senders == "known" else blocks:
            plain.append(_seconds(engine, without))
            settled.append(_seconds(engine, refunded))
        left, right = (1000 * statistics.median(measured) for measured in (plain, settled))
        print(f"| {count} | {arguments.gas / 1e6:.0f} | {senders} | {left:.2f} | {right:.2f} | {100 * (right / left - 1):+.1f} % |")
    return 0


def _seconds(engine: Engine, block: Block) -> float:
    payload = from_block(engine.config, block)
    started = time.process_time()
    fork = engine.config.fork_at(payload.block_number, payload.timestamp)
    made = to_block(engine.config, fork, payload, (), block.header.parent_beacon_block_root, ())
    process_block(engine.config, engine.executor, engine.state, engine.head, made)
    return time.process_time() - started


def _chain() -> tuple[Engine, list[bytes]]:
    """A chain at its genesis, and the keys of those who have ether there."""
    keys = [keccak(number.to_bytes(2, "big")) for number in range(SENDERS)]
    genesis = loader.load(dev_genesis("lagoon", 1_800_000_000, accounts=[address_of(public_key(key)) for key in keys]))
    kv = NativeKeyValue(None)
    write_genesis(kv, genesis.block, genesis.alloc, b"{}")
    return Engine(genesis.config, kv, BlockStore(kv), NativeState(kv), NativeExecutor(genesis.config)), keys


def _transfers(engine: Engine, keys: list[bytes], count: int, value: int) -> list[bytes]:
    """Transfers of so many wei to new accounts."""
    chain_id, price = engine.config.chain_id, 10**10
    return [
        signed(
            FeeMarketTransaction(
                chain_id, number // SENDERS, 10**6, price, TRANSFER_GAS, keccak(number.to_bytes(8, "big"))[:20], value, b""
            ),
            keys[number % SENDERS],
        ).raw
        for number in range(count)
    ]


def _built(engine: Engine, raws: list[bytes]) -> Block:
    """The block of these transactions on the genesis."""
    attributes = dev_attributes(engine.config, engine.head, engine.head.timestamp + 2, ImaginedL1())
    forced = Transactions((*(attributes.transactions or ()), *raws))
    identity = engine.builder.start(engine.head, replace(attributes, transactions=forced, no_tx_pool=True, gas_limit=60_000_000), 3)
    built = engine.builder.get(identity)
    assert built is not None
    return built.block


if __name__ == "__main__":
    sys.exit(main())
