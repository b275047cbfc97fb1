"""How a tracer listens to the native core: the hooks that Rust calls while it runs one transaction or call (`native/src/execute/tracing.rs`)."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from l2engine.evm import opcodes, step_gas
from l2engine.evm.reference import precompiles
from l2engine.evm.step_gas import Step
from l2engine.rules.forks import Fork, L1Rules
from l2engine.rules.predeploys import BASE_FEE_VAULT
from l2engine.types.base import Address, Gas, Hash32, Wei
from l2engine.types.environment import BlockEnv
from l2engine.types.failure import Failure, FailureKind
from l2engine.types.state import Account
from l2engine.types.tracing import TracedTransaction, Tracer

_PUSH0, _CLZ = 0x5F, 0x1E
_CANCUN = frozenset((0x49, 0x4A, 0x5C, 0x5D, 0x5E))  # BLOBHASH, BLOBBASEFEE, TLOAD, TSTORE, MCOPY


Named: TypeAlias = tuple[str, str | None]
"""A `Failure` as Rust has it: its kind's value, and its words."""


class Hooks:
    """Passes the events from Rust on to `tracer` and answers Rust's questions."""

    def __init__(self, tracer: Tracer, env: BlockEnv, fork: Fork) -> None:
        self._tracer, self._env, self._fork = tracer, env, fork
        self.steps, self.memory = bytes(tracer.steps), tracer.memory
        self.log, self.step, self.step_done, self.end = tracer.log, tracer.step, tracer.step_done, tracer.end
        self._called: tuple[Address, bytes, Gas] = (b"", b"", 0)

    def begin(
        self,
        sender: Address,
        to: Address,
        creates: bool,
        gas: Gas,
        authorities: tuple[Address, ...],
        precompiles: Sequence[Address],
        state: Any,
    ) -> None:
        """A transaction is about to be charged; `state` is the core's own while it runs."""
        view: Any = _LiveView(state)
        vault = BASE_FEE_VAULT if self._fork.is_optimism else None
        self._tracer.begin(TracedTransaction(self._env, sender, to, creates, gas, frozenset(precompiles), view, authorities, vault))

    def enter(self, kind: str, sender: Address, to: Address, value: Wei, gas: Gas, data: bytes) -> None:
        """A frame begins."""
        self._called = to, data, gas
        self._tracer.enter(kind, sender, to, value, gas, data)

    def leave(self, output: bytes, gas_used: Gas, failed: Named | None) -> None:
        """The innermost frame ends; a precompile that failed was the last to be called."""
        failure = None if failed is None else Failure(FailureKind(failed[0]), failed[1])
        if failure is not None and failure.kind is FailureKind.PRECOMPILE_FAILED:
            failure = precompiles.why_refused(self._fork, *self._called) or failure
        self._tracer.leave(output, gas_used, failure)

    def failed(self, step: Step, opcode: int, failed: Named) -> tuple[Gas, str | None, Named, int]:
        """For a step that failed: its cost, the error that its trace shows, how the frame failed with it (`failed` is the core's
        view), and what the refund counter shows on top."""
        if not _is_defined(opcode, self._fork):
            return 0, None, (FailureKind.INVALID_OPCODE, f"invalid opcode: {opcodes.name(opcode)}"), 0
        found = step_gas.failure(step, opcode, self._fork)
        if found is not None:
            return found.cost, found.failure.text, (found.failure.kind, found.failure.words), found.refund
        return step_gas.whole_cost(step, opcode, self._fork), None, failed, 0


def _is_defined(opcode: int, fork: Fork) -> bool:
    """Whether the fork has the opcode; INVALID is one that none has."""
    if opcode == _PUSH0:
        return fork.has(L1Rules.SHANGHAI)
    if opcode in _CANCUN:
        return fork.has(L1Rules.CANCUN)
    if opcode == _CLZ:
        return fork.has(L1Rules.OSAKA)
    return opcode in opcodes.NAMES and opcode != 0xFE


class _LiveView:
    """The core's state under execution in the form of a `StateView`."""

    def __init__(self, state: Any) -> None:
        self._state = state

    def account(self, address: Address) -> Account | None:
        found = self._state.account(address)
        return None if found is None else Account(*found)

    def storage(self, address: Address, slot: int) -> int:
        value: int = self._state.storage(address, slot)
        return value

    def code(self, code_hash: Hash32) -> bytes:
        code: bytes = self._state.code(code_hash)
        return code
