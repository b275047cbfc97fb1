"""hardhat_*: what Hardhat's tools ask a development network."""

from rpc.context import Context
from rpc.jsonrpc import method


def get_automine(context: Context) -> bool:
    """Whether a transaction makes a block at once. Where it does, Hardhat Ignition does not wait for blocks on top of its own."""
    return context.automine is not None


METHODS = {"hardhat_getAutomine": method(get_automine)}
