"""Logs as op-geth shows them, as values or, where there may be many, as JSON.

Source: geth core/types/log.go; recordings.
"""

from collections.abc import Iterable, Iterator, Sequence

import orjson

from l2engine.types import rlp
from l2engine.types.base import Hash32, Timestamp, keccak
from l2engine.types.block import Block
from l2engine.types.header import Header
from l2engine.types.log_filter import LogFilter
from l2engine.types.native_core import core as _native
from l2engine.types.receipt import Log, decode_receipt
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


class LogWriter:
    """Shows the logs that pass a filter as JSON objects with commas between them, block by block. The native core does it without
    keeping other threads waiting."""

    def __init__(self, wanted: LogFilter) -> None:
        self._wanted = wanted
        self._native = None if _native is None else _native.LogFilter(list(wanted.addresses), [list(group) for group in wanted.topics])

    def of_block(self, block: Block, receipts: bytes, removed: bool) -> tuple[int, bytes]:
        """The number of logs, and their JSON. `receipts` is the row in the store."""
        header = block.header
        if self._native is not None:
            return self._native.json(  # type: ignore[no-any-return]
                receipts, list(block.transactions), header.hash, header.number, header.timestamp, removed
            )
        decoded = [decode_receipt(row).logs for row in rlp.decode(receipts)]
        shown = [orjson.dumps(log) for log in matching_logs(block, decoded, self._wanted, removed)]
        return len(shown), b",".join(shown)


def matching_logs(block: Block, logs: Iterable[Sequence[Log]], wanted: LogFilter, removed: bool) -> Iterator[Json]:
    """The logs of a block that pass a filter; `logs` are those of each transaction."""
    header, log_index = block.header, 0
    for tx_index, items in enumerate(logs):
        tx_hash: Hash32 | None = None
        for item in items:
            if wanted.matches(item):
                tx_hash = tx_hash or keccak(block.transactions[tx_index])
                yield show_log(item, header.hash, header.number, header.timestamp, tx_hash, tx_index, log_index, removed)
            log_index += 1
