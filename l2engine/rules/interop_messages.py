"""Messages between chains (Lagoon's interop contracts), as an executing transaction names them in its access list.

They do not affect whether a block is valid here; code that checks messages needs them. Source: OP specs, interop/messaging.md and
interop/predeploys.md "CrossL2Inbox"; digest 10.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from l2engine.types.base import Address, BlockNumber, Hash32, Timestamp, keccak
from l2engine.types.receipt import Log

_LOOKUP, _CHAIN_ID, _CHECKSUM = b"\1", b"\2", b"\3"


@dataclass(frozen=True, slots=True)
class MessageIdentifier:
    """The place of a message: a log in a block of some chain."""

    origin: Address
    block_number: BlockNumber
    timestamp: Timestamp
    log_index: int
    chain_id: int


def payload_hash(log: Log) -> Hash32:
    """The hash of a log's payload: its topics, then its data."""
    return keccak(b"".join(log.topics) + log.data)


def log_hash(origin: Address, payload: Hash32) -> Hash32:
    """The hash of a log, from its address and the hash of its payload."""
    return keccak(origin + payload)


def checksum(message: MessageIdentifier, payload: Hash32) -> Hash32:
    """The checksum that ties a message's content to its place: the byte 0x03 and 31 bytes of a hash."""
    place = bytes(12) + _u64(message.block_number) + _u64(message.timestamp) + message.log_index.to_bytes(4, "big")
    of_log = keccak(log_hash(message.origin, payload) + place)
    return _CHECKSUM + keccak(of_log + message.chain_id.to_bytes(32, "big"))[1:]


def access_list_keys(message: MessageIdentifier, payload: Hash32) -> Sequence[Hash32]:
    """The storage keys of CrossL2Inbox that a transaction lists to execute a message: its place (two keys for a chain id
    above 64 bits), then its checksum."""
    chain_id = message.chain_id.to_bytes(32, "big")
    place = chain_id[24:] + _u64(message.block_number) + _u64(message.timestamp) + message.log_index.to_bytes(4, "big")
    high = [_CHAIN_ID + bytes(7) + chain_id[:24]] if any(chain_id[:24]) else []
    return [_LOOKUP + bytes(3) + place, *high, checksum(message, payload)]


def read_access_list_keys(keys: Sequence[Hash32]) -> list[tuple[MessageIdentifier, Hash32]]:
    """The inverse of `access_list_keys` for any number of messages: the place of each, without its origin, which only the checksum
    holds, and the checksum. `ValueError` for keys that are out of order or of an unknown kind."""
    found: list[tuple[MessageIdentifier, Hash32]] = []
    waiting = list(reversed(keys))
    while waiting:
        lookup = waiting.pop()
        if lookup[:1] != _LOOKUP or lookup[1:4] != bytes(3):
            raise ValueError(f"key 0x{lookup.hex()} does not begin a message")
        high = waiting.pop() if waiting and waiting[-1][:1] == _CHAIN_ID else _CHAIN_ID + bytes(31)
        if not waiting or waiting[-1][:1] != _CHECKSUM or high[1:8] != bytes(7):
            raise ValueError("a message without a checksum")
        chain_id = int.from_bytes(high[8:] + lookup[4:12], "big")
        block_number, timestamp = int.from_bytes(lookup[12:20], "big"), int.from_bytes(lookup[20:28], "big")
        place = MessageIdentifier(bytes(20), block_number, timestamp, int.from_bytes(lookup[28:], "big"), chain_id)
        found.append((place, waiting.pop()))
    return found


def _u64(value: int) -> bytes:
    return value.to_bytes(8, "big")
