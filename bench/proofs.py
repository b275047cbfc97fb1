"""Disk that a day of history with proofs takes, over a large state.

    .venv/bin/python bench/proofs.py [accounts] [--blocks N] [--rates 20,200]

Blocks of 2 seconds change random accounts at these rates (accounts a second). The bytes are those of LevelDB's files after compaction, so
with compression; a day is 43,200 times the bytes of one block. Transactions, receipts and log indexes come on top: these blocks have none.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import plyvel

from bench.state import Chain
from bench.store import size
from l2engine.store.native import NativeState
from l2engine.types.base import BlockNumber

BLOCK_SECONDS, BLOCKS_A_DAY = 2, 43_200


def grown(path: Path, accounts: int, touched: int, blocks: BlockNumber) -> float:
    """Bytes that each block of `touched` changed accounts adds to the files, when state and proofs of all blocks are kept."""
    chain = Chain(path)
    chain.grow(accounts)
    chain.kv.close()
    before = settled_size(path)
    chain = Chain(path, accounts)
    chain.state = NativeState(chain.kv, history_state=0, history_proofs=0, layers=0)
    for _ in range(blocks):
        chain.touch(touched)
    chain.kv.close()
    return (settled_size(path) - before) / blocks


def settled_size(path: Path) -> int:
    """Bytes of a closed database's files, after LevelDB has merged all its tables."""
    database = plyvel.DB(str(path))
    database.compact_range(start=b"", stop=b"\xff")  # without bounds nothing is merged
    database.close()
    return size(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("accounts", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--blocks", type=int, default=2_000)
    parser.add_argument("--rates", default="20,200", help="accounts a second, several with commas")
    args = parser.parse_args()
    print(f"| accounts a second, of {args.accounts:,} | bytes a block | GB a day | GB in 7 days |")
    print("|---|---|---|---|")
    for rate in map(int, args.rates.split(",")):
        with tempfile.TemporaryDirectory(dir=Path.home()) as folder:
            bytes_a_block = grown(Path(folder) / "db", args.accounts, rate * BLOCK_SECONDS, args.blocks)
        day = bytes_a_block * BLOCKS_A_DAY / 1e9
        print(f"| {rate} | {bytes_a_block:,.0f} | {day:.2f} | {7 * day:.1f} |", flush=True)


if __name__ == "__main__":
    main()
