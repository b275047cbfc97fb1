"""Fork ids: which of a chain's forks have begun, in a few bytes that peers compare when they connect.

Sources: EIP-2124; EIP-6122 for forks by time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from zlib import crc32

from l2engine.rules.config import ChainConfig
from l2engine.types.base import BlockNumber, Hash32, Timestamp

_FIRST_TIME = 1_438_269_973  # Ethereum's genesis: from this value on a fork point is a timestamp, below it a block number


@dataclass(frozen=True, slots=True)
class ForkId:
    """The forks that a node has passed, and the next one it knows."""

    hash: bytes
    """Four bytes: CRC-32 over the genesis hash and the forks that have passed."""
    next: int
    """Block number or time of the next fork it knows; 0 for none."""


class Verdict(Enum):
    """Whether a peer with some fork id may be on the same chain."""

    ACCEPTED = "accepted"
    REMOTE_STALE = "remote stale"
    """The peer does not know a fork that has passed here."""
    INCOMPATIBLE = "local incompatible or stale"
    """The peer is on another chain, or has passed a fork that is not known here."""


@dataclass(frozen=True, slots=True)
class ForkPoints:
    """A chain's genesis hash and the points where its rules change: distinct, ascending, all after the genesis."""

    genesis: Hash32
    blocks: tuple[BlockNumber, ...]
    times: tuple[Timestamp, ...]

    def at(self, number: BlockNumber, timestamp: Timestamp) -> ForkId:
        """The fork id of a node whose head has this number and timestamp."""
        passed = self._passed(number, timestamp)
        forks = self._all()
        return ForkId(self._hash(forks[:passed]), forks[passed] if passed < len(forks) else 0)

    def judge(self, remote: ForkId, number: BlockNumber, timestamp: Timestamp) -> Verdict:
        """The verdict of a node whose head has this number and timestamp on a peer's fork id, by EIP-2124's rules."""
        forks, passed = self._all(), self._passed(number, timestamp)
        hashes = [self._hash(forks[:count]) for count in range(len(forks) + 1)]
        if remote.hash == hashes[passed]:
            reached = (number if remote.next < _FIRST_TIME else timestamp) >= remote.next
            return Verdict.INCOMPATIBLE if remote.next and reached else Verdict.ACCEPTED
        if remote.hash in hashes[:passed]:
            return Verdict.ACCEPTED if remote.next == forks[hashes.index(remote.hash)] else Verdict.REMOTE_STALE
        return Verdict.ACCEPTED if remote.hash in hashes[passed:] else Verdict.INCOMPATIBLE

    def _all(self) -> tuple[int, ...]:
        return (*self.blocks, *self.times)

    def _passed(self, number: BlockNumber, timestamp: Timestamp) -> int:
        heads = [(number, block) for block in self.blocks] + [(timestamp, time) for time in self.times]
        return next((index for index, (head, fork) in enumerate(heads) if head < fork), len(heads))

    def _hash(self, passed: Sequence[int]) -> bytes:
        return crc32(self.genesis + b"".join(fork.to_bytes(8, "big") for fork in passed)).to_bytes(4, "big")


def fork_points(config: ChainConfig, genesis: Hash32, genesis_time: Timestamp) -> ForkPoints:
    """The fork points of a configured chain: all its forks, except those that only the rollup node needs (`Fork.derivation_only`)."""
    active = [item for item in config.activations if not item.fork.derivation_only]
    times = {item.time for item in active if item.time is not None and item.time > genesis_time}
    blocks = {item.block for item in active if item.time is None and item.block}
    return ForkPoints(genesis, tuple(sorted(blocks)), tuple(sorted(times)))
