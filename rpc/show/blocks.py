"""Headers, blocks and withdrawals as op-geth shows them.

Source: geth internal/ethapi; recordings.
"""

from collections.abc import Sequence

from l2engine.types import rlp
from l2engine.types.base import keccak
from l2engine.types.block import Block, Withdrawal
from l2engine.types.header import Header
from l2engine.types.receipt import Receipt
from l2engine.types.transaction import record_of
from l2engine.types.transaction_codec import decode_transaction
from rpc.show import Json
from rpc.show.transactions import show_transaction


def show_header(header: Header) -> Json:
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


def show_block(block: Block, full: bool, receipts: Sequence[Receipt]) -> Json:
    """A block as eth_getBlockBy* shows it. With `full`, whole transactions are shown, with deposit nonces from the receipts."""
    fields = show_header(block.header)
    fields["size"] = hex(block_size(block))
    if full:
        fields["transactions"] = [
            show_transaction(decode_transaction(raw), block.header, index, None if record_of(raw).is_signed else receipts[index])
            for index, raw in enumerate(block.transactions)
        ]
    else:
        fields["transactions"] = ["0x" + keccak(raw).hex() for raw in block.transactions]
    fields["uncles"] = ["0x" + ommer.hash.hex() for ommer in block.ommers]
    if block.withdrawals is not None:
        fields["withdrawals"] = [show_withdrawal(item) for item in block.withdrawals]
    return fields


def block_size(block: Block) -> int:
    """The length of the block's RLP in bytes, without building it."""
    transactions = sum(len(raw) if raw[0] >= 0xC0 else _rlp_length(len(raw)) for raw in block.transactions)
    size = len(block.header.encode()) + _rlp_length(transactions) + len(rlp.encode([ommer.rlp_items() for ommer in block.ommers]))
    if block.withdrawals is not None:
        size += len(rlp.encode([item.rlp_items() for item in block.withdrawals]))
    return _rlp_length(size)


def _rlp_length(payload: int) -> int:
    """The encoded length of a list, or of a string longer than one byte, whose content has `payload` bytes."""
    return payload + (1 if payload < 56 else 1 + (payload.bit_length() + 7) // 8)


def show_withdrawal(item: Withdrawal) -> Json:
    """An EIP-4895 withdrawal."""
    return {
        "index": hex(item.index),
        "validatorIndex": hex(item.validator_index),
        "address": "0x" + item.address.hex(),
        "amount": hex(item.amount),
    }
