"""From blocks, transactions, receipts and logs to the JSON that op-geth shows.

Sources: geth internal/ethapi; OP specs and digest 2.6 and 3.7 for the fields of deposits and L1 fees; recordings.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

from l2engine.errors import DecodeError, InvalidTransaction
from l2engine.rules import fees, l1_attributes
from l2engine.rules.config import ChainConfig
from l2engine.rules.forks import Fork
from l2engine.rules.l1_attributes import L1Attributes
from l2engine.types import rlp
from l2engine.types.accelerated import fast_lz_length
from l2engine.types.base import ZERO_ADDRESS, Address, Hash32, Timestamp, Wei, keccak
from l2engine.types.block import Block, Withdrawal
from l2engine.types.header import Header
from l2engine.types.receipt import Log, Receipt
from l2engine.types.transaction import (
    AccessList,
    AccessListTransaction,
    Authorization,
    BlobTransaction,
    DepositTransaction,
    LegacyTransaction,
    SetCodeTransaction,
    Transaction,
    created_address,
    decode_transaction,
    recover_sender,
)

Json: TypeAlias = dict[str, Any]


def quantity(value: int) -> str:
    """A number as JSON-RPC writes it."""
    return hex(value)


def hexadecimal(value: bytes) -> str:
    """Bytes as JSON-RPC writes them."""
    return "0x" + value.hex()


def checksum_address(who: Address) -> str:
    """EIP-55's mixed-case form, as geth writes addresses in messages."""
    text = who.hex()
    digest = keccak(text.encode()).hex()
    return "0x" + "".join(c.upper() if int(d, 16) > 7 else c for c, d in zip(text, digest, strict=False))


def header(header: Header) -> Json:
    """A header as eth_getHeaderBy* and newHeads show it."""
    fields: Json = {
        "number": hex(header.number),
        "hash": "0x" + header.hash.hex(),
        "parentHash": "0x" + header.parent_hash.hex(),
        "nonce": "0x" + header.nonce.hex(),
        "mixHash": "0x" + header.prev_randao.hex(),
        "sha3Uncles": "0x" + header.ommers_hash.hex(),
        "logsBloom": "0x" + header.logs_bloom.hex(),
        "stateRoot": "0x" + header.state_root.hex(),
        "miner": "0x" + header.beneficiary.hex(),
        "difficulty": hex(header.difficulty),
        "extraData": "0x" + header.extra_data.hex(),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "transactionsRoot": "0x" + header.transactions_root.hex(),
        "receiptsRoot": "0x" + header.receipts_root.hex(),
    }
    if header.base_fee_per_gas is not None:
        fields["baseFeePerGas"] = hex(header.base_fee_per_gas)
    if header.withdrawals_root is not None:
        fields["withdrawalsRoot"] = "0x" + header.withdrawals_root.hex()
    if header.blob_gas_used is not None:
        fields["blobGasUsed"] = hex(header.blob_gas_used)
    if header.excess_blob_gas is not None:
        fields["excessBlobGas"] = hex(header.excess_blob_gas)
    if header.parent_beacon_block_root is not None:
        fields["parentBeaconBlockRoot"] = "0x" + header.parent_beacon_block_root.hex()
    if header.requests_hash is not None:
        fields["requestsHash"] = "0x" + header.requests_hash.hex()
    return fields


def block(block: Block, full: bool, receipts: Sequence[Receipt]) -> Json:
    """A block as eth_getBlockBy* shows it; with `full` transactions the receipts give the deposits' nonces."""
    fields = header(block.header)
    fields["size"] = hex(block_size(block))
    if full:
        fields["transactions"] = [
            transaction(decode_transaction(raw), block.header, index, receipts[index] if raw[0] == DepositTransaction.type else None)
            for index, raw in enumerate(block.transactions)
        ]
    else:
        fields["transactions"] = ["0x" + keccak(raw).hex() for raw in block.transactions]
    fields["uncles"] = ["0x" + ommer.hash.hex() for ommer in block.ommers]
    if block.withdrawals is not None:
        fields["withdrawals"] = [withdrawal(item) for item in block.withdrawals]
    return fields


def block_size(block: Block) -> int:
    """The length of the block's RLP in bytes, without building it."""
    transactions = sum(len(raw) if raw[0] >= 0xC0 else _rlp_length(len(raw)) for raw in block.transactions)
    size = len(block.header.encode()) + _rlp_length(transactions) + len(rlp.encode([ommer.rlp_items() for ommer in block.ommers]))
    if block.withdrawals is not None:
        size += len(rlp.encode([item.rlp_items() for item in block.withdrawals]))
    return _rlp_length(size)


def _rlp_length(payload: int) -> int:
    """Bytes of a list, or of a string longer than one byte, with this payload."""
    return payload + (1 if payload < 56 else 1 + (payload.bit_length() + 7) // 8)


def withdrawal(item: Withdrawal) -> Json:
    """An EIP-4895 withdrawal."""
    return {
        "index": hex(item.index),
        "validatorIndex": hex(item.validator_index),
        "address": "0x" + item.address.hex(),
        "amount": hex(item.amount),
    }


# ---- transactions ---------------------------------------------------------------------------------------------------


def transaction(
    tx: Transaction, header: Header | None = None, index: int | None = None, receipt: Receipt | None = None, sender: Address | None = None
) -> Json:
    """A transaction in a block, or with `header` None one that waits in the pool. A deposit's receipt holds its nonce."""
    base_fee = header.base_fee_per_gas if header is not None else None
    fields: Json = {
        "blockHash": None if header is None else "0x" + header.hash.hex(),
        "blockNumber": None if header is None else hex(header.number),
        "blockTimestamp": None if header is None else hex(header.timestamp),
        "transactionIndex": None if index is None else hex(index),
        "from": "0x" + (sender_of(tx) if sender is None else sender).hex(),
        "gas": hex(tx.gas),
        "hash": "0x" + tx.hash.hex(),
        "input": "0x" + tx.data.hex(),
        "to": None if tx.to is None else "0x" + tx.to.hex(),
        "value": hex(tx.value),
        "type": hex(tx.type),
    }
    if isinstance(tx, DepositTransaction):
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
    fields["accessList"] = access_list(tx.access_list)
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
        fields["authorizationList"] = [authorization(item) for item in tx.authorization_list]
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
    """The sender, or the zero address for the signatures of pre-Bedrock history that are none."""
    try:
        return recover_sender(tx)
    except InvalidTransaction:
        return ZERO_ADDRESS


def effective_gas_price(tx: Transaction, base_fee: Wei | None) -> Wei:
    """What a unit of gas costs the sender, in wei; the maximum while no base fee is known."""
    if isinstance(tx, DepositTransaction):
        return 0
    if base_fee is None or isinstance(tx, LegacyTransaction | AccessListTransaction):
        return tx.max_fee_per_gas
    return min(tx.max_fee_per_gas, base_fee + tx.max_priority_fee_per_gas)


def access_list(entries: AccessList) -> list[Json]:
    """An EIP-2930 access list."""
    return [{"address": "0x" + who.hex(), "storageKeys": ["0x" + key.hex() for key in keys]} for who, keys in entries]


def authorization(item: Authorization) -> Json:
    """An EIP-7702 authorization."""
    return {
        "chainId": hex(item.chain_id),
        "address": "0x" + item.address.hex(),
        "nonce": hex(item.nonce),
        "yParity": hex(item.y_parity),
        "r": hex(item.r),
        "s": hex(item.s),
    }


# ---- receipts and logs ----------------------------------------------------------------------------------------------


def receipts(config: ChainConfig, block: Block, receipts: Sequence[Receipt]) -> list[Json]:
    """All receipts of a block as eth_getBlockReceipts shows them."""
    costs = L1Costs(config, block)
    shown = []
    gas_before = log_index = 0
    for index, (raw, item) in enumerate(zip(block.transactions, receipts, strict=True)):
        shown.append(receipt(block.header, index, raw, item, gas_before, log_index, costs))
        gas_before = item.cumulative_gas_used
        log_index += len(item.logs)
    return shown


def receipt(header: Header, index: int, raw: bytes, item: Receipt, gas_before: int, log_index: int, costs: "L1Costs") -> Json:
    """One receipt. `gas_before` is the cumulative gas and `log_index` the number of logs before this transaction."""
    tx = decode_transaction(raw)
    sender = sender_of(tx)
    tx_hash = keccak(raw)
    fields: Json = {
        "blockHash": "0x" + header.hash.hex(),
        "blockNumber": hex(header.number),
        "transactionHash": "0x" + tx_hash.hex(),
        "transactionIndex": hex(index),
        "from": "0x" + sender.hex(),
        "to": None if tx.to is None else "0x" + tx.to.hex(),
        "gasUsed": hex(item.cumulative_gas_used - gas_before),
        "cumulativeGasUsed": hex(item.cumulative_gas_used),
        "contractAddress": None,
        "logs": logs(item.logs, header, tx_hash, index, log_index),
        "logsBloom": "0x" + item.bloom.hex(),
        "type": hex(item.type),
        "effectiveGasPrice": hex(effective_gas_price(tx, header.base_fee_per_gas)),
    }
    if item.status is None:
        fields["root"] = "0x" + (item.state_root or b"").hex()
    else:
        fields["status"] = hex(item.status)
    if tx.to is None:
        nonce = (item.deposit_nonce or 0) if isinstance(tx, DepositTransaction) else tx.nonce
        fields["contractAddress"] = "0x" + created_address(sender, nonce).hex()
    if isinstance(tx, DepositTransaction):
        if item.deposit_nonce is not None:
            fields["depositNonce"] = hex(item.deposit_nonce)
        if item.deposit_receipt_version is not None:
            fields["depositReceiptVersion"] = hex(item.deposit_receipt_version)
    else:
        costs.add_fields(fields, raw)
    return fields


class L1Costs:
    """The L1 fee fields of one block's receipts. They follow the calldata of the block's own L1-attributes deposit, so
    that an activation block still shows the previous fork's fields."""

    def __init__(self, config: ChainConfig, block: Block) -> None:
        self._attributes: L1Attributes | None = None
        if not config.is_optimism or not block.transactions or block.transactions[0][0] != DepositTransaction.type:
            return
        try:
            first = decode_transaction(block.transactions[0])
            attributes = l1_attributes.from_calldata(first.data)
        except DecodeError:
            return
        fork = config.fork_at(block.header.number, block.header.timestamp)
        self._attributes, self._fork = attributes, fork

    _fork: Fork

    def add_fields(self, fields: Json, raw: bytes) -> None:
        """Add what publishing `raw` on L1 cost to a receipt."""
        l1 = self._attributes
        if l1 is None:
            return
        fields["l1GasPrice"] = hex(l1.base_fee)
        if l1.base_fee_scalar is not None and not (l1.base_fee_scalar or l1.blob_base_fee_scalar):
            # With both scalars 0 the state transition falls back to the older formula, the receipt does not: no fee.
            fields["l1GasUsed"], fields["l1Fee"] = hex(fees.data_gas(self._fork.l1_fee, raw)), "0x0"
        else:
            cost = fees.l1_fee(self._fork, raw, l1, fast_lz_length)
            fields["l1GasUsed"], fields["l1Fee"] = hex(cost.gas_used), hex(cost.fee)
        if l1.base_fee_scalar is None:
            fields["l1FeeScalar"] = scalar_text(l1.scalar or 0)
            return
        fields["l1BaseFeeScalar"] = hex(l1.base_fee_scalar)
        fields["l1BlobBaseFee"] = hex(l1.blob_base_fee or 0)
        fields["l1BlobBaseFeeScalar"] = hex(l1.blob_base_fee_scalar or 0)
        if l1.operator_fee_scalar or l1.operator_fee_constant:
            fields["operatorFeeScalar"] = hex(l1.operator_fee_scalar or 0)
            fields["operatorFeeConstant"] = hex(l1.operator_fee_constant or 0)
        if l1.da_footprint_gas_scalar is not None:
            fields["daFootprintGasScalar"] = hex(l1.da_footprint_gas_scalar)
            fields["blobGasUsed"] = hex(fees.da_footprint(raw, l1.da_footprint_gas_scalar, fast_lz_length))


def scalar_text(scalar: int) -> str:
    """scalar / 10^6 as Go's shortest float text: 684000 is "0.684", 7 is "7e-06"."""
    digits = str(scalar).rstrip("0")
    exponent = len(str(scalar)) - 7
    if scalar == 0:
        return "0"
    if exponent < -4 or exponent >= 6:
        mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
        return f"{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    if exponent < 0:
        return "0." + "0" * (-exponent - 1) + digits
    whole = digits[: exponent + 1].ljust(exponent + 1, "0")
    rest = digits[exponent + 1 :]
    return f"{whole}.{rest}" if rest else whole


def logs(items: Sequence[Log], header: Header, tx_hash: Hash32, index: int, first: int, removed: bool = False) -> list[Json]:
    """The logs of one transaction; `first` is the index of the first one in the block."""
    return [log(item, header.hash, header.number, header.timestamp, tx_hash, index, first + i, removed) for i, item in enumerate(items)]


def log(
    item: Log, block_hash: Hash32, number: int, timestamp: Timestamp, tx_hash: Hash32, tx_index: int, log_index: int, removed: bool
) -> Json:
    """One log in its place."""
    return {
        "address": "0x" + item.address.hex(),
        "topics": ["0x" + topic.hex() for topic in item.topics],
        "data": "0x" + item.data.hex(),
        "blockNumber": hex(number),
        "transactionHash": "0x" + tx_hash.hex(),
        "transactionIndex": hex(tx_index),
        "blockHash": "0x" + block_hash.hex(),
        "blockTimestamp": hex(timestamp),
        "logIndex": hex(log_index),
        "removed": removed,
    }
