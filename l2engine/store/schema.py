"""Every key of the database in one table, with the encodings of keys and values, byte for byte.

All integers are big-endian. `‖` joins bytes; `u32` and `u64` are fixed widths. No key is a prefix of another, and each kind of
key tells its own length from its first bytes, so that a seek never lands on another kind or on a longer path.

    key                                         value
    ------------------------------------------  ----------------------------------------------------------------------
    "m" ‖ name (ASCII, one of META)
      "schema"                                  "l2engine" ‖ version u32
      "genesis"                                 hash of block 0 (32)
      "config"                                  the chain configuration as JSON, UTF-8
      "head" "safe" "finalized"                 block hash (32); absent until first set
      "base"                                    number u64 ‖ block hash (32) ‖ state root (32) of the block that the base holds
      "past-state" "past-proofs"                u64: the lowest block whose state (whose trie nodes) can be read back

    blocks, written once and never changed
    "h" ‖ number u64 ‖ hash (32)                header, RLP
    "b" ‖ number u64 ‖ hash (32)                body, RLP: [transactions, ommers, withdrawals when the block has them]
    "r" ‖ number u64 ‖ hash (32)                receipts: RLP list of byte strings, each the receipt's network form
    "n" ‖ hash (32)                             number u64

    the canonical chain, changed by a forkchoice
    "c" ‖ number u64                            hash (32)
    "t" ‖ transaction hash (32)                 number u64 ‖ index u32
    "l" ‖ keccak(address or topic)[:8] ‖ number u64     empty

    the base: the state after one canonical block
    "a" ‖ keccak(address) (32)                  slim RLP: [nonce, balance, storage root or empty, code hash or empty]
    "s" ‖ keccak(address) ‖ keccak(slot)        value, 1 to 32 bytes without leading zeros; a zero slot has no row
    "A" ‖ path                                  node of the account trie, RLP
    "S" ‖ keccak(address) ‖ path                node of an account's storage trie, RLP
        path = count of nibbles (one byte, 0 to 64) ‖ nibbles, two a byte, an odd last one in the upper half
        nodes shorter than 32 bytes are inside their parent and have no row, except roots
    "k" ‖ code hash (32)                        code; written with the block that deploys it, never deleted

    the past: what block N replaced, for every N on the base's chain
    "p" ‖ key of the base ("a" "s" "A" "S") ‖ N u64     the key's value before N; empty when it had none
    "x" ‖ N u64                                 keys "a" and "s" with a past at N, sorted, joined without separators
    "X" ‖ N u64                                 keys "A" and "S" with a past at N, sorted, joined without separators
    "e" ‖ number u64                            hash (32) ‖ state root (32) of the base's ancestor with this number, and of the base,
                                                from "past-state" on

    the layers: what each block above the base changed
    "d" ‖ number u64 ‖ hash (32)                parent hash (32) ‖ state root (32) ‖ accounts in address order, each:
        address (20) ‖ flags (1) ‖ [nonce u64 ‖ balance (32) ‖ code hash (32), when flag 1 is set] ‖ count u32 ‖ count times, in
        slot order: slot (32) ‖ value (32).  Flag 1: the account exists; flag 2: all earlier storage vanishes first

Numbers sort as bytes because they have fixed widths. Both the Python and the native store write exactly this.
"""

from collections.abc import Iterator

from l2engine.errors import StoreError
from l2engine.types.base import EMPTY_CODE_HASH, EMPTY_ROOT, BlockNumber, Hash32, Wei, encode_int

VERSION = 1
"""Increased with every change to the table above; `upgrades` then gets a step from the previous version."""

MAGIC = b"l2engine"

META = ("schema", "genesis", "config", "head", "safe", "finalized", "base", "past-state", "past-proofs")

SCHEMA, GENESIS, CONFIG, HEAD, SAFE, FINALIZED, BASE, PAST_STATE, PAST_PROOFS = (b"m" + name.encode() for name in META)

PREFIXES: dict[bytes, str] = {
    b"m": "metadata",
    b"h": "headers",
    b"b": "bodies",
    b"r": "receipts",
    b"n": "block numbers",
    b"c": "canonical hashes",
    b"t": "transaction index",
    b"l": "log index",
    b"a": "accounts",
    b"s": "slots",
    b"A": "account trie nodes",
    b"S": "storage trie nodes",
    b"k": "code",
    b"p": "past values",
    b"x": "past flat keys",
    b"X": "past node keys",
    b"e": "base chain",
    b"d": "block diffs",
}

_LENGTHS = tuple(bytes([i]) for i in range(65))


def schema_row(version: int = VERSION) -> bytes:
    """The value of the row that identifies a database of this program and its version."""
    return MAGIC + version.to_bytes(4, "big")


def u64(number: int) -> bytes:
    """A fixed-width number."""
    return number.to_bytes(8, "big")


def header_key(number: BlockNumber, block_hash: Hash32) -> bytes:
    return b"h" + number.to_bytes(8, "big") + block_hash


def body_key(number: BlockNumber, block_hash: Hash32) -> bytes:
    return b"b" + number.to_bytes(8, "big") + block_hash


def receipts_key(number: BlockNumber, block_hash: Hash32) -> bytes:
    return b"r" + number.to_bytes(8, "big") + block_hash


def number_key(block_hash: Hash32) -> bytes:
    return b"n" + block_hash


def canonical_key(number: BlockNumber) -> bytes:
    return b"c" + number.to_bytes(8, "big")


def transaction_key(transaction_hash: Hash32) -> bytes:
    return b"t" + transaction_hash


def log_key(digest: Hash32, number: BlockNumber) -> bytes:
    """`digest` is keccak of an address or a topic."""
    return b"l" + digest[:8] + number.to_bytes(8, "big")


def account_key(owner: Hash32) -> bytes:
    """`owner` is keccak of the address, here and below."""
    return b"a" + owner


def slot_key(owner: Hash32, slot_hash: Hash32) -> bytes:
    return b"s" + owner + slot_hash


def node_key(owner: Hash32 | None, path: str) -> bytes:
    """The key of the trie node at `path` (hex digits, one per nibble) in the account trie (owner None) or in a storage trie."""
    return node_prefix(owner) + pack_path(path)


def node_prefix(owner: Hash32 | None) -> bytes:
    return b"A" if owner is None else b"S" + owner


def pack_path(path: str) -> bytes:
    """A nibble path, given as hex digits, as the last part of a node's key."""
    count = len(path)
    return _LENGTHS[count] + bytes.fromhex(path + "0" if count & 1 else path)


def unpack_path(packed: bytes) -> str:
    """The inverse of `pack_path`."""
    return packed[1:].hex()[: packed[0]]


def code_key(code_hash: Hash32) -> bytes:
    return b"k" + code_hash


def past_key(key: bytes, number: BlockNumber) -> bytes:
    """The key under which the value of `key` before block `number` is kept."""
    return b"p" + key + number.to_bytes(8, "big")


def changed_flat_key(number: BlockNumber) -> bytes:
    return b"x" + number.to_bytes(8, "big")


def changed_nodes_key(number: BlockNumber) -> bytes:
    return b"X" + number.to_bytes(8, "big")


def base_chain_key(number: BlockNumber) -> bytes:
    return b"e" + number.to_bytes(8, "big")


def diff_key(number: BlockNumber, block_hash: Hash32) -> bytes:
    return b"d" + number.to_bytes(8, "big") + block_hash


def split_keys(joined: bytes) -> Iterator[bytes]:
    """The keys of a "x" or "X" row, split by the lengths that their first byte gives."""
    position = 0
    while position < len(joined):
        kind = joined[position : position + 1]
        if kind == b"a":
            length = 33
        elif kind == b"s":
            length = 65
        elif kind == b"A":
            length = 2 + (joined[position + 1] + 1) // 2
        elif kind == b"S":
            length = 34 + (joined[position + 33] + 1) // 2
        else:
            raise StoreError(f"damaged list of changed keys at byte {position}")
        yield joined[position : position + length]
        position += length


def prefix_end(prefix: bytes) -> bytes:
    """The first key after all keys that start with `prefix`."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1])


def encode_account(nonce: int, balance: Wei, storage_root: Hash32, code_hash: Hash32) -> bytes:
    """An account's flat row: slim RLP, the same form that snap/1 sends."""
    root = b"\x80" if storage_root == EMPTY_ROOT else b"\xa0" + storage_root
    code = b"\x80" if code_hash == EMPTY_CODE_HASH else b"\xa0" + code_hash
    payload = _rlp_int(nonce) + _rlp_int(balance) + root + code
    length = len(payload)
    return (bytes([0xC0 + length]) if length < 56 else b"\xf8" + bytes([length])) + payload


def decode_account(row: bytes) -> tuple[int, Wei, Hash32, Hash32]:
    """Nonce, balance, storage root and code hash from a flat row."""
    position = 1 if row[0] < 0xF8 else 2
    nonce, position = _read_int(row, position)
    balance, position = _read_int(row, position)
    if row[position] == 0x80:
        root, position = EMPTY_ROOT, position + 1
    else:
        root, position = row[position + 1 : position + 33], position + 33
    code = EMPTY_CODE_HASH if row[position] == 0x80 else row[position + 1 : position + 33]
    return nonce, balance, root, code


def account_leaf(nonce: int, balance: Wei, storage_root: Hash32, code_hash: Hash32) -> bytes:
    """The account's leaf in the state trie: RLP of [nonce, balance, storage root, code hash]."""
    payload = _rlp_int(nonce) + _rlp_int(balance) + b"\xa0" + storage_root + b"\xa0" + code_hash
    return b"\xf8" + bytes([len(payload)]) + payload  # always 68 bytes or more


def slot_leaf(value: bytes) -> bytes:
    """A slot's leaf in its storage trie, from the slot's flat row."""
    return value if len(value) == 1 and value[0] < 0x80 else bytes([0x80 + len(value)]) + value


def _rlp_int(value: int) -> bytes:
    data = encode_int(value)
    return data if len(data) == 1 and data[0] < 0x80 else bytes([0x80 + len(data)]) + data


def _read_int(row: bytes, position: int) -> tuple[int, int]:
    first = row[position]
    if first < 0x80:
        return first, position + 1
    end = position + first - 0x7F
    return int.from_bytes(row[position + 1 : end], "big"), end
