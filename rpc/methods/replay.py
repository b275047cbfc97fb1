"""debug_replaySDMBlock: a block run again without its gas refunds, beside what its post-execution transaction says (op-reth's method).

Numbers are JSON numbers and names snake_case, unlike elsewhere. Source: op-reth, post-exec-replay `types.rs`.
"""

import math
from dataclasses import replace
from typing import Any

from l2engine.chain.process import block_env
from l2engine.errors import DecodeError, InvalidTransaction
from l2engine.types.base import Gas, keccak
from l2engine.types.block import Block
from l2engine.types.transaction import DEPOSIT_TYPE, POST_EXECUTION_TYPE, PostExecutionTransaction
from l2engine.types.transaction_codec import decode_transaction
from l2engine.types.transactions import Transactions
from rpc.context import Context
from rpc.errors import SERVER_ERROR, RpcError
from rpc.jsonrpc import RunsOn, method
from rpc.read.blocks import BlockReference, block_reference
from rpc.read.values import Mismatch, Optional, boolean, kind_of


def replay_block(context: Context, reference: BlockReference, compares: bool) -> dict[str, Any]:
    """Each transaction's gas before refunds and what the block makes of it; where it `compares`, also whether more is refunded."""
    block = context.block(reference)
    if block is None:
        raise RpcError(SERVER_ERROR, "block not found")
    if block.number == 0:
        raise RpcError(SERVER_ERROR, "genesis has no transactions to replay")
    payload = next((tx for raw in block.transactions[-1:] if isinstance(tx := decode_transaction(raw), PostExecutionTransaction)), None)
    refunds = {entry.index: entry.gas for entry in payload.entries} if payload else {}
    used = _gas_without_refunds(context, block)
    rows = [_row(index, raw, used[index], refunds.get(index), compares) for index, raw in enumerate(block.transactions[: len(used)])]
    mismatches = [_mismatch(block, row) for row in rows if row["mismatch"]]
    place = len(used) if payload else None
    return {
        "config": {"compare_payload": compares},
        "block_num": block.number,
        "block_hash": "0x" + block.hash.hex(),
        "parent_hash": "0x" + block.header.parent_hash.hex(),
        "post_exec_tx_present": payload is not None,
        "post_exec_tx_index": place,
        "embedded_payload": _payload(payload) if payload else None,
        "txs": rows,
        "mismatches": mismatches,
        "summary": {
            "block_num": block.number,
            "block_hash": "0x" + block.hash.hex(),
            "tx_count_total": len(block.transactions),
            "tx_count_user": sum(not row["is_deposit_tx"] for row in rows),
            "post_exec_tx_present": payload is not None,
            "post_exec_payload_entry_count": len(refunds),
            "block_gas_used": block.header.gas_used,
            "block_raw_gas_used": sum(used),
            "payload_refund_total": sum(refunds.values()),
            "mismatch_count": len(mismatches),
        },
    }


def _compare_payload(options: Any) -> bool:
    """The one option."""
    if not isinstance(options, dict):
        raise Mismatch(kind_of(options), "replay options")
    return boolean(options.get("compare_payload", True))


def _gas_without_refunds(context: Context, block: Block) -> list[Gas]:
    """The gas that each transaction uses without refunds. A transaction that needs an earlier refund to pay cannot run that way."""
    parent = context.header_or_error(block.header.parent_hash)
    plain = replace(block, transactions=Transactions(raw for raw in block.transactions if raw[0] != POST_EXECUTION_TYPE))
    env = block_env(context.config, plain, parent)
    execution, deadline = context.executor.begin(context.view(parent), env), context.request_time.deadline(math.inf)
    used: list[Gas] = []
    for raw in plain.transactions:
        context.request_time.check()
        try:
            used.append(execution.apply(raw, None, deadline).gas_used)
        except (InvalidTransaction, DecodeError) as error:
            raise RpcError(SERVER_ERROR, f"transaction {len(used)} cannot run without refunds: {error}") from error
    return used


def _row(index: int, raw: bytes, used: Gas, refund: Gas | None, compares: bool) -> dict[str, Any]:
    return {
        "tx_index": index,
        "replay_tx_index": index,
        "tx_hash": "0x" + keccak(raw).hex(),
        "tx_type": raw[0] if raw[0] < 0xC0 else 0,
        "is_deposit_tx": raw[0] == DEPOSIT_TYPE,
        "raw_gas_used": used,
        "canonical_gas_used": max(0, used - (refund or 0)),
        "op_gas_refund_payload": refund,
        "mismatch": compares and (refund or 0) > used,
    }


def _mismatch(block: Block, row: dict[str, Any]) -> dict[str, Any]:
    """A refund of more gas than the transaction uses without the refunds before it."""
    return {
        "category": "payload_refund_exceeds_raw_gas",
        "block_num": block.number,
        "tx_index": row["tx_index"],
        "expected": row["raw_gas_used"],
        "actual": row["op_gas_refund_payload"],
        "message": "the refund exceeds the gas that the transaction uses without refunds",
    }


def _payload(tx: PostExecutionTransaction) -> dict[str, Any]:
    entries = [{"index": entry.index, "gas_refund": entry.gas} for entry in tx.entries]
    return {"version": tx.version, "block_number": tx.block_number, "gas_refund_entries": entries}


METHODS = {
    "debug_replaySDMBlock": method(replay_block, block_reference, Optional(_compare_payload, True), runs_on=RunsOn.CALL),
}
