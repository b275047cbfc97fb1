"""Checks every row outside the tries: blocks against their headers' roots, code against its hash, indexes against blocks.

Reading all rows also finds all data that fails LevelDB's checksums, anywhere in the tables.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator

from l2engine.errors import DecodeError, StoreError
from l2engine.store import schema
from l2engine.store.diffs import decode_diff
from l2engine.types import rlp
from l2engine.types.base import EMPTY_ROOT, keccak
from l2engine.types.block import Block, decode_body
from l2engine.types.header import Header, decode_header, ommers_hash
from l2engine.types.native_functions import ordered_root
from l2engine.types.receipt import Receipt, decode_receipt, merge_blooms
from l2engine.types.storage import Snapshot


def verify_rows(snapshot: Snapshot) -> Iterator[str]:
    """Faults of single rows, one line each, then contradictions between rows."""
    wrong: list[str] = []
    counts: Counter[bytes] = Counter()
    for key, value in snapshot.iterate(b"", b"\xff"):
        kind = key[:1]
        counts[kind] += 1
        check = _CHECKS.get(kind)
        try:
            if kind not in schema.PREFIXES:
                wrong.append(f"a row of an unknown kind: 0x{key.hex()}")
            elif check is not None:
                wrong += check(snapshot, key, value)
        except (DecodeError, StoreError, ValueError, IndexError) as error:
            wrong.append(f"row {kind.decode()} 0x{key[1:].hex()} is damaged: {error}")
        yield from wrong
        wrong.clear()
    yield from _verify_indexes(snapshot, counts)


def _check_meta(snapshot: Snapshot, key: bytes, value: bytes) -> list[str]:
    name = key[1:].decode(errors="replace")
    if name not in schema.META:
        return [f"unknown metadata {name!r}"]
    if key == schema.CONFIG:
        json.loads(value)
    return []


def _check_header(snapshot: Snapshot, key: bytes, value: bytes) -> list[str]:
    header = decode_header(value)
    if header.hash != key[9:] or schema.header_key(header.number, header.hash) != key:
        return [f"header {_block(key)} has another hash or number"]
    if snapshot.get(schema.number_key(header.hash)) != schema.u64(header.number):
        return [f"the number of block {_block(key)} is missing or wrong"]
    return []


def _check_body(snapshot: Snapshot, key: bytes, value: bytes) -> list[str]:
    header = _header(snapshot, key)
    if header is None:
        return [f"body {_block(key)} without a header"]
    return [f"{name} of block {_block(key)} do not give its header's root" for name in _differing(header, decode_body(header, value))]


def _differing(header: Header, block: Block) -> Iterator[str]:
    if block.transactions.root != header.transactions_root:
        yield "transactions"
    if ommers_hash(block.ommers) != header.ommers_hash:
        yield "ommers"
    # An empty list is accepted with any root: from Isthmus on, the header has the message passer's storage root there.
    withdrawals = [rlp.encode(item.rlp_items()) for item in block.withdrawals or ()]
    absent = block.withdrawals is None
    if absent != (header.withdrawals_root is None) or (withdrawals and _root(withdrawals) != header.withdrawals_root):
        yield "withdrawals"


def _check_receipts(snapshot: Snapshot, key: bytes, value: bytes) -> list[str]:
    header = _header(snapshot, key)
    if header is None:
        return [f"receipts {_block(key)} without a header"]
    receipts = _receipts(value)
    if _root([receipt.encode_for_root() for receipt in receipts]) != header.receipts_root:
        return [f"receipts of block {_block(key)} do not give its header's root"]
    if merge_blooms(receipt.bloom for receipt in receipts) != header.logs_bloom:
        return [f"logs of block {_block(key)} do not give its header's bloom"]
    return []


def _check_number(snapshot: Snapshot, key: bytes, value: bytes) -> list[str]:
    known = snapshot.get(schema.header_key(int.from_bytes(value, "big"), key[1:])) is not None
    return [] if known else [f"the number of block 0x{key[1:].hex()} without a header"]


def _check_code(snapshot: Snapshot, key: bytes, value: bytes) -> list[str]:
    return [] if keccak(value) == key[1:] else [f"code 0x{key[1:].hex()} is missing or wrong"]


def _check_changed(snapshot: Snapshot, key: bytes, value: bytes) -> list[str]:
    lost = sum(snapshot.get(b"p" + changed + key[1:]) is None for changed in schema.split_keys(value))
    return [f"{lost} past values of block {int.from_bytes(key[1:], 'big')} are missing"] if lost else []


def _check_base_chain(snapshot: Snapshot, key: bytes, value: bytes) -> list[str]:
    row = snapshot.get(schema.header_key(int.from_bytes(key[1:], "big"), value[:32]))
    if row is None or decode_header(row).state_root != value[32:]:
        return [f"the base's chain does not agree with the header of block {int.from_bytes(key[1:], 'big')}"]
    return []


def _check_diff(snapshot: Snapshot, key: bytes, value: bytes) -> list[str]:
    decode_diff(value)
    header = _header(snapshot, key)
    if header is None or (header.parent_hash, header.state_root) != (value[:32], value[32:64]):
        return [f"the state diff of block {_block(key)} does not belong to its header"]
    return []


_CHECKS: dict[bytes, Callable[[Snapshot, bytes, bytes], list[str]]] = {
    b"m": _check_meta,
    b"h": _check_header,
    b"b": _check_body,
    b"r": _check_receipts,
    b"n": _check_number,
    b"k": _check_code,
    b"x": _check_changed,
    b"X": _check_changed,
    b"e": _check_base_chain,
    b"d": _check_diff,
}


def _verify_indexes(snapshot: Snapshot, counts: Counter[bytes]) -> Iterator[str]:
    """Check the transaction and log indexes against the canonical blocks, whose rows have been found good."""
    expected: Counter[bytes] = Counter()
    for key, block_hash in snapshot.iterate(b"c", schema.prefix_end(b"c")):
        number = int.from_bytes(key[1:], "big")
        kinds = (schema.header_key, schema.body_key, schema.receipts_key)
        header_row, body_row, receipts_row = (snapshot.get(kind(number, block_hash)) for kind in kinds)
        if header_row is None or body_row is None or receipts_row is None:
            yield f"block {number} 0x{block_hash.hex()} of the canonical chain is missing or not whole"
            continue
        try:
            block, receipts = decode_body(decode_header(header_row), body_row), _receipts(receipts_row)
        except DecodeError:
            continue  # already reported
        for index, transaction_hash in enumerate(block.transactions.hashes):
            place = schema.u64(number) + index.to_bytes(4, "big")
            found = snapshot.get(schema.transaction_key(transaction_hash)) or b""
            expected[b"t"] += found == place
            if found < place:  # a later block may hold the same transaction again
                yield f"transaction {index} of block {number} is not in the index"
        items = {item for receipt in receipts for event in receipt.logs for item in (event.address, *event.topics)}
        log_keys = {schema.log_key(keccak(item), number) for item in items}
        expected[b"l"] += len(log_keys)
        if any(snapshot.get(log_key) is None for log_key in log_keys):
            yield f"logs of block {number} are not in the index"
    for kind in (b"t", b"l"):
        if counts[kind] > expected[kind]:
            yield f"{counts[kind] - expected[kind]} rows of the {schema.PREFIXES[kind]} belong to no block of the canonical chain"


def _header(snapshot: Snapshot, key: bytes) -> Header | None:
    """The header of the block that a key names."""
    row = snapshot.get(b"h" + key[1:])
    return None if row is None else decode_header(row)


def _receipts(row: bytes) -> tuple[Receipt, ...]:
    return tuple(decode_receipt(item) for item in rlp.decode(row))


def _root(leaves: list[bytes] | tuple[bytes, ...]) -> bytes:
    return ordered_root(leaves) if leaves else EMPTY_ROOT


def _block(key: bytes) -> str:
    return f"{int.from_bytes(key[1:9], 'big')} 0x{key[9:].hex()}"
