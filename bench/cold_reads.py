"""The cost of reading from the disk: eth_getBalance of random accounts and newPayload of transfers to random accounts, all in tables.

    .venv/bin/python bench/cold_reads.py [--tree PATH] [--rounds 5] [--accounts 300000]

With `--tree`, another checkout with its own native core as the folder `l2engine_native` in it, both are measured in alternation, each
time on a fresh copy of one database, which the other one made. Prints Markdown: processor time, median (least-most) of the rounds'
medians, which neighbours disturb less than wall time. Nothing goes over HTTP.
"""

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).resolve().parents[1]
READS = 20_000
BLOCKS = 8
GAS = 30_000_000


def address(number: int) -> bytes:
    """An account of the genesis."""
    return number.to_bytes(20, "big", signed=False).replace(b"\0", b"\x11")


def open_all(folder: Path, accounts: int) -> tuple[Any, Any]:
    """The key-value store and an engine over it, on a dev genesis with so many more accounts."""
    from genesis import loader
    from genesis.dev import dev_genesis
    from l2engine.chain.engine import Engine
    from l2engine.evm.native.machine import NativeExecutor
    from l2engine.store.blocks import BlockStore
    from l2engine.store.genesis import write_genesis
    from l2engine.store.native import NativeKeyValue, NativeState

    is_new = not folder.exists()
    document = dev_genesis("isthmus", 1_700_000_000) | {"gasLimit": hex(GAS)}
    for number in range(accounts):
        document["alloc"]["0x" + address(number).hex()] = {"balance": hex(10**18 + number)}
    genesis = loader.load(document)
    kv = NativeKeyValue(folder)
    if is_new:
        write_genesis(kv, genesis.block, genesis.alloc, b"{}")
        kv.close()
        kv = NativeKeyValue(folder)  # moves the log into tables
    return kv, Engine(genesis.config, kv, BlockStore(kv), NativeState(kv), NativeExecutor(genesis.config))


def build(engine: Any, accounts: int) -> list[Any]:
    """Blocks full of transfers, each to another account of the genesis."""
    from genesis.dev.accounts import DEV_ACCOUNTS
    from l2engine.dev.l1 import ImaginedL1, dev_attributes
    from l2engine.types.payload import ForkchoiceState
    from l2engine.types.transactions import Transactions
    from tests.helpers.transactions import transfer

    chance, nonce, blocks = random.Random(1), 0, []
    for _ in range(BLOCKS):
        head = engine.head
        attributes = dev_attributes(engine.config, head, head.timestamp + 2, ImaginedL1())
        raws = []
        for _ in range((GAS - 400_000) // 21_000):
            raws.append(transfer(DEV_ACCOUNTS[0], nonce, address(chance.randrange(accounts)), 1))
            nonce += 1
        forced = replace(attributes, transactions=Transactions((*(attributes.transactions or ()), *raws)), no_tx_pool=True)
        state = ForkchoiceState(head.hash, bytes(32), bytes(32))
        block = engine.get_payload(engine.forkchoice_updated(state, forced, 3).payload_id).block
        submit(engine, block)
        engine.set_head(block.header)
        blocks.append(block)
    return blocks


def submit(engine: Any, block: Any) -> float:
    """Seconds of processor time, all threads together, that newPayload takes."""
    from l2engine.chain.payload import from_block

    payload = from_block(engine.config, block)
    started = time.process_time()
    status = engine.new_payload(payload, (), block.header.parent_beacon_block_root, ())
    took = time.process_time() - started
    assert status.status.value == "VALID", status
    return took


def measure(folder: Path, accounts: int) -> dict[str, float]:
    """Medians of processor time: microseconds of an eth_getBalance, milliseconds of a newPayload. The blocks are built on another copy."""
    from rpc.context import Context
    from rpc.jsonrpc import handle
    from rpc.registry import methods_for

    shutil.copytree(folder, folder.with_suffix(".build"))
    kv, engine = open_all(folder.with_suffix(".build"), accounts)
    blocks = build(engine, accounts)
    kv.close()
    kv, engine = open_all(folder, accounts)
    payloads = []
    for block in blocks:
        payloads.append(submit(engine, block))
        engine.set_head(block.header)
    methods, context, chance = methods_for(("eth",)), Context(engine), random.Random(2)
    bodies = [
        orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_getBalance", "params": ["0x" + address(number).hex(), "latest"]})
        for number in chance.sample(range(accounts), READS)
    ]
    groups = []
    for start in range(0, READS, 500):
        started = time.process_time()
        for body in bodies[start : start + 500]:
            handle(body, methods, context)
        groups.append((time.process_time() - started) / 500 * 1e6)
    kv.close()
    return {"eth_getBalance µs": statistics.median(groups), "newPayload ms": statistics.median(payloads) * 1e3}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tree", type=Path, help="another checkout to measure beside this one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--accounts", type=int, default=300_000)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sys.path[0] = str(arguments.tree or ROOT)  # in place of this folder, whose rpc.py hides the package
    if arguments.one is not None:
        print(json.dumps(measure(arguments.one, arguments.accounts)))
        return 0
    trees = [tree.resolve() for tree in (arguments.tree, ROOT) if tree is not None]
    results: dict[Path, list[dict[str, float]]] = {tree: [] for tree in trees}
    with tempfile.TemporaryDirectory() as name:
        open_all(Path(name) / "made", arguments.accounts)[0].close()
        for turn in range(arguments.rounds):
            for tree in trees if turn % 2 else reversed(trees):
                copy = Path(shutil.copytree(Path(name) / "made", Path(name) / f"{turn}-{trees.index(tree)}"))
                command = [sys.executable, __file__, "--one", str(copy), "--accounts", str(arguments.accounts), "--tree", str(tree)]
                output = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
                results[tree].append(json.loads(output.splitlines()[-1]))
                shutil.rmtree(copy)
                shutil.rmtree(copy.with_suffix(".build"))
    print("| tree | " + " | ".join(results[ROOT][0]) + " |\n|---|---|---|")
    for tree in trees:
        columns = [[row[name] for row in results[tree]] for name in results[tree][0]]
        cells = [f"{statistics.median(column):.1f} ({min(column):.1f}–{max(column):.1f})" for column in columns]
        print(f"| {'this' if tree == ROOT else 'other'} | " + " | ".join(cells) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
