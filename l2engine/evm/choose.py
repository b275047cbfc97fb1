"""Choosing an executor: `--evm auto|py|native|both`. Each is imported only when it is chosen."""

from collections.abc import Callable
from importlib.util import find_spec

from l2engine.errors import ConfigError
from l2engine.evm.executor import Executor
from l2engine.rules.config import ChainConfig

KINDS = ("auto", "py", "native", "both")
_PATIENCE_SECONDS = 5.0  # twice what the reference executor takes for 30 Mgas of arithmetic


def is_native(kind: str) -> bool:
    """Whether this kind needs the native core, which `auto` takes when it is there. `ConfigError` when it is needed and is not."""
    installed = find_spec("l2engine_native") is not None
    if kind in ("native", "both") and not installed:
        raise ConfigError(f"--evm {kind}: the native core is not installed; `make native` builds it (needs cargo)")
    return installed and kind != "py"


def patience(kind: str) -> float:
    """Seconds that a block builder may give a transaction in the end which has been too slow for earlier blocks; 0 where no transaction
    needs more than a block time."""
    return 0.0 if is_native(kind) and kind != "both" else _PATIENCE_SECONDS


def executor_factory(kind: str) -> Callable[[ChainConfig], Executor]:
    """The executor class of this kind, to be called with a chain's rules; `ConfigError` when the kind is not installed."""
    if not is_native(kind):
        from l2engine.evm.reference.machine import ReferenceExecutor

        return ReferenceExecutor
    if kind == "both":
        from l2engine.evm.agreement import AgreementExecutor

        return AgreementExecutor
    from l2engine.evm.native.machine import NativeExecutor

    return NativeExecutor
