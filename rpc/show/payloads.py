"""Payloads, their statuses and bodies as the Engine API writes them.

Source: execution-apis src/engine; OP specs exec-engine.md.
"""

from collections.abc import Sequence

from l2engine.types.block import Block, Withdrawal
from l2engine.types.payload import ExecutionPayload, ForkchoiceResult, PayloadStatus
from rpc.show import Json
from rpc.show.blocks import show_withdrawal


def show_payload(payload: ExecutionPayload) -> Json:
    """An execution payload. Fields that its version does not have are null, except withdrawalsRoot, which is left out."""
    fields: Json = {
        "parentHash": "0x" + payload.parent_hash.hex(),
        "feeRecipient": "0x" + payload.fee_recipient.hex(),
        "stateRoot": "0x" + payload.state_root.hex(),
        "receiptsRoot": "0x" + payload.receipts_root.hex(),
        "logsBloom": "0x" + payload.logs_bloom.hex(),
        "prevRandao": "0x" + payload.prev_randao.hex(),
        "blockNumber": hex(payload.block_number),
        "gasLimit": hex(payload.gas_limit),
        "gasUsed": hex(payload.gas_used),
        "timestamp": hex(payload.timestamp),
        "extraData": "0x" + payload.extra_data.hex(),
        "baseFeePerGas": hex(payload.base_fee_per_gas),
        "blockHash": "0x" + payload.block_hash.hex(),
        **_show_body(payload.transactions, payload.withdrawals),
        "blobGasUsed": None if payload.blob_gas_used is None else hex(payload.blob_gas_used),
        "excessBlobGas": None if payload.excess_blob_gas is None else hex(payload.excess_blob_gas),
        "slotNumber": None,
    }
    if payload.withdrawals_root is not None:
        fields["withdrawalsRoot"] = "0x" + payload.withdrawals_root.hex()
    return fields


def show_body(block: Block) -> Json:
    """A block's transactions and withdrawals."""
    return _show_body(block.transactions, block.withdrawals)


def _show_body(transactions: Sequence[bytes], withdrawals: Sequence[Withdrawal] | None) -> Json:
    return {
        "transactions": ["0x" + raw.hex() for raw in transactions],
        "withdrawals": None if withdrawals is None else [show_withdrawal(item) for item in withdrawals],
    }


def show_status(status: PayloadStatus) -> Json:
    """The verdict on a payload."""
    return {
        "status": status.status.value,
        "latestValidHash": None if status.latest_valid_hash is None else "0x" + status.latest_valid_hash.hex(),
        "validationError": status.validation_error,
    }


def show_forkchoice(result: ForkchoiceResult) -> Json:
    """The answer to forkchoiceUpdated."""
    return {
        "payloadStatus": show_status(result.payload_status),
        "payloadId": None if result.payload_id is None else "0x" + result.payload_id.hex(),
    }
