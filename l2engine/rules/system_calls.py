"""The calls that a block makes before its first transaction, one row each.

They run as real calls from the system address with 30 million gas that no one pays; where there is no code they leave no
trace. Sources: EIP-4788, EIP-2935; OP specs, ecotone and isthmus derivation.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

from l2engine.rules.forks import Fork, L1Rules
from l2engine.rules.predeploys import BEACON_ROOTS, HISTORY_STORAGE
from l2engine.types.base import Address
from l2engine.types.environment import BlockEnv

SYSTEM_CALL_GAS = 30_000_000


@dataclass(frozen=True, slots=True)
class SystemCall:
    """One call at the start of every block since a fork."""

    since: L1Rules
    contract: Address
    data: Callable[[BlockEnv], bytes]


SYSTEM_CALLS = (
    SystemCall(L1Rules.CANCUN, BEACON_ROOTS, lambda env: env.parent_beacon_block_root or bytes(32)),
    SystemCall(L1Rules.PRAGUE, HISTORY_STORAGE, lambda env: env.parent.hash),
)


def system_calls(fork: Fork) -> tuple[SystemCall, ...]:
    """The calls that blocks of this fork begin with, in order."""
    return tuple(call for call in SYSTEM_CALLS if fork.has(call.since))
