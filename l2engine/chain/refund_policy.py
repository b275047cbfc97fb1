"""Which gas refunds a block builder gives, where its operator wants any (Lagoon, sequencer-defined metering).

Not consensus: a verifier takes any refunds within the block rules. The one policy here is block-level warming: who touches an account
or a slot that an earlier transaction of the block has touched pays as if it were warm already. `Warming` is pure; `Touches` feeds it
from execution, as a tracer on either executor. Source: digest "Lagoon", section 9.6; amounts: EIP-2929.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from l2engine.evm.opcodes import ACCOUNT_OPCODES, SLOT_OPCODES, stack_address
from l2engine.evm.tracers.base import NoopTracer
from l2engine.rules.predeploys import BASE_FEE_VAULT, L1_FEE_VAULT, OPERATOR_FEE_VAULT
from l2engine.types.base import Address, Gas, Wei
from l2engine.types.tracing import TracedFrame, TracedTransaction
from l2engine.types.transaction import Transaction

_COLD_ACCOUNT, _COLD_SLOT, _WARM = 2600, 2100, 100
ACCOUNT_REFUND: Gas = _COLD_ACCOUNT - _WARM
SLOAD_REFUND: Gas = _COLD_SLOT - _WARM
SSTORE_REFUND: Gas = _COLD_SLOT
_SLOAD = 0x54
_VAULTS = (L1_FEE_VAULT, BASE_FEE_VAULT, OPERATOR_FEE_VAULT)

Slot = tuple[Address, int]


@dataclass(slots=True)
class TransactionWarmth:
    """The touches of one transaction, in order, and what they earn; nothing of it is remembered before `Warming.remember`."""

    block: "Warming"
    earns: bool
    """Deposits touch and never earn."""
    warm_accounts: frozenset[Address] = frozenset()
    """Accounts that the transaction has warm by right, which earn nothing."""
    warm_slots: frozenset[Slot] = frozenset()
    refund: Gas = 0
    accounts: set[Address] = field(default_factory=set)
    slots: set[Slot] = field(default_factory=set)

    def account(self, address: Address) -> None:
        """An opcode or a frame names an account."""
        if address not in self.accounts:
            self.accounts.add(address)
            if self.earns and address in self.block.accounts and address not in self.warm_accounts:
                self.refund += ACCOUNT_REFUND

    def sload(self, address: Address, slot: int) -> None:
        """A slot is read."""
        self._slot((address, slot), SLOAD_REFUND)

    def sstore(self, address: Address, slot: int) -> None:
        """A slot is written."""
        self._slot((address, slot), SSTORE_REFUND)

    def protocol(self, address: Address) -> None:
        """The protocol itself works on an account, which never earns."""
        self.accounts.add(address)

    def _slot(self, slot: Slot, refund: Gas) -> None:
        self.accounts.add(slot[0])  # its first touch, and one that earns nothing
        if slot not in self.slots:
            self.slots.add(slot)
            if self.earns and slot in self.block.slots and slot not in self.warm_slots:
                self.refund += refund


class Warming:
    """The accounts and slots that a block's transactions have touched so far."""

    def __init__(self) -> None:
        self.accounts: set[Address] = set()
        self.slots: set[Slot] = set()

    def begin(self, earns: bool = True, warm_accounts: Iterable[Address] = (), warm_slots: Iterable[Slot] = ()) -> TransactionWarmth:
        """A transaction that may become part of the block."""
        return TransactionWarmth(self, earns, frozenset(warm_accounts), frozenset(warm_slots))

    def remember(self, transaction: TransactionWarmth) -> None:
        """The transaction is part of the block. One that failed or was dropped is simply never remembered."""
        self.accounts |= transaction.accounts
        self.slots |= transaction.slots


class Touches(NoopTracer):
    """Traces one transaction and gives the accounts and slots that it made warm."""

    steps = SLOT_OPCODES | ACCOUNT_OPCODES

    def __init__(self, block: Warming, tx: Transaction) -> None:
        self._block, self._tx = block, tx
        self._access_list = getattr(tx, "access_list", ())
        self._step: tuple[int, Address, int] | None = None
        """The running step that names an account or a slot: its opcode, where it runs, and the name."""
        self.warmth = block.begin(tx.is_signed)

    def begin(self, transaction: TracedTransaction) -> None:
        super().begin(transaction)
        accounts = {transaction.sender, transaction.to, transaction.env.beneficiary, *transaction.precompiles, *transaction.authorities}
        accounts.update(address for address, _ in self._access_list)
        slots = ((address, int.from_bytes(key, "big")) for address, keys in self._access_list for key in keys)
        self.warmth = self._block.begin(self._tx.is_signed, accounts, slots)

    def enter(self, kind: str, sender: Address, to: Address, value: Wei, gas: Gas, data: bytes) -> None:
        if kind == "SELFDESTRUCT":  # its step has named the heir
            return
        if kind in ("CREATE", "CREATE2"):
            self.warmth.account(sender)
        self.warmth.account(to)

    def step(self, frame: TracedFrame, pc: int, opcode: int) -> None:
        stack = frame.stack
        self._step = (opcode, frame.address, stack[-1]) if len(stack) else None

    def step_done(self, frame: TracedFrame, cost: Gas, error: str | None) -> None:
        if self._step is None or error is not None:  # a step that fails before it runs touches nothing
            return
        opcode, address, named = self._step
        self._step = None
        if opcode not in SLOT_OPCODES:
            self.warmth.account(stack_address(named))
        elif opcode == _SLOAD:
            self.warmth.sload(address, named)
        else:
            self.warmth.sstore(address, named)

    def end(self, gas_used: Gas, error: str | None) -> None:
        if self._tx.is_signed:
            for vault in _VAULTS:
                self.warmth.protocol(vault)
