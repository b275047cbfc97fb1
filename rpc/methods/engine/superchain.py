"""engine_signalSuperchainV1: which protocol versions the superchain asks of its nodes (superchain-upgrades.md)."""

import logging
from typing import Any

from rpc.context import Context
from rpc.jsonrpc import method
from rpc.read.values import Optional, Struct, hash32

log = logging.getLogger(__name__)

PROTOCOL_VERSION = (9, 0, 0)  # the newest protocol version supported, as op-geth v1.101702 says

superchain_signal = Struct("catalyst.SuperchainSignal", {"recommended": hash32, "required": hash32})


def signal_superchain_v1(context: Context, signal: dict[str, Any] | None) -> str:
    """Warn of a protocol version of the superchain that is ahead of this node's; answer the newest one supported here. With
    --rollup.halt a required version that is ahead by the chosen part stops the node (superchain-upgrades.md)."""
    level = {"major": 1, "minor": 2, "patch": 3}.get(context.settings.rollup_halt, 0)
    for kind in ("recommended", "required"):
        version = _version((signal or {}).get(kind, bytes(32)))
        if version > PROTOCOL_VERSION:
            reason = f"protocol version {_dotted(version)} is {kind}, this node supports {_dotted(PROTOCOL_VERSION)}"
            log.warning("Behind the superchain: %s", reason)
            if kind == "required" and version[:level] > PROTOCOL_VERSION[:level]:
                context.halt(reason)
    return "0x" + (bytes(16) + b"".join(part.to_bytes(4, "big") for part in (*PROTOCOL_VERSION, 0))).hex()


def _version(version: bytes) -> tuple[int, int, int]:
    """Major, minor and patch of a protocol version of type 0."""
    major, minor, patch = (int.from_bytes(version[i : i + 4], "big") for i in (16, 20, 24))
    return (major, minor, patch) if version[0] == 0 else (0, 0, 0)


def _dotted(version: tuple[int, int, int]) -> str:
    return ".".join(map(str, version))


METHODS = {"engine_signalSuperchainV1": method(signal_superchain_v1, Optional(superchain_signal))}
