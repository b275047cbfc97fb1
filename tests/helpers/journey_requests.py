"""The literal bodies of the requests whose journeys are counted."""

from typing import Any

import orjson

from l2engine.chain.payload import from_block
from l2engine.rules.config import ChainConfig
from l2engine.types.block import Block
from rpc.show.payloads import show_payload

_ZERO = "0x" + "00" * 32


def new_payload(config: ChainConfig, block: Block) -> bytes:
    """engine_newPayloadV4 of a block."""
    payload = show_payload(from_block(config, block))
    return request("engine_newPayloadV4", payload, [], "0x" + (block.header.parent_beacon_block_root or b"").hex(), [])


def forkchoice(block: Block) -> bytes:
    """engine_forkchoiceUpdatedV3 to a block."""
    state = {"headBlockHash": "0x" + block.hash.hex(), "safeBlockHash": _ZERO, "finalizedBlockHash": _ZERO}
    return request("engine_forkchoiceUpdatedV3", state)


def request(method: str, *params: Any) -> bytes:
    """A JSON-RPC request."""
    return orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
