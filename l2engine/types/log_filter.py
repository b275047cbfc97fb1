"""The filter for logs by address and topics, as in eth_getLogs."""

from collections.abc import Callable
from dataclasses import dataclass

from l2engine.types.base import Address, Hash32
from l2engine.types.receipt import Log, bloom_bits


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Addresses and topics that a log must have."""

    addresses: frozenset[Address] = frozenset()
    """Empty for any."""
    topics: tuple[frozenset[Hash32], ...] = ()
    """Alternatives per position; an empty set matches anything there."""

    @property
    def size(self) -> int:
        """The number of addresses and topics in the filter."""
        return len(self.addresses) + sum(map(len, self.topics))

    def matches(self, log: Log) -> bool:
        """Whether a log passes the filter."""
        if self.addresses and log.address not in self.addresses:
            return False
        if len(self.topics) > len(log.topics):
            return False
        return all(not group or topic in group for group, topic in zip(self.topics, log.topics, strict=False))

    def bloom_test(self) -> Callable[[bytes], bool]:
        """A test of a block's bloom filter, prepared once for many blocks. False when the bloom rules out every alternative of one
        of the conditions, or when the bloom is empty, so that the block has no logs."""
        conditions = [[bloom_bits(item) for item in group] for group in (self.addresses, *self.topics) if group]

        def may_match(bloom: bytes) -> bool:
            bits = int.from_bytes(bloom, "big")
            return bool(bits) and all(any(mask & bits == mask for mask in alternatives) for alternatives in conditions)

        return may_match
