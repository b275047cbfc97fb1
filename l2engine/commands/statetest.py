"""Run state tests of ethereum/tests and print geth's `evm statetest` records as one JSON list."""

import argparse
import sys
from pathlib import Path

from l2engine.commands import suite
from l2engine.conformance import statetest
from l2engine.conformance.statetest import Case, Outcome
from l2engine.evm.choose import KINDS, executor_factory
from l2engine.evm.tracers.steps import JsonTracer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="test files, folders or .tar.zst archives")
    parser.add_argument("--fork", help="run only this fork's cases (the suites' names: Cancun, EIP158, …)")
    parser.add_argument("--json-trace", action="store_true", help="write EIP-3155 lines of every step to standard error")
    parser.add_argument("--evm", choices=KINDS, default="auto", help="which executor runs")


def run(args: argparse.Namespace) -> int:
    """0 when every case passes."""
    executor = executor_factory(args.evm)
    fork = args.fork and statetest.fork_named(args.fork)

    def execute(case: Case) -> Outcome:
        outcome = statetest.run(case.load(), executor, JsonTracer(sys.stderr) if args.json_trace else None)
        if args.json_trace and outcome.state_root is not None:
            print(f'{{"stateRoot": "0x{outcome.state_root.hex()}"}}', file=sys.stderr)
        return outcome

    return suite.run(args.paths, "cases", lambda document: statetest.cases(document, fork), execute)
