"""Checks a database against itself, and counts what it holds: `db verify` and `db stats`.

The check reads every row. It rebuilds every trie from the flat rows and compares each node, so it finds wrong, missing and
left-over rows. It compares blocks with their headers' roots (`verify_rows`), and the base with the state root in its header.
It also checks that numbers, hashes and markers refer to existing blocks.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from l2engine.errors import DecodeError, StateUnavailable, StoreError, StoreUnreadable
from l2engine.store import schema
from l2engine.store.blocks import BlockStore
from l2engine.store.files import IMPORT_AGAIN
from l2engine.store.state import LayeredState
from l2engine.store.trie import Item, build
from l2engine.store.verify_rows import verify_rows
from l2engine.types.base import EMPTY_CODE_HASH, EMPTY_ROOT, Hash32, keccak
from l2engine.types.storage import KeyValue, Snapshot

_MANY = 100  # differences after which the search stops


@dataclass(frozen=True, slots=True)
class PrefixStats:
    """The number and size of the rows of one kind."""

    name: str
    rows: int
    key_bytes: int
    value_bytes: int


def verify(kv: KeyValue, deep: bool = True) -> Iterator[str]:
    """The differences found, one line each, the most informative first; none if all is well. `deep` False leaves out tries and rows.
    The check ends at files that cannot be read."""
    try:
        yield from _verify(kv, deep)
    except StoreUnreadable as error:
        yield f"the database cannot be read ({error}): {IMPORT_AGAIN}"


def _verify(kv: KeyValue, deep: bool) -> Iterator[str]:
    snapshot = kv.snapshot()
    base = snapshot.get(schema.BASE)
    if base is None:
        yield "no state: the database has no base"
        return
    if deep:
        yield from _verify_tries(snapshot, base[40:])
        yield from verify_rows(snapshot)
    yield from _verify_blocks(kv, base)


def stats(kv: KeyValue) -> list[PrefixStats]:
    """Rows and bytes per kind of row, before compression."""
    snapshot = kv.snapshot()
    found = []
    for prefix, name in schema.PREFIXES.items():
        rows = key_bytes = value_bytes = 0
        for key, value in snapshot.iterate(prefix, schema.prefix_end(prefix)):
            rows += 1
            key_bytes += len(key)
            value_bytes += len(value)
        found.append(PrefixStats(name, rows, key_bytes, value_bytes))
    return found


def _verify_tries(snapshot: Snapshot, state_root: Hash32) -> Iterator[str]:
    differences: list[str] = []
    account_nodes = storage_nodes = 0
    codes: set[Hash32] = set()

    def check(key: bytes, raw: bytes) -> None:
        stored = snapshot.get(key)
        if stored != raw and len(differences) < _MANY:
            differences.append(f"trie node {_name(key)} is {'missing' if stored is None else 'wrong'}")

    def check_account_node(path: str, raw: bytes) -> None:
        nonlocal account_nodes
        account_nodes += 1
        check(schema.node_key(None, path), raw)

    def leaves() -> Iterator[Item]:
        nonlocal storage_nodes
        slots = _storage_runs(snapshot)
        run = next(slots, None)
        for key, row in snapshot.iterate(b"a", b"b"):
            owner = key[1:]
            while run is not None and run[0] < owner:
                differences.append(f"slots of account 0x{run[0].hex()}, which does not exist")
                run = next(slots, None)
            nonce, balance, root, code_hash = schema.decode_account(row)
            built = EMPTY_ROOT
            if run is not None and run[0] == owner:
                emitted: list[str] = []

                def check_storage_node(path: str, raw: bytes, owner: Hash32 = owner, emitted: list[str] = emitted) -> None:
                    emitted.append(path)
                    check(schema.node_key(owner, path), raw)

                built = build(run[1], check_storage_node)
                storage_nodes += len(emitted)
                run = next(slots, None)
            if built != root:
                differences.append(f"storage root of account 0x{owner.hex()} is 0x{root.hex()}, its slots give 0x{built.hex()}")
            if code_hash != EMPTY_CODE_HASH and code_hash not in codes:
                codes.add(code_hash)
                if keccak(snapshot.get(schema.code_key(code_hash)) or b"") != code_hash:
                    differences.append(f"code 0x{code_hash.hex()} is missing or wrong")
            yield owner.hex(), schema.account_leaf(nonce, balance, root, code_hash)
        if run is not None:
            differences.append(f"slots of account 0x{run[0].hex()}, which does not exist")

    root = build(leaves(), check_account_node)
    yield from differences[:_MANY]
    if root != state_root:
        yield f"state root is 0x{state_root.hex()}, the accounts give 0x{root.hex()}"
    for name, prefix, expected in (("account", b"A", account_nodes), ("storage", b"S", storage_nodes)):
        count = sum(1 for _ in snapshot.iterate(prefix, schema.prefix_end(prefix)))
        if count != expected:
            yield f"{count} {name} trie nodes are stored, the accounts give {expected}"


def _storage_runs(snapshot: Snapshot) -> Iterator[tuple[Hash32, Iterator[Item]]]:
    """The slots by account, in order. Each run must be read to its end before the next one is asked for."""
    rows = snapshot.iterate(b"s", b"t")
    ahead = next(rows, None)

    def run(owner: Hash32) -> Iterator[Item]:
        nonlocal ahead
        while ahead is not None and ahead[0][1:33] == owner:
            yield ahead[0][33:].hex(), schema.slot_leaf(ahead[1])
            ahead = next(rows, None)

    while ahead is not None:
        owner = ahead[0][1:33]
        items = run(owner)
        yield owner, items
        for _ in items:  # skip the items that the caller did not read
            pass


def _verify_blocks(kv: KeyValue, base: bytes) -> Iterator[str]:
    blocks = BlockStore(kv)
    try:
        header = blocks.header(base[8:40])
        if header is None:
            yield f"the base's block 0x{base[8:40].hex()} is missing"
        elif header.state_root != base[40:] or header.number != int.from_bytes(base[:8], "big"):
            yield f"the base does not agree with the header of block {header.number}"
        head = blocks.head and blocks.header(blocks.head)
        if not head:
            yield "the head block is missing"
            return
        if not LayeredState(kv).has(head.hash):
            yield f"the state of the head, block {head.number}, is missing"
        above = head
        while above.number:
            if not blocks.is_canonical(above):
                yield f"block {above.number} below the head is not in the canonical index"
                break
            if not blocks.is_complete(above.hash):
                yield f"block {above.number} has no body or receipts"
                break
            parent = blocks.header(above.parent_hash)
            if parent is None:
                yield f"the parent of block {above.number} is missing"
                break
            above = parent
        for name, marker in (("safe", blocks.safe), ("finalized", blocks.finalized)):
            if marker and blocks.header(marker) is None:  # it may be on a dropped branch: a forkchoice without the label leaves it there
                yield f"the {name} block is missing"
    except StoreUnreadable:
        raise
    except (StoreError, StateUnavailable, DecodeError) as error:
        yield str(error)


def _name(key: bytes) -> str:
    owner = "" if key[:1] == b"A" else f"0x{key[1:33].hex()} "
    return owner + (schema.unpack_path(key[1:] if key[:1] == b"A" else key[33:]) or "root")
