"""Counts what a request runs of our own code: functions called, files entered."""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OWN = tuple(str(ROOT / folder) for folder in ("l2engine", "rpc", "genesis"))
_NO_FUNCTIONS = frozenset(("<genexpr>", "<listcomp>", "<dictcomp>", "<setcomp>"))


@dataclass
class Journey:
    """The way of one request through the house."""

    calls: Counter[str] = field(default_factory=Counter)
    """By "file:function", comprehensions left aside."""
    longest: int = 0
    """Lines of the longest function that was called."""

    @property
    def total(self) -> int:
        return sum(self.calls.values())

    @property
    def files(self) -> int:
        return len({name.partition(":")[0] for name in self.calls})

    def of(self, function: str) -> int:
        """How often functions of this name were called."""
        return sum(count for name, count in self.calls.items() if name.endswith(f":{function}"))


def count(work: Callable[[], Any]) -> Journey:
    """Run `work` and count."""
    journey = Journey()

    def profile(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(OWN) and code.co_name not in _NO_FUNCTIONS:
            journey.calls[f"{Path(code.co_filename).relative_to(ROOT)}:{code.co_qualname.rpartition('.')[2]}"] += 1
            journey.longest = max(journey.longest, max(line for *_, line in code.co_lines() if line is not None) - code.co_firstlineno + 1)

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return journey
