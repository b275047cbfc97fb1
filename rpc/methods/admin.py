"""admin_*: what the operator asks about this node and its peers."""

from typing import Any

from rpc.context import Context
from rpc.jsonrpc import method


def node_info(context: Context) -> dict[str, Any]:
    """This node's identity (enode, enr), addresses and chain."""
    return context.network.node_info()


def peers(context: Context) -> list[dict[str, Any]]:
    """The connected peers."""
    return context.network.peers()


METHODS = {
    "admin_nodeInfo": method(node_info),
    "admin_peers": method(peers),
}
