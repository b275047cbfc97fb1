"""The methods that a port serves, from the namespaces in --http.api and --ws.api."""

from collections.abc import Iterable

from rpc.context import Context
from rpc.errors import METHOD_NOT_FOUND, RpcError
from rpc.jsonrpc import Method, Methods, method
from rpc.methods import admin, chain, debug, hardhat, miner, net, replay, txpool, web3
from rpc.methods.engine import client, payloads, superchain
from rpc.methods.eth import access_list, accounts, blocks, calls, fees, filters, logs, transactions, wallet
from rpc.read.values import Optional, any_json

ENGINE_NAMESPACES = ("engine", "eth", "net", "web3", "debug", "miner", "txpool")  # always on the Engine port

_ETH = (access_list, accounts, blocks, calls, fees, filters, logs, transactions, wallet)
_ENGINE = (payloads, client, superchain)
_ALL: Methods = {
    name: entry
    for module in (*_ETH, *_ENGINE, net, web3, debug, chain, replay, txpool, miner, admin, hardhat)
    for name, entry in module.METHODS.items()
}


def methods_for(namespaces: Iterable[str]) -> Methods:
    """The methods of these namespaces; unknown names add nothing."""
    names = tuple(dict.fromkeys(namespaces))
    chosen: dict[str, Method] = {name: entry for name, entry in _ALL.items() if name.partition("_")[0] in names}

    def modules(context: Context) -> dict[str, str]:
        """The namespaces that this port serves, with their versions."""
        return dict.fromkeys(sorted((*names, "rpc")), "1.0")

    chosen["rpc_modules"] = method(modules)
    if "eth" in names:
        chosen["eth_subscribe"] = chosen["eth_unsubscribe"] = method(_no_notifications, *[Optional(any_json)] * 3)
    return chosen


def _no_notifications(context: Context, *arguments: object) -> None:
    """Answer eth_subscribe over HTTP: subscriptions need a permanent connection, a WebSocket."""
    raise RpcError(METHOD_NOT_FOUND, "notifications not supported")
