"""Execute block witnesses, each a block with the state it reads, and compare the hash of the sealed block."""

import argparse
import sys
import time
from pathlib import Path

from l2engine.conformance import witness
from l2engine.errors import L2EngineError
from l2engine.evm.choose import KINDS, executor_factory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="witness files, plain or .gz")
    parser.add_argument("--evm", choices=KINDS, default="auto", help="which executor runs")


def run(args: argparse.Namespace) -> int:
    """0 when every block has the expected hash."""
    executor, ok = executor_factory(args.evm), True
    for path in args.files:
        try:
            block = witness.read(path)
            started = time.perf_counter()
            header = witness.execute(block, executor(block.config))
        except (L2EngineError, OSError) as error:
            why = error.strerror or error if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            print(f"{path}: {why}")
            ok = False
            continue
        seconds = time.perf_counter() - started
        line = f"block {header.number} 0x{header.hash.hex()} gas {header.gas_used} {header.gas_used / seconds / 1e6:.2f} Mgas/s"
        if block.expected_hash is None:
            print(f"{line} no hash to compare", flush=True)
        elif header.hash == block.expected_hash:
            print(f"{line} OK", flush=True)
        else:
            ok = False
            print(f"{line} DIFFERS expected 0x{block.expected_hash.hex()}", flush=True)
            print(f"  sealed header: {header}", file=sys.stderr)
    return 0 if ok else 1
