"""net_* and web3_*, and rpc_modules, which lists what a port offers."""

from l2engine.types.base import keccak
from rpc.context import Context
from rpc.jsonrpc import method
from rpc.read.values import data


def version(context: Context) -> str:
    """The network id, decimal."""
    return str(context.network_id if context.network_id is not None else context.config.chain_id)


def listening(context: Context) -> bool:
    """Whether peers can connect."""
    return True


def peer_count(context: Context) -> str:
    """How many peers are connected."""
    return hex(context.peer_count())


def client_version(context: Context) -> str:
    """Name, version, platform."""
    return context.client_version


def sha3(context: Context, value: bytes) -> str:
    """keccak-256 of the given bytes."""
    return "0x" + keccak(value).hex()


METHODS = {
    "net_version": method(version),
    "net_listening": method(listening),
    "net_peerCount": method(peer_count),
    "web3_clientVersion": method(client_version),
    "web3_sha3": method(sha3, data),
}
