"""The calls that the system makes at the start and at the end of a block, one row each.

They run as real calls from the system address with 30 million gas that nobody pays for. At the start of a block, a contract without
code is skipped. At its end the contracts return requests (EIP-7685); the block is invalid if one has no code or its call fails.
Sources: EIP-4788, 2935, 6110, 7002, 7251; OP specs, ecotone and isthmus derivation.md.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from l2engine.errors import InvalidBlock
from l2engine.rules.forks import Fork, L1Rules
from l2engine.rules.predeploys import BEACON_ROOTS, CONSOLIDATION_REQUESTS, HISTORY_STORAGE, WITHDRAWAL_REQUESTS
from l2engine.types.base import Address, Hash32
from l2engine.types.environment import BlockEnv
from l2engine.types.receipt import Log

SYSTEM_CALL_GAS = 30_000_000


@dataclass(frozen=True, slots=True)
class SystemCall:
    """One call at the start of every block since a fork."""

    since: L1Rules
    contract: Address
    data: Callable[[BlockEnv], bytes]


@dataclass(frozen=True, slots=True)
class RequestCall:
    """One call at the end of every block since a fork; its output is the block's requests of this kind."""

    since: L1Rules
    kind: int
    contract: Address


SYSTEM_CALLS = (
    SystemCall(L1Rules.CANCUN, BEACON_ROOTS, lambda env: env.parent_beacon_block_root or bytes(32)),
    SystemCall(L1Rules.PRAGUE, HISTORY_STORAGE, lambda env: env.parent.hash),
)

DEPOSIT_REQUESTS = 0
REQUEST_CALLS = (
    RequestCall(L1Rules.PRAGUE, 1, WITHDRAWAL_REQUESTS),
    RequestCall(L1Rules.PRAGUE, 2, CONSOLIDATION_REQUESTS),
)
assert [call.kind for call in REQUEST_CALLS] == sorted({call.kind for call in REQUEST_CALLS} - {DEPOSIT_REQUESTS})

_DEPOSIT_EVENT: Hash32 = bytes.fromhex("649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5")
_DEPOSIT_FIELDS = ((160, 48), (256, 32), (320, 8), (384, 96), (512, 8))
"""Offset and length of each field in the data of the deposit contract's event (EIP-6110)."""


def system_calls(fork: Fork) -> tuple[SystemCall, ...]:
    """The calls that blocks of this fork begin with, in order."""
    return tuple(call for call in SYSTEM_CALLS if fork.has(call.since))


def request_calls(fork: Fork) -> tuple[RequestCall, ...]:
    """The calls that blocks of this fork end with, in order. OP chains have none."""
    return () if fork.is_optimism else tuple(call for call in REQUEST_CALLS if fork.has(call.since))


def deposit_requests(contract: Address | None, logs: Iterable[Log]) -> bytes:
    """The deposits of Ethereum's deposit contract, from its events (EIP-6110). `InvalidBlock` for a malformed event."""
    return b"".join(_deposit_request(log.data) for log in logs if log.address == contract and log.topics[:1] == (_DEPOSIT_EVENT,))


def _deposit_request(data: bytes) -> bytes:
    if len(data) != 576:
        raise InvalidBlock("deposit event with data of the wrong length")
    return b"".join(data[start : start + length] for start, length in _DEPOSIT_FIELDS)
