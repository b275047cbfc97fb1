"""Arguments of the Engine API's methods: payloads, attributes, forkchoice states.

Sources: execution-apis src/engine; OP specs exec-engine.md; geth beacon/engine for the names of types and required fields.
"""

from typing import Any

from l2engine.errors import InvalidParams
from l2engine.types.block import Withdrawal
from l2engine.types.payload import ExecutionPayload, ForkchoiceState, PayloadAttributes
from l2engine.types.transactions import Transactions
from rpc.read.values import (
    Parser,
    Struct,
    address,
    boolean,
    data,
    data_list,
    hash32,
    list_of,
    payload_id,
    plain_uint64,
    uint64,
    uint256,
)

_withdrawal = Struct("types.Withdrawal", {"index": uint64, "validatorIndex": uint64, "address": address, "amount": uint64})


def withdrawal(value: Any) -> Withdrawal:
    """An EIP-4895 withdrawal; absent fields are zero."""
    fields = _withdrawal(value)
    return Withdrawal(fields.get("index", 0), fields.get("validatorIndex", 0), fields.get("address", bytes(20)), fields.get("amount", 0))


_PAYLOAD_FIELDS: dict[str, Parser[Any]] = {
    "parentHash": hash32,
    "feeRecipient": address,
    "stateRoot": hash32,
    "receiptsRoot": hash32,
    "logsBloom": data,
    "prevRandao": hash32,
    "blockNumber": uint64,
    "gasLimit": uint64,
    "gasUsed": uint64,
    "timestamp": uint64,
    "extraData": data,
    "baseFeePerGas": uint256,
    "blockHash": hash32,
    "transactions": data_list,
    "withdrawals": list_of(withdrawal, "*types.Withdrawal"),
    "blobGasUsed": uint64,
    "excessBlobGas": uint64,
    "withdrawalsRoot": hash32,
}
_payload = Struct("engine.ExecutableData", _PAYLOAD_FIELDS, tuple(_PAYLOAD_FIELDS)[:14])


def execution_payload(value: Any) -> ExecutionPayload:
    """An execution payload of any version."""
    fields = _payload(value)
    withdrawals = fields.get("withdrawals")
    return ExecutionPayload(
        parent_hash=fields["parentHash"],
        fee_recipient=fields["feeRecipient"],
        state_root=fields["stateRoot"],
        receipts_root=fields["receiptsRoot"],
        logs_bloom=fields["logsBloom"],
        prev_randao=fields["prevRandao"],
        block_number=fields["blockNumber"],
        gas_limit=fields["gasLimit"],
        gas_used=fields["gasUsed"],
        timestamp=fields["timestamp"],
        extra_data=fields["extraData"],
        base_fee_per_gas=fields["baseFeePerGas"],
        block_hash=fields["blockHash"],
        transactions=Transactions(fields["transactions"]),
        withdrawals=None if withdrawals is None else tuple(withdrawals),
        blob_gas_used=fields.get("blobGasUsed"),
        excess_blob_gas=fields.get("excessBlobGas"),
        withdrawals_root=fields.get("withdrawalsRoot"),
    )


_attributes = Struct(
    "engine.PayloadAttributes",
    {
        "timestamp": uint64,
        "prevRandao": hash32,
        "suggestedFeeRecipient": address,
        "withdrawals": list_of(withdrawal, "*types.Withdrawal"),
        "parentBeaconBlockRoot": hash32,
        "slotNumber": uint64,
        "transactions": data_list,
        "noTxPool": boolean,
        "gasLimit": uint64,
        "eip1559Params": data,
        "minBaseFee": plain_uint64,
    },
    ("timestamp", "prevRandao", "suggestedFeeRecipient"),
)


def payload_attributes(value: Any) -> PayloadAttributes:
    """Payload attributes with the OP extensions."""
    fields = _attributes(value)
    withdrawals, transactions = fields.get("withdrawals"), fields.get("transactions")
    return PayloadAttributes(
        fields["timestamp"],
        fields["prevRandao"],
        fields["suggestedFeeRecipient"],
        None if withdrawals is None else tuple(withdrawals),
        fields.get("parentBeaconBlockRoot"),
        None if transactions is None else Transactions(transactions),
        fields.get("noTxPool", False),
        fields.get("gasLimit"),
        fields.get("eip1559Params"),
        fields.get("minBaseFee"),
        fields.get("slotNumber"),
    )


_forkchoice = Struct("engine.ForkchoiceStateV1", {"headBlockHash": hash32, "safeBlockHash": hash32, "finalizedBlockHash": hash32})


def forkchoice_state(value: Any) -> ForkchoiceState:
    """A forkchoice state; absent hashes are zero."""
    fields = _forkchoice(value)
    return ForkchoiceState(*(fields.get(name, bytes(32)) for name in ("headBlockHash", "safeBlockHash", "finalizedBlockHash")))


def payload_identifier(value: Any) -> bytes:
    """A payload id."""
    try:
        return payload_id(value)
    except InvalidParams as error:
        raise InvalidParams(f'invalid payload id "{value}": {error}') from None


transition_configuration = Struct(
    "engine.TransitionConfigurationV1",
    {"terminalTotalDifficulty": uint256, "terminalBlockHash": hash32, "terminalBlockNumber": uint64},
)
