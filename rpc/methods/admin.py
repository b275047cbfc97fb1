"""admin_*: what the operator asks about this node and its peers, and what may be changed while it runs."""

import time
from typing import Any

from l2engine.types.base import MAX_UINT64, Timestamp
from rpc.context import Context
from rpc.jsonrpc import method
from rpc.read.values import Mismatch, Optional, boolean, kind_of, uint64


def node_info(context: Context) -> dict[str, Any]:
    """This node's identity (enode, enr), addresses and chain."""
    return context.network.node_info()


def peers(context: Context) -> list[dict[str, Any]]:
    """The connected peers."""
    return context.network.peers()


def sdm_status(context: Context, timestamp: Timestamp | None) -> dict[str, Any]:
    """Whether blocks built here give gas refunds at a time (unix seconds; now, if none is given), and what that depends on."""
    config, metering = context.config, context.engine.builder.metering
    fork = config.fork_at(2**63, int(time.time()) if timestamp is None else timestamp)
    begins = next((item.time for item in config.activations if metering.is_active(item.fork)), None)
    return {
        "operatorSdmOptIn": metering.opted_in,
        "protocolActive": metering.is_active(fork),
        "effective": metering.is_effective(fork),
        "activationTime": begins,
    }


def set_operator_sdm_opt_in(context: Context, opted_in: bool) -> None:
    """Whether the operator wants gas refunds in blocks built here, from the next build on until the node stops."""
    context.engine.builder.metering.opted_in = opted_in


def _seconds(value: Any) -> Timestamp:
    """A time as op-reth takes it, a JSON number, or as a quantity."""
    if isinstance(value, bool) or not isinstance(value, int):
        return uint64(value)
    if not 0 <= value <= MAX_UINT64:
        raise Mismatch(kind_of(value), "uint64")
    return value


METHODS = {
    "admin_nodeInfo": method(node_info),
    "admin_peers": method(peers),
    "admin_sdmStatus": method(sdm_status, Optional(_seconds)),
    "admin_setOperatorSdmOptIn": method(set_operator_sdm_opt_in, boolean),
}
