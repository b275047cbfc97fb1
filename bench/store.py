"""How fast the Python store is: the state root of a block, reading, moving the base, and what a block costs on disk.

Run: .venv/bin/python bench/store.py [accounts] [touched per block] ...
"""

import random
import sys
import tempfile
import time
from pathlib import Path

from l2engine.store.blocks import BlockStore
from l2engine.store.genesis import write_alloc, write_genesis
from l2engine.store.kv import LevelDB, MemoryKeyValue
from l2engine.store.state import LayeredState
from l2engine.store.verify import stats
from l2engine.types.base import EMPTY_OMMERS_HASH, EMPTY_ROOT
from l2engine.types.block import Block
from l2engine.types.genesis import GenesisAccount
from l2engine.types.header import Header
from l2engine.types.state import Account, AccountDiff, StateDiff
from l2engine.types.transactions import Transactions

LAYERS = 128
GROWTH_BLOCKS = 20
REPEAT = 3


def make_block(parent: Header | None, root: bytes) -> Block:
    number = parent.number + 1 if parent else 0
    parent_hash = parent.hash if parent else bytes(32)
    fixed = (
        EMPTY_OMMERS_HASH,
        bytes(20),
        root,
        EMPTY_ROOT,
        EMPTY_ROOT,
        bytes(256),
        0,
        number,
        30_000_000,
        0,
        2 * number,
        b"",
        bytes(32),
        bytes(8),
        7,
    )
    return Block(Header(parent_hash, *fixed), Transactions())


def address_of(index: int) -> bytes:
    return index.to_bytes(20, "big")


def size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


class Chain:
    """Blocks of plain balance changes over a large state."""

    def __init__(self, kv: LevelDB, genesis: Block, accounts: int) -> None:
        self.kv, self.blocks, self.accounts = kv, BlockStore(kv), accounts
        self.state = LayeredState(kv, layers=LAYERS)
        self.head = genesis
        self.rng = random.Random(1)

    def diff(self, touched: int) -> StateDiff:
        picks = self.rng.sample(range(self.accounts), touched)
        return StateDiff({address_of(i): AccountDiff(Account(1, self.rng.getrandbits(70))) for i in picks}, {})

    def add(self, touched: int) -> tuple[float, float, float]:
        """CPU seconds to compute the root, to write the block, and to move head and base."""
        diff = self.diff(touched)
        times = [time.thread_time()]
        prepared = self.state.prepare(self.head.hash, diff)
        times.append(time.thread_time())
        self.head = make_block(self.head.header, prepared.root)
        batch = self.kv.batch()
        self.blocks.put(batch, self.head, ())
        self.state.push(batch, self.head, prepared)
        batch.write()
        self.state.attach(self.head, prepared)
        times.append(time.thread_time())
        self.state.set_head([self.head.header])
        times.append(time.thread_time())
        return times[1] - times[0], times[2] - times[1], times[3] - times[2]


def main(accounts: int, loads: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "db"
        alloc = {address_of(i): GenesisAccount(random.getrandbits(70)) for i in range(accounts)}
        root = write_alloc(MemoryKeyValue().batch(), alloc)
        genesis = make_block(None, root)
        kv = LevelDB(path)
        started = time.perf_counter()
        write_genesis(kv, genesis, alloc, b"{}")
        print(f"{accounts:,} accounts: genesis {time.perf_counter() - started:.1f} s, {size(path) / 2**20:.0f} MiB")
        del alloc
        chain = Chain(kv, genesis, accounts)
        print("| touched | layers | root, CPU ms | write | move base |\n|---|---|---|---|---|")
        for touched in loads:
            for depth in (0, LAYERS):
                while chain.head.number < depth:
                    chain.add(20)
                runs = [chain.add(touched) for _ in range(REPEAT)]
                cells = [f"{1000 * sorted(column)[REPEAT // 2]:.1f}" for column in zip(*runs, strict=True)]
                print(f"| {touched:,} | {min(chain.head.number, LAYERS)} | " + " | ".join(cells) + " |")
        measure_reads(chain)
        for touched in (20, 1000):
            measure_growth(chain, touched)
        kv.close()


def measure_reads(chain: Chain) -> None:
    base = chain.blocks.header(chain.state.base[1])
    assert base is not None
    for name, block_hash in (
        ("head, 128 layers", chain.head.hash),
        ("base", base.hash),
        ("128 below head, past", base.parent_hash),
    ):
        picks = [address_of(chain.rng.randrange(chain.accounts)) for _ in range(5000)]
        started = time.thread_time()
        view = chain.state.view(block_hash)
        for address in picks:
            view.account(address)
        print(f"account read at {name}: {(time.thread_time() - started) / len(picks) * 1e6:.1f} us")


def measure_growth(chain: Chain, touched: int) -> None:
    """The bytes that each block adds for good: the past of flat rows and of trie nodes, before compression."""
    for _ in range(LAYERS):  # all layers of this kind, so that each move of the base merges one
        chain.add(touched)
    before = {row.name: row.key_bytes + row.value_bytes for row in stats(chain.kv)}
    for _ in range(GROWTH_BLOCKS):
        chain.add(touched)
    grown = {row.name: (row.key_bytes + row.value_bytes - before[row.name]) / GROWTH_BLOCKS / 1024 for row in stats(chain.kv)}
    print(f"{touched} accounts a block: " + ", ".join(f"{name} {kib:.1f} KiB" for name, kib in grown.items() if kib > 0.05))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000, [int(arg) for arg in sys.argv[2:]] or [1_000, 10_000])
