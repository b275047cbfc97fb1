"""Run blockchain tests of ethereum/tests and print one record each as a JSON list, as `statetest` does."""

import argparse
import sys
from pathlib import Path

from l2engine.commands import suite
from l2engine.conformance import blocktest
from l2engine.conformance.statetest import Case, Outcome, fork_named
from l2engine.evm.choose import KINDS, executor_factory
from l2engine.evm.tracers.steps import JsonTracer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="test files, folders or .tar.zst archives")
    parser.add_argument("--fork", help="run only this network's tests (Cancun, BerlinToLondonAt5, …)")
    parser.add_argument("--json-trace", action="store_true", help="write EIP-3155 lines of every step to standard error")
    parser.add_argument("--evm", choices=KINDS, default="auto", help="which executor runs")


def run(args: argparse.Namespace) -> int:
    """0 when every test passes."""
    executor = executor_factory(args.evm)
    fork = args.fork if args.fork is None or "To" in args.fork else fork_named(args.fork)

    def execute(case: Case) -> Outcome:
        return blocktest.run(case.load(), executor, JsonTracer(sys.stderr) if args.json_trace else None)

    return suite.run(args.paths, "tests", lambda document: blocktest.cases(document, fork), execute)
