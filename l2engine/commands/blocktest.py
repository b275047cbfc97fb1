"""`l2engine blocktest PATH...`: run blockchain tests and print one record each, as `statetest` does."""

import argparse
import json
import sys
from pathlib import Path

from l2engine.conformance import blocktest
from l2engine.conformance.executors import KINDS, executor_factory
from l2engine.conformance.sources import documents
from l2engine.conformance.statetest import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="test files, folders or .tar.zst archives")
    parser.add_argument("--fork", help="run only this network's tests (Cancun, BerlinToLondonAt5, …)")
    parser.add_argument("--evm", choices=KINDS, default="auto", help="which executor runs")


def run(args: argparse.Namespace) -> int:
    """0 when every test passes."""
    executor = executor_factory(args.evm)
    outcomes: list[Outcome] = []
    for name, document in documents(args.paths):
        before = len(outcomes)
        outcomes += [blocktest.run(test, executor) for test in blocktest.read(document, args.fork)]
        failed = sum(not outcome.passed for outcome in outcomes[before:])
        print(f"{name}: {len(outcomes) - before} tests" + (f", {failed} FAILED" if failed else ""), file=sys.stderr)
    print(json.dumps([outcome.to_json() for outcome in outcomes], indent=1))
    return 0 if all(outcome.passed for outcome in outcomes) else 1
