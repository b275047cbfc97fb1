"""web3_*: who this node is, and keccak-256."""

from l2engine.types.base import keccak
from rpc.context import Context
from rpc.jsonrpc import method
from rpc.read.values import data


def client_version(context: Context) -> str:
    """Name, version, platform."""
    return context.client_version


def sha3(context: Context, value: bytes) -> str:
    """keccak-256 of the given bytes."""
    return "0x" + keccak(value).hex()


METHODS = {
    "web3_clientVersion": method(client_version),
    "web3_sha3": method(sha3, data),
}
