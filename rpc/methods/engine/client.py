"""How a rollup node and this client introduce themselves to each other: engine_exchangeCapabilities and its kin.

Sources: execution-apis src/engine/common.md, identification.md and paris.md.
"""

from rpc.context import Context
from rpc.errors import SERVER_ERROR, RpcError
from rpc.jsonrpc import method
from rpc.methods.engine import payloads, superchain
from rpc.read.payloads import transition_configuration
from rpc.read.values import any_json, list_of, string
from rpc.show import Json


def exchange_capabilities(context: Context, theirs: list[str]) -> list[str]:
    """The methods of this port, this one left out."""
    return [name for name in (*payloads.METHODS, *METHODS, *superchain.METHODS) if name != "engine_exchangeCapabilities"]


def get_client_version_v1(context: Context, theirs: object) -> list[Json]:
    """This client's name and version."""
    name, _, version = context.client_version.partition("/")
    return [{"code": "LE", "name": name, "version": version.partition("/")[0], "commit": "0x" + context.commit[:8]}]


def exchange_transition_configuration_v1(context: Context, theirs: Json) -> Json:
    """The merge is long over: both sides must name the same terminal total difficulty."""
    ours = context.config.terminal_total_difficulty or 0
    if "terminalTotalDifficulty" not in theirs:
        raise RpcError(SERVER_ERROR, "invalid terminal total difficulty")
    if theirs["terminalTotalDifficulty"] != ours:
        raise RpcError(SERVER_ERROR, f"invalid ttd: execution {ours} consensus {theirs['terminalTotalDifficulty']}")
    if theirs.get("terminalBlockHash", bytes(32)) != bytes(32):
        if context.blocks.canonical_hash(theirs.get("terminalBlockNumber", 0)) != theirs["terminalBlockHash"]:
            raise RpcError(SERVER_ERROR, "invalid terminal block hash")
        number, block_hash = theirs.get("terminalBlockNumber", 0), theirs["terminalBlockHash"]
    else:
        number, block_hash = 0, bytes(32)
    return {"terminalTotalDifficulty": hex(ours), "terminalBlockHash": "0x" + block_hash.hex(), "terminalBlockNumber": hex(number)}


METHODS = {
    "engine_exchangeCapabilities": method(exchange_capabilities, list_of(string, "string")),
    "engine_getClientVersionV1": method(get_client_version_v1, any_json),
    "engine_exchangeTransitionConfigurationV1": method(exchange_transition_configuration_v1, transition_configuration),
}
