"""Blocks and receipts, the canonical chain's indexes, and the markers head, safe and finalized.

Everything is written through the caller's batch, so that one acknowledged change is one batch. Written blocks never change,
so small caches hold them decoded. Rows that a forkchoice changes are always read from the store.
"""

import heapq
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from l2engine.errors import StoreError
from l2engine.store import schema
from l2engine.types import rlp
from l2engine.types.base import Address, BlockNumber, Hash32, keccak
from l2engine.types.block import Block, decode_body
from l2engine.types.header import Header, decode_header
from l2engine.types.receipt import PackedReceipts, Receipt, decode_receipt
from l2engine.types.storage import Batch, KeyValue

log = logging.getLogger(__name__)

T = TypeVar("T")

_ROWS_BETWEEN_CHECKS = 1024

TopicFilter = Sequence[Sequence[Hash32]]
"""Alternatives for each topic position; an empty position matches anything."""


class BlockStore:
    """Blocks, receipts, indexes and markers; see the module. Look-ups of unknown blocks give None."""

    def __init__(self, kv: KeyValue, headers: int = 2048, blocks: int = 256, receipts: int = 256) -> None:
        self._kv = kv
        self._headers: _Recent[Header] = _Recent(headers)
        self._blocks: _Recent[Block] = _Recent(blocks)
        self._receipts: _Recent[Sequence[Receipt]] = _Recent(receipts)

    # ---- by hash ----------------------------------------------------------------------------------------------------

    def has(self, block_hash: Hash32) -> bool:
        return self._kv.get(schema.number_key(block_hash)) is not None

    def number(self, block_hash: Hash32) -> BlockNumber | None:
        row = self._kv.get(schema.number_key(block_hash))
        return int.from_bytes(row, "big") if row else None

    def header(self, block_hash: Hash32) -> Header | None:
        header = self._headers.get(block_hash)
        if header is None:
            number = self.number(block_hash)
            if number is None:
                return None
            header = decode_header(self._need(schema.header_key(number, block_hash)))
            self._headers.put(block_hash, header)
        return header

    def block(self, block_hash: Hash32) -> Block | None:
        block = self._blocks.get(block_hash)
        if block is None:
            header = self.header(block_hash)
            if header is None:
                return None
            block = decode_body(header, self._need(schema.body_key(header.number, block_hash)))
            self._blocks.put(block_hash, block)
        return block

    def receipts(self, block_hash: Hash32) -> Sequence[Receipt] | None:
        """The block's receipts in order of its transactions."""
        receipts = self._receipts.get(block_hash)
        if receipts is None:
            number = self.number(block_hash)
            if number is None:
                return None
            rows = rlp.decode(self._need(schema.receipts_key(number, block_hash)))
            receipts = tuple(decode_receipt(row) for row in rows)
            self._receipts.put(block_hash, receipts)
        return receipts

    def receipts_row(self, block_hash: Hash32) -> bytes | None:
        """The block's receipts as they are stored: the RLP list of their network forms."""
        number = self.number(block_hash)
        return None if number is None else self._need(schema.receipts_key(number, block_hash))

    def is_complete(self, block_hash: Hash32) -> bool:
        """Whether header, body and receipts are all stored, not only the number."""
        number = self.number(block_hash)
        keys = (schema.header_key, schema.body_key, schema.receipts_key)
        return number is not None and all(self._kv.get(key(number, block_hash)) is not None for key in keys)

    # ---- by number, along the canonical chain -----------------------------------------------------------------------

    def canonical_hash(self, number: BlockNumber) -> Hash32 | None:
        return self._kv.get(schema.canonical_key(number))

    def canonical_block(self, number: BlockNumber) -> Block | None:
        block_hash = self.canonical_hash(number)
        return self.block(block_hash) if block_hash else None

    def is_canonical(self, header: Header) -> bool:
        return self.canonical_hash(header.number) == header.hash

    def transaction_location(self, transaction_hash: Hash32) -> tuple[Hash32, int] | None:
        """Hash of the canonical block that contains the transaction, and its index there; the last such block if there are several."""
        row = self._kv.get(schema.transaction_key(transaction_hash))
        if row is None:
            return None
        block_hash = self.canonical_hash(int.from_bytes(row[:8], "big"))
        return (block_hash, int.from_bytes(row[8:], "big")) if block_hash else None

    def log_candidates(
        self,
        first: BlockNumber,
        last: BlockNumber,
        addresses: Iterable[Address],
        topics: TopicFilter,
        check: Callable[[], None] = lambda: None,
    ) -> Iterator[BlockNumber]:
        """Numbers, ascending, of the canonical blocks in [first, last] that may hold a matching log.

        Such a block has one of the addresses and one of the topics for each position, but not necessarily in the same log or
        at that position. Without any condition, all numbers are returned. `check` is called now and then, and may raise.
        """
        conditions = [list(addresses), *(list(position) for position in topics)]
        streams = [self._blocks_with(alternatives, first, last, check) for alternatives in conditions if alternatives]
        return _common(streams) if streams else iter(range(first, last + 1))

    def _blocks_with(
        self, items: Iterable[bytes], first: BlockNumber, last: BlockNumber, check: Callable[[], None]
    ) -> Iterator[BlockNumber]:
        digests = {keccak(item)[:8] for item in items}
        rows = (self._kv.iterate(schema.log_key(digest, first), schema.log_key(digest, last + 1)) for digest in digests)
        merged = heapq.merge(*((int.from_bytes(key[9:], "big") for key, _ in run) for run in rows))
        for count, number in enumerate(merged):
            if count % _ROWS_BETWEEN_CHECKS == 0:
                check()
            yield number

    # ---- the markers ------------------------------------------------------------------------------------------------

    @property
    def head(self) -> Hash32 | None:
        return self._kv.get(schema.HEAD)

    @property
    def safe(self) -> Hash32 | None:
        return self._kv.get(schema.SAFE)

    @property
    def finalized(self) -> Hash32 | None:
        return self._kv.get(schema.FINALIZED)

    @property
    def genesis(self) -> Hash32 | None:
        return self._kv.get(schema.GENESIS)

    @property
    def config(self) -> bytes | None:
        """The stored chain configuration (JSON)."""
        return self._kv.get(schema.CONFIG)

    # ---- writing ----------------------------------------------------------------------------------------------------

    def put(self, batch: Batch, block: Block, receipts: Sequence[Receipt]) -> None:
        """Add the block to `batch`, not yet as part of the canonical chain. Call `remember` once the batch is written."""
        number, block_hash = block.number, block.hash
        batch.put(schema.header_key(number, block_hash), block.header.encode())
        batch.put(schema.body_key(number, block_hash), block.encode_body())
        row = receipts.row if isinstance(receipts, PackedReceipts) else rlp.encode([receipt.encode() for receipt in receipts])
        batch.put(schema.receipts_key(number, block_hash), row)
        batch.put(schema.number_key(block_hash), schema.u64(number))

    def remember(self, block: Block, receipts: Sequence[Receipt]) -> None:
        """Cache a block that was put. Separate from `put`, so that no reader sees a block that is not on disk yet."""
        self._headers.put(block.hash, block.header)
        self._blocks.put(block.hash, block)
        self._receipts.put(block.hash, receipts)

    def set_canonical(self, batch: Batch, removed: Iterable[Block], added: Iterable[Block]) -> None:
        """Take `removed` off the canonical chain and put `added` on it, in the indexes by number, transaction and log. All these
        blocks must already be stored or remembered."""
        for block in removed:
            batch.delete(schema.canonical_key(block.number))
            place = schema.u64(block.number)
            for transaction_hash in block.transactions.hashes:
                key = schema.transaction_key(transaction_hash)
                if (self._kv.get(key) or b"").startswith(place):
                    batch.delete(key)
            for key in self._log_keys(block):
                batch.delete(key)
        for block in added:
            batch.put(schema.canonical_key(block.number), block.hash)
            place = schema.u64(block.number)
            for index, transaction_hash in enumerate(block.transactions.hashes):
                batch.put(schema.transaction_key(transaction_hash), place + index.to_bytes(4, "big"))
            for key in self._log_keys(block):
                batch.put(key, b"")

    def set_markers(self, batch: Batch, head: Hash32 | None = None, safe: Hash32 | None = None, finalized: Hash32 | None = None) -> None:
        """Set the given markers; None leaves a marker unchanged."""
        for key, block_hash in ((schema.HEAD, head), (schema.SAFE, safe), (schema.FINALIZED, finalized)):
            if block_hash is not None:
                batch.put(key, block_hash)

    def repair_tail(self) -> None:
        """Move the markers back to the newest complete canonical block, when the head's rows are missing or cut off.

        Batches are atomic, so only damage from outside can cause this. It is logged; the rollup node sends the lost blocks again.
        """
        head = self.head
        if head is None or self.is_complete(head):
            return
        batch = self._kv.batch()
        lost = 0
        for key, block_hash in self._kv.iterate(b"c", schema.prefix_end(b"c"), reverse=True):
            if self.is_complete(block_hash):
                break
            batch.delete(key)
            lost += 1
        else:
            raise StoreError("no block of the chain is whole")
        number = int.from_bytes(key[1:], "big")
        batch.put(schema.HEAD, block_hash)
        for marker in (schema.SAFE, schema.FINALIZED):
            marked = self._kv.get(marker)
            if marked is not None and not (self.is_complete(marked) and (self.number(marked) or 0) <= number):
                batch.put(marker, block_hash)
        batch.write(sync=True)
        log.warning("repaired the end of the chain: %d damaged blocks dropped, head is now block %d 0x%s", lost, number, block_hash.hex())

    def _log_keys(self, block: Block) -> Iterable[bytes]:
        receipts = self.receipts(block.hash)
        if receipts is None:
            raise StoreError(f"no receipts of block {block.number}")
        if isinstance(receipts, PackedReceipts):
            return receipts.log_keys(block.number)
        items = {item for receipt in receipts for event in receipt.logs for item in (event.address, *event.topics)}
        return {schema.log_key(keccak(item), block.number) for item in items}

    def _need(self, key: bytes) -> bytes:
        row = self._kv.get(key)
        if row is None:
            raise StoreError(f"missing row {key[:1].decode()} 0x{key[1:].hex()}")
        return row


class _Recent(Generic[T]):
    """A cache of the most recently used values, by hash; any thread may use it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hash32, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, block_hash: Hash32) -> T | None:
        with self._lock:
            value = self._values.get(block_hash)
            if value is not None:
                self._values.move_to_end(block_hash)
            return value

    def put(self, block_hash: Hash32, value: T) -> None:
        with self._lock:
            self._values[block_hash] = value
            self._values.move_to_end(block_hash)
            if len(self._values) > self._size:
                self._values.popitem(last=False)


def _common(streams: Sequence[Iterator[int]]) -> Iterator[int]:
    """The numbers that occur in all the ascending streams, each once."""
    current = [-1] * len(streams)
    wanted = agreed = 0  # `agreed` counts the streams in a row whose current number is `wanted`
    while True:
        for index, stream in enumerate(streams):
            while current[index] < wanted:
                number = next(stream, None)
                if number is None:
                    return
                current[index] = number
            if current[index] > wanted:
                wanted, agreed = current[index], 0
            agreed += 1
            if agreed == len(streams):
                yield wanted
                wanted, agreed = wanted + 1, 0
