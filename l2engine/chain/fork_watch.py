"""When to warn the operator about forks that this build does not know: once a day from seven days before they begin, and as they begin.

No clock and no log in here: the node asks now and then, with the time and the head.
"""

from collections.abc import Sequence

from l2engine.rules.unknown_forks import UnknownActivation
from l2engine.types.header import Header

DAY = 86_400
NOTICE_SECONDS = 7 * DAY


class ForkWatch:
    """The last warning about each fork. The node's start counts as one: it warns about all of them."""

    def __init__(self, forks: Sequence[UnknownActivation], head: Header, parent: Header | None, now: float) -> None:
        self._told = {fork: (now, _seconds_left(fork, head, parent, now) <= 0) for fork in forks}

    def due(self, head: Header, parent: Header | None, now: float) -> list[tuple[UnknownActivation, float]]:
        """The forks to warn about now, each with the seconds left until it begins, which are 0 or less once it has begun."""
        due = []
        for fork, (when, had_begun) in self._told.items():
            left = _seconds_left(fork, head, parent, now)
            begins = left <= 0 and not had_begun
            if begins or (left <= NOTICE_SECONDS and now - when >= DAY):
                self._told[fork] = (now, left <= 0)
                due.append((fork, left))
        return due


def _seconds_left(fork: UnknownActivation, head: Header, parent: Header | None, now: float) -> float:
    """Of a fork by block number, at the pace of the last two blocks; without two blocks it may be any moment."""
    if fork.time is not None:
        return fork.time - now
    blocks = (fork.block or 0) - head.number - 1
    return blocks * max(1, head.timestamp - parent.timestamp) if parent is not None else min(blocks, 1)
