"""How far a long command is: done, total, rate and time left, on standard error.

One line that renews itself on a terminal; otherwise a line every few seconds.
"""

import sys
import time
from typing import Any


class Progress:
    """Counts steps towards `total`, of which some may be larger than one, or 0 if it is not known; leave the `with` block to end its
    line."""

    def __init__(self, verb: str, total: int) -> None:
        self._verb, self._total = verb, total
        self._done = 0
        self._start = self._shown = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._open_line = False

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        if self._open_line:
            print(file=sys.stderr)

    def step(self, size: int = 1, **facts: Any) -> None:
        """`size` more of the total is done; `facts` go at the end of the line."""
        self._done += size
        now = time.monotonic()
        if now - self._shown >= (0.2 if self._terminal else 5.0):
            self._shown, self._open_line = now, self._terminal
            line = self._line(now, facts)
            print(f"\r{line}\033[K" if self._terminal else line, end="" if self._terminal else "\n", file=sys.stderr, flush=True)

    def _line(self, now: float, facts: dict[str, Any]) -> str:
        text = " ".join(f"{key}={value}" for key, value in facts.items())
        if not self._total:
            return f"{self._verb} {text}"
        share = min(self._done / self._total, 1.0)
        elapsed = now - self._start
        left = elapsed / share - elapsed if share else 0.0
        bar = f"[{'#' * round(share * 24):<24}] " if self._terminal else ""
        return f"{self._verb} {bar}{share:6.1%} {text} eta={_duration(left)}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
