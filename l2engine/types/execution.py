"""The seam between the chain and an executor: blocks and calls to run, and their results.

Executor and store know each other only through this module, `types/state.py` and `types/storage.py`, so that each can have
a Python and a native form.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import Any, TypeAlias

from l2engine.errors import ExecutionTimeout
from l2engine.types.base import Address, Gas, Hash32, Wei
from l2engine.types.delegation import Authorization
from l2engine.types.failure import Failure
from l2engine.types.native_core import core as _native
from l2engine.types.receipt import Log, Receipt
from l2engine.types.state import StateDiff


@dataclass(frozen=True, slots=True)
class TransactionResult:
    """One executed transaction."""

    receipt: Receipt
    gas_used: Gas
    output: bytes
    """Return or revert data."""
    l1_fee: Wei = 0
    operator_fee: Wei = 0


@dataclass(frozen=True, slots=True)
class BlockResult:
    """An executed block, before its state root is known."""

    receipts: Sequence[Receipt]
    gas_used: Gas
    blob_gas_used: int
    """EIP-4844 gas under Ethereum rules, the DA footprint from Jovian on, else 0."""
    requests: tuple[bytes, ...] | None
    """EIP-7685 requests under Ethereum's Prague rules; on OP chains always empty."""
    diff: StateDiff
    receipts_root: Hash32
    logs_bloom: bytes
    value: Wei
    """The beneficiary's earnings: gas used times effective tip."""


class Deadline:
    """A moment (time.monotonic seconds) that may be made earlier while the execution that it limits is running.

    It can be compared with floats, so that `time.monotonic() > deadline` works for a `Deadline` and for a plain float.
    """

    __slots__ = ("__weakref__", "_at", "native")

    def __init__(self, at: float) -> None:
        self._at = at
        self.native: Any = None if _native is None else _native.Deadline(at - monotonic())
        """This deadline for the native core, which looks at it while it runs."""

    @property
    def at(self) -> float:
        return self._at

    @at.setter
    def at(self, at: float) -> None:
        self._at = at
        if self.native is not None:
            self.native.set(at - monotonic())

    def bring_forward(self, at: float) -> None:
        """Make it `at`, unless it is earlier."""
        self.at = min(self.at, at)

    def check(self) -> None:
        """Raise `ExecutionTimeout` when the moment has passed."""
        if monotonic() > self.at:
            raise ExecutionTimeout("execution aborted (timeout)")

    def __lt__(self, now: float) -> bool:
        return self.at < now

    def __le__(self, now: float) -> bool:
        return self.at <= now

    def __gt__(self, now: float) -> bool:
        return self.at > now

    def __ge__(self, now: float) -> bool:
        return self.at >= now


NO_DEADLINE = Deadline(inf)

RefundRule: TypeAlias = Callable[[Gas], Gas]
"""A function from the gas that a transaction has used to the part of it that is refunded (Lagoon)."""


@dataclass(frozen=True, slots=True)
class Call:
    """A message call without fees, as eth_call makes it."""

    sender: Address
    to: Address | None
    """None creates a contract."""
    gas: Gas
    gas_price: Wei = 0
    max_fee_per_gas: Wei | None = None
    max_priority_fee_per_gas: Wei | None = None
    value: Wei = 0
    data: bytes = b""
    access_list: tuple[tuple[Address, tuple[Hash32, ...]], ...] = ()
    authorization_list: tuple[Authorization, ...] = ()
    blob_versioned_hashes: tuple[Hash32, ...] = ()
    max_fee_per_blob_gas: Wei = 0
    """0 makes blobs free."""
    nonce: int | None = None
    """None uses the account's current nonce."""


@dataclass(frozen=True, slots=True)
class AccountOverride:
    """eth_call's state override for one account; None keeps the current value."""

    nonce: int | None = None
    balance: Wei | None = None
    code: bytes | None = None
    state: Mapping[int, int] | None = None
    """Replaces the whole storage."""
    state_diff: Mapping[int, int] | None = None
    """Replaces single slots."""
    move_precompile_to: Address | None = None


@dataclass(frozen=True, slots=True)
class CallResult:
    """The outcome of a `Call`."""

    success: bool
    output: bytes
    """Return data, or revert data when the call reverted."""
    gas_used: Gas
    """After refunds and the EIP-7623 floor."""
    gas_refund: Gas
    failure: Failure | None
    """None on success."""
    created: Address | None = None
    """The new contract, when one was created."""
    logs: tuple[Log, ...] = ()
