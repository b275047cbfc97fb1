"""Messages between chains in the pool: which transactions execute messages, and when those that wait are checked again.

The check itself is asked of filters that follow the other chains (--rollup.interop-http). Blocks are not checked: the rollup node
replaces a block with an invalid message. Source: OP specs, interop/tx-pool.md; digest 10.
"""

from collections.abc import Sequence
from typing import Protocol

from l2engine.rules.predeploys import CROSS_L2_INBOX
from l2engine.types.base import Hash32, Timestamp
from l2engine.types.transaction import AccessList

VALID_SECONDS = 7200
"""How long a checked transaction may wait, counted from the head's timestamp; the filter is asked to vouch for that long."""
AGAIN_SECONDS = 60
"""A waiting transaction is checked again after this time."""


class MessageFilter(Protocol):
    """Asks whether messages of other chains are valid. Any thread may use it."""

    @property
    def failsafe(self) -> bool:
        """Whether a filter has closed the pool for all transactions that execute messages."""

    def check(self, keys: Sequence[Hash32], timestamp: Timestamp) -> None:
        """Check the messages that these access-list keys name, for a block after the head's `timestamp`. `PoolError` when they are
        invalid, or when not enough filters answer. May take seconds."""

    def look_at_failsafe(self) -> None:
        """Ask the filters whether the failsafe is on. May take seconds."""


def message_keys(access_list: AccessList) -> list[Hash32]:
    """The keys of the messages that a transaction executes, in order; empty for an ordinary one."""
    return [key for address, keys in access_list if address == CROSS_L2_INBOX for key in keys]
