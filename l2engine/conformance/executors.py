"""Choosing the executor that a conformance command runs on."""

from collections.abc import Callable

from l2engine.errors import ConfigError
from l2engine.evm import native
from l2engine.evm.reference import ReferenceExecutor
from l2engine.rules.config import ChainConfig
from l2engine.types.state import Executor

KINDS = ("auto", "py", "native")


def executor_factory(kind: str) -> Callable[[ChainConfig], Executor]:
    """What makes an executor for a chain's rules; `auto` takes the native one when it is installed, else `ConfigError` for it."""
    if kind == "native" and not native.available():
        raise ConfigError("the native core is not installed: run `make native` (needs cargo)")
    return native.NativeExecutor if kind != "py" and native.available() else ReferenceExecutor
