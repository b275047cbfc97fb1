"""Runs the test files of a public suite and prints geth's records: what `statetest` and `blocktest` have in common.

Whatever goes wrong with one test, or with one file, is its outcome; the run goes on.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from l2engine.conformance.sources import documents
from l2engine.conformance.statetest import Case, Outcome
from l2engine.errors import L2EngineError


def run(paths: list[Path], noun: str, cases: Callable[[Mapping[str, Any]], Iterable[Case]], execute: Callable[[Case], Outcome]) -> int:
    """Print one record a case as a JSON list, and a line a file on standard error. 0 when all pass; when no file holds tests, only
    their lines are printed."""
    outcomes: list[Outcome] = []
    nothing_read = True
    for name, read in documents(paths):
        before = len(outcomes)
        try:
            outcomes += [_outcome(case, execute) for case in cases(read())]
        except (L2EngineError, OSError) as error:
            outcomes.append(Outcome(name, "", False, None, str(error)))
            print(f"l2engine: {error}", file=sys.stderr)
            continue
        nothing_read = False
        failed = sum(not outcome.passed for outcome in outcomes[before:])
        print(f"{name}: {len(outcomes) - before} {noun}" + (f", {failed} FAILED" if failed else ""), file=sys.stderr)
    if not nothing_read:
        print(json.dumps([outcome.to_json() for outcome in outcomes], indent=1))
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def _outcome(case: Case, execute: Callable[[Case], Outcome]) -> Outcome:
    try:
        return execute(case)
    except Exception as error:  # a file may hold anything, and the other cases want to run
        why = _why(error)
        print(f"{case.name}: {why}", file=sys.stderr)
        return Outcome(case.name, case.fork, False, None, why)


def _why(error: Exception) -> str:
    if isinstance(error, L2EngineError):
        return str(error)
    return f"the field {error} is missing" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
