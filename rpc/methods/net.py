"""net_*: the network and this node's peers."""

from rpc.context import Context
from rpc.jsonrpc import method


def version(context: Context) -> str:
    """The network id, decimal."""
    return str(context.network_id if context.network_id is not None else context.config.chain_id)


def listening(context: Context) -> bool:
    """Whether peers can connect."""
    return True


def peer_count(context: Context) -> str:
    """How many peers are connected."""
    return hex(context.network.peer_count())


METHODS = {
    "net_version": method(version),
    "net_listening": method(listening),
    "net_peerCount": method(peer_count),
}
