"""The reference executor: the block loop and eth_call over py-evm, for every OP fork and for plain Ethereum rules."""

from collections.abc import Callable, Mapping

from l2engine.rules.config import ChainConfig
from l2engine.types.base import Address, Gas, Hash32
from l2engine.types.state import (
    AccountOverride,
    BlockEnv,
    BlockResult,
    Call,
    CallResult,
    StateDiff,
    StateView,
    Tracer,
    TransactionResult,
)


class ReferenceExecutor:
    """Implements `types.state.Executor` on py-evm."""

    def __init__(self, config: ChainConfig) -> None:
        self.config = config

    def begin(
        self, view: StateView, env: BlockEnv, intermediate_root: Callable[[StateDiff], Hash32] | None = None
    ) -> "ReferenceBlockExecution":
        raise NotImplementedError

    def call(
        self,
        view: StateView,
        env: BlockEnv,
        call: Call,
        overrides: Mapping[Address, AccountOverride] | None = None,
        deadline: float | None = None,
        tracer: Tracer | None = None,
    ) -> CallResult:
        raise NotImplementedError


class ReferenceBlockExecution:
    """One block under execution; implements `types.state.BlockExecution`."""

    gas_used: Gas

    def apply(
        self, raw: bytes, sender: Address | None = None, deadline: float | None = None, tracer: Tracer | None = None
    ) -> TransactionResult:
        raise NotImplementedError

    def finish(self) -> BlockResult:
        raise NotImplementedError
