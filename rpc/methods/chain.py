"""debug_setHead and debug_proofsSyncStatus: moving the chain back by hand, and the blocks for which eth_getProof answers.

Sources: geth internal/ethapi (setHead and its texts); op-reth's debug_proofsSyncStatus.
"""

from l2engine.types.base import BlockNumber
from rpc.context import Context
from rpc.errors import SERVER_ERROR, RpcError
from rpc.jsonrpc import RunsOn, method
from rpc.read.values import Optional, boolean, uint64


def set_head(context: Context, number: BlockNumber, force: bool | None) -> None:
    """Move the head back to the canonical block with this number; safe and finalized follow it. Below the finalized block only by
    `force`. The blocks above stay known: a forkchoice may return to them."""
    if number >= context.engine.head.number:
        raise RpcError(SERVER_ERROR, "not allowed to rewind to a future block")
    finalized = context.engine.finalized
    if finalized is not None and number < finalized.number and not force:
        raise RpcError(
            SERVER_ERROR, f"block {number} is below the finalized block {finalized.number}: add true as the second argument to force it"
        )
    context.engine.rewind(number)


def proofs_sync_status(context: Context) -> dict[str, int]:
    """The oldest and the newest block number for which proofs can be made, as plain JSON numbers."""
    return {"earliest": context.state.oldest[1], "latest": context.engine.head.number}


METHODS = {
    "debug_setHead": method(set_head, uint64, Optional(boolean), runs_on=RunsOn.ENGINE),
    "debug_proofsSyncStatus": method(proofs_sync_status),
}
