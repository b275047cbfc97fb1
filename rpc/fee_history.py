"""The tips paid for the gas of recent blocks, for eth_feeHistory: computed once per block."""

import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from l2engine.types.base import Gas, Hash32, Wei

MAX_STEPS = 200_000  # of all kept blocks together, about 20 MB


@dataclass(frozen=True, slots=True)
class TipSteps:
    """The tips of one block in ascending order, each with the amount of gas that paid this tip or less."""

    tips: tuple[Wei, ...]
    gas: tuple[Gas, ...]

    def at(self, threshold: Gas) -> Wei:
        """The tip at which the gas, counted from the cheapest tip up, reaches `threshold`; 0 in a block without transactions."""
        return self.tips[min(bisect_left(self.gas, threshold), len(self.tips) - 1)] if self.tips else 0


def steps(paid: Iterable[tuple[Wei, Gas]]) -> TipSteps:
    """The tip steps of a block from the (tip, gas used) of each transaction."""
    by_tip: dict[Wei, Gas] = {}
    for tip, gas in paid:
        by_tip[tip] = by_tip.get(tip, 0) + gas
    tips, sums, total = tuple(sorted(by_tip)), [], 0
    for tip in tips:
        total += by_tip[tip]
        sums.append(total)
    return TipSteps(tips, tuple(sums))


class PaidTips:
    """A cache of the tips of recently requested blocks; any thread may use it."""

    def __init__(self, max_steps: int = MAX_STEPS) -> None:
        self._max, self._kept = max_steps, 0
        self._blocks: OrderedDict[Hash32, TipSteps] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, block_hash: Hash32, compute: Callable[[], TipSteps]) -> TipSteps:
        """The block's tips, computed if they are not cached."""
        with self._lock:
            found = self._blocks.get(block_hash)
        if found is None:
            found = compute()
            with self._lock:
                if block_hash not in self._blocks:
                    self._blocks[block_hash] = found
                    self._kept += 1 + len(found.tips)
                while self._kept > self._max:
                    self._kept -= 1 + len(self._blocks.popitem(last=False)[1].tips)
        return found
