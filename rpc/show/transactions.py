"""Transactions as op-geth shows them, in a block or waiting in the pool.

Sources: geth internal/ethapi; OP specs and digest 2.6 for the fields of deposits; recordings.
"""

from l2engine.errors import InvalidTransaction
from l2engine.types.base import ZERO_ADDRESS, Address
from l2engine.types.delegation import Authorization
from l2engine.types.header import Header
from l2engine.types.receipt import Receipt
from l2engine.types.transaction import (
    DEPOSIT_TYPE,
    POST_EXECUTION_TYPE,
    AccessList,
    AccessListTransaction,
    BlobTransaction,
    DepositTransaction,
    LegacyTransaction,
    SetCodeTransaction,
    Transaction,
    effective_gas_price,
)
from l2engine.types.transaction_codec import recover_sender
from rpc.show import Json


def show_transaction(tx: Transaction, header: Header | None = None, index: int | None = None, receipt: Receipt | None = None) -> Json:
    """A transaction in a block, or in the pool when `header` is None. For a deposit, the nonce is taken from `receipt`."""
    base_fee = header.base_fee_per_gas if header is not None else None
    fields: Json = {
        "blockHash": None if header is None else "0x" + header.hash.hex(),
        "blockNumber": None if header is None else hex(header.number),
        "blockTimestamp": None if header is None else hex(header.timestamp),
        "transactionIndex": None if index is None else hex(index),
        "from": "0x" + sender_of(tx).hex(),
        "gas": hex(tx.gas),
        "hash": "0x" + tx.hash.hex(),
        "input": "0x" + tx.data.hex(),
        "to": None if tx.to is None else "0x" + tx.to.hex(),
        "value": hex(tx.value),
        "type": hex(tx.type),
    }
    if tx.type == POST_EXECUTION_TYPE:
        del fields["to"]  # a 0x7D has no such field (lagoon/post-exec.md); in a creation it is null
        return fields
    if tx.type == DEPOSIT_TYPE:
        _add_deposit_fields(fields, tx, receipt)
        return fields
    fields["nonce"] = hex(tx.nonce)
    fields["r"] = hex(tx.r)
    fields["s"] = hex(tx.s)
    if isinstance(tx, LegacyTransaction):
        fields["gasPrice"] = hex(tx.gas_price)
        fields["v"] = hex(tx.v)
        if tx.chain_id is not None:
            fields["chainId"] = hex(tx.chain_id)
        return fields
    fields["chainId"] = hex(tx.chain_id)
    fields["accessList"] = show_access_list(tx.access_list)
    fields["v"] = fields["yParity"] = hex(tx.y_parity)
    if isinstance(tx, AccessListTransaction):
        fields["gasPrice"] = hex(tx.gas_price)
        return fields
    fields["maxFeePerGas"] = hex(tx.max_fee_per_gas)
    fields["maxPriorityFeePerGas"] = hex(tx.max_priority_fee_per_gas)
    fields["gasPrice"] = hex(effective_gas_price(tx, base_fee))
    if isinstance(tx, BlobTransaction):
        fields["maxFeePerBlobGas"] = hex(tx.max_fee_per_blob_gas)
        fields["blobVersionedHashes"] = ["0x" + item.hex() for item in tx.blob_versioned_hashes]
    elif isinstance(tx, SetCodeTransaction):
        fields["authorizationList"] = [show_authorization(item) for item in tx.authorization_list]
    return fields


def _add_deposit_fields(fields: Json, tx: DepositTransaction, receipt: Receipt | None) -> None:
    nonce = receipt.deposit_nonce if receipt is not None else None
    version = receipt.deposit_receipt_version if receipt is not None else None
    fields["nonce"] = hex(nonce or 0)
    fields["gasPrice"] = fields["v"] = fields["r"] = fields["s"] = "0x0"
    fields["sourceHash"] = "0x" + tx.source_hash.hex()
    fields["mint"] = hex(tx.mint)
    if tx.is_system_transaction:
        fields["isSystemTx"] = True
    if version is not None:
        fields["depositReceiptVersion"] = hex(version)


def sender_of(tx: Transaction) -> Address:
    """The sender, or the zero address for pre-Bedrock transactions without a valid signature."""
    try:
        return recover_sender(tx)
    except InvalidTransaction:
        return ZERO_ADDRESS


def show_access_list(entries: AccessList) -> list[Json]:
    """An EIP-2930 access list."""
    return [{"address": "0x" + who.hex(), "storageKeys": ["0x" + key.hex() for key in keys]} for who, keys in entries]


def show_authorization(item: Authorization) -> Json:
    """An EIP-7702 authorization."""
    return {
        "chainId": hex(item.chain_id),
        "address": "0x" + item.address.hex(),
        "nonce": hex(item.nonce),
        "yParity": hex(item.y_parity),
        "r": hex(item.r),
        "s": hex(item.s),
    }
