"""Logs as op-geth shows them.

Source: geth core/types/log.go; recordings.
"""

from collections.abc import Sequence

from l2engine.types.base import Hash32, Timestamp
from l2engine.types.header import Header
from l2engine.types.receipt import Log
from rpc.show import Json


def show_logs(items: Sequence[Log], header: Header, tx_hash: Hash32, index: int, first: int) -> list[Json]:
    """The logs of one transaction; `first` is the index of the first one in the block."""
    return [show_log(item, header.hash, header.number, header.timestamp, tx_hash, index, first + i, False) for i, item in enumerate(items)]


def show_log(
    item: Log, block_hash: Hash32, number: int, timestamp: Timestamp, tx_hash: Hash32, tx_index: int, log_index: int, removed: bool
) -> Json:
    """One log, with its place in the block and the transaction."""
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
