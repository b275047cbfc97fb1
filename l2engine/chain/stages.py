"""How long each stage of an import takes: the clock is read once at the end of each stage."""

from time import perf_counter


class Stages:
    """Seconds by stage, in order. A stage begins where the one before ended, the first one when this is made."""

    __slots__ = ("_last", "_start", "seconds")

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = self._last = perf_counter()

    def end(self, stage: str) -> None:
        """`stage` is over."""
        now = perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now

    @property
    def total(self) -> float:
        """Seconds until the end of the last stage."""
        return self._last - self._start
