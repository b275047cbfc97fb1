"""What Lagoon's gas refunds cost: verifying a block of transfers that are all refunded, next to the same block without refunds.

    .venv/bin/python bench/refunds.py [--gas 30000000] [--runs 40]

A run verifies one block on the native executor and store, roots included; senders are known, so that nothing hides what settling
costs. The two blocks take turns. Prints a Markdown row: medians in milliseconds of processor time, and by how much the second is more.
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gas", type=int, default=30_000_000, help="gas in a block, before refunds")
    parser.add_argument("--runs", type=int, default=40)
    arguments = parser.parse_args()
    engine, raws = _chain(arguments.gas // TRANSFER_GAS)
    refunds = tuple(GasRefund(index + 1, 2_500) for index in range(len(raws)))  # the L1-attributes deposit is the first
    payload = encode_transaction(PostExecutionTransaction(1, 1, refunds))
    blocks = [_built(engine, raws), _built(engine, [*raws, payload])]
    seconds: list[list[float]] = [[], []]
    for turn in range(arguments.runs + 2):
        for block, measured in zip(blocks, seconds, strict=True):
            started = time.process_time()
            process_block(engine.config, engine.executor, engine.state, engine.head, block)
            if turn > 1:
                measured.append(time.process_time() - started)
    plain, settled = (1000 * statistics.median(measured) for measured in seconds)
    print("| transfers | Mgas before refunds | without refunds | all refunded | more |\n|---|---|---|---|---|")
    print(f"| {len(raws)} | {arguments.gas / 1e6:.0f} | {plain:.2f} | {settled:.2f} | {100 * (settled / plain - 1):+.1f} % |")
    return 0


def _chain(count: int) -> tuple[Engine, list[bytes]]:
    """A chain at its genesis, and this many transfers to new accounts."""
    keys = [keccak(number.to_bytes(2, "big")) for number in range(SENDERS)]
    genesis = loader.load(dev_genesis("lagoon", 1_800_000_000, accounts=[address_of(public_key(key)) for key in keys]))
    kv = NativeKeyValue(None)
    write_genesis(kv, genesis.block, genesis.alloc, b"{}")
    engine = Engine(genesis.config, kv, BlockStore(kv), NativeState(kv), NativeExecutor(genesis.config))
    chain_id, price = genesis.config.chain_id, 10**10
    raws = [
        signed(
            FeeMarketTransaction(chain_id, number // SENDERS, 10**6, price, TRANSFER_GAS, keccak(number.to_bytes(8, "big"))[:20], 1, b""),
            keys[number % SENDERS],
        ).raw
        for number in range(count)
    ]
    return engine, raws


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
