"""Run state tests of ethereum/tests and print geth's `evm statetest` records as one JSON list."""

import argparse
import json
import sys
from pathlib import Path

from l2engine.conformance import statetest
from l2engine.conformance.sources import documents
from l2engine.conformance.statetest import Outcome
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
    outcomes: list[Outcome] = []
    for name, document in documents(args.paths):
        before = len(outcomes)
        for test in statetest.read(document, fork):
            tracer = JsonTracer(sys.stderr) if args.json_trace else None
            outcome = statetest.run(test, executor, tracer)
            outcomes.append(outcome)
            if args.json_trace and outcome.state_root is not None:
                print(f'{{"stateRoot": "0x{outcome.state_root.hex()}"}}', file=sys.stderr)
        failed = sum(not outcome.passed for outcome in outcomes[before:])
        print(f"{name}: {len(outcomes) - before} cases" + (f", {failed} FAILED" if failed else ""), file=sys.stderr)
    print(json.dumps([outcome.to_json() for outcome in outcomes], indent=1))
    return 0 if all(outcome.passed for outcome in outcomes) else 1
