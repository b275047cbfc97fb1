"""Choosing the executor that a conformance command runs on."""

from collections.abc import Callable

from l2engine.errors import ConfigError
from l2engine.evm.reference import ReferenceExecutor
from l2engine.rules.config import ChainConfig
from l2engine.types.state import Executor

KINDS = ("auto", "py", "native", "both")


def executor_factory(kind: str) -> Callable[[ChainConfig], Executor]:
    """What makes an executor for a chain's rules; `ConfigError` when the kind is not installed."""
    if kind in ("auto", "py"):
        return lambda config: ReferenceExecutor(config)
    raise ConfigError(f"--evm {kind}: the native executor is not installed")
