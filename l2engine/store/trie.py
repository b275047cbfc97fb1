"""The Merkle-Patricia trie, with nodes stored by their path.

`Trie.update` applies many keys at once and reads only the nodes on their way; `build` makes a trie from sorted items in
one pass; `prove` collects the nodes from the root to a key. Keys are hex strings, one digit a nibble, because Python
slices, compares and packs those in C. A decoded node is a list of 16 child references (branch) or a tuple
(path, content, is_leaf); a reference is the child's RLP as its parent holds it: empty string, 32-byte hash, or a node
shorter than 32 bytes. All keys of one trie have the same length, so a branch never has a value (Yellow Paper, appendix D).
"""

from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from l2engine.errors import StoreError
from l2engine.store.schema import node_key, node_prefix
from l2engine.types.base import EMPTY_ROOT, Hash32, keccak

Branch: TypeAlias = list[bytes]
Short: TypeAlias = tuple[str, bytes, bool]
"""A leaf (rest of the key, value, True) or an extension (shared path, reference, False)."""
Node: TypeAlias = Branch | Short
Item: TypeAlias = tuple[str, bytes]
"""A key as hex digits and its value; an empty value deletes the key."""

NOTHING = b"\x80"  # the reference to no child
_DIGITS = "0123456789abcdef"
_NIBBLE = {digit: index for index, digit in enumerate(_DIGITS)}
_FULL_BRANCH = 532  # bytes of a branch with 16 hashed children
_FULL_BRANCH_STARTS = range(3, 531, 33)
_LENGTHS = tuple(bytes([i]) for i in range(65))


class Trie:
    """One trie under change: `read` finds old nodes by database key, `changes` collects new ones (None for deleted nodes)."""

    def __init__(
        self,
        read: Callable[[bytes], bytes | None],
        root: Hash32,
        owner: Hash32 | None = None,
        changes: dict[bytes, bytes | None] | None = None,
    ) -> None:
        self.root = root
        self.changes: dict[bytes, bytes | None] = {} if changes is None else changes
        self._read = read
        self._prefix = node_prefix(owner)

    def update(self, items: Sequence[Item]) -> Hash32:
        """Set and delete keys, which must be sorted and distinct; returns the new root. `StoreError` when a node is missing."""
        if not items:
            return self.root
        old = NOTHING if self.root == EMPTY_ROOT else b"\xa0" + self.root
        node = self._apply(self._load("", old) if old != NOTHING else None, "", items)
        if node is None:
            self._drop("", old)
            self.root = EMPTY_ROOT
        else:
            raw = encode_node(node)
            self.changes[self._key("")] = raw
            self.root = bytes(keccak(raw))
        return self.root

    def _apply(self, node: Node | None, path: str, items: Sequence[Item]) -> Node | None:
        """The node at `path` after applying the items, whose keys all start with `path`."""
        if node is None:
            return self._fresh(path, [item for item in items if item[1]])
        if isinstance(node, list):
            return self._apply_to_branch(node, path, items)
        if node[2]:
            return self._apply_to_leaf(node, path, items)
        return self._apply_to_extension(node, path, items)

    def _apply_to_branch(self, children: Branch, path: str, items: Sequence[Item]) -> Node | None:
        shrunk = False
        for digit, group in _groups(items, len(path)):
            index, place = _NIBBLE[digit], path + digit
            old = children[index]
            child = self._apply(None if old == NOTHING else self._load(place, old), place, group)
            if child is None:
                self._drop(place, old)
                children[index] = NOTHING
                shrunk = True
            else:
                children[index] = self._store(place, child, old)
        return self._collapse(path, children) if shrunk else children

    def _apply_to_leaf(self, leaf: Short, path: str, items: Sequence[Item]) -> Node | None:
        key = path + leaf[0]
        if len(items) == 1 and items[0][0] == key:
            value = items[0][1]
            return (leaf[0], value, True) if value else None
        live = [item for item in items if item[1]]
        if all(item[0] != key for item in items):
            insort(live, (key, leaf[1]))
        return self._fresh(path, live)

    def _apply_to_extension(self, extension: Short, path: str, items: Sequence[Item]) -> Node | None:
        shared, ref, _ = extension
        below = path + shared
        if not (items[0][0].startswith(below) and items[-1][0].startswith(below)):
            items = [item for item in items if item[1] or item[0].startswith(below)]  # drop deletions of keys that do not exist
            if not items:
                return extension
        if items[0][0].startswith(below) and items[-1][0].startswith(below):
            return self._extend(path, shared, self._apply(self._load(below, ref), below, items), ref)

        # The new keys differ from the extension at its nibble `fork`: a branch is inserted there.
        fork = min(_shared(below, items[0][0]), _shared(below, items[-1][0])) - len(path)
        place = path + shared[:fork]
        kept, rest = shared[fork], shared[fork + 1 :]
        children = [NOTHING] * 16
        for digit, group in _groups(items, len(place)):
            if digit != kept:
                child = self._fresh(place + digit, group)
                assert child is not None  # deletions outside the extension were dropped above
                children[_NIBBLE[digit]] = self._store(place + digit, child, NOTHING)
        group = [item for item in items if item[0].startswith(place + kept)]
        old = NOTHING if rest else ref  # the shortened extension is not stored yet, but its child is
        survivor: Node | None = (rest, ref, False) if rest else None
        if group:
            survivor = self._apply(survivor or self._load(below, ref), place + kept, group)
        if survivor is not None:
            children[_NIBBLE[kept]] = self._store(place + kept, survivor, old)
        elif group:
            self._drop(place + kept, old)
        else:
            children[_NIBBLE[kept]] = ref
        return self._extend(path, shared[:fork], self._collapse(place, children), NOTHING)

    def _fresh(self, path: str, items: Sequence[Item]) -> Node | None:
        """A new subtree at `path` holding exactly these items, all with values."""
        if not items:
            return None
        depth = len(path)
        if len(items) == 1:
            return items[0][0][depth:], items[0][1], True
        shared = items[0][0][: _shared(items[0][0], items[-1][0])]
        children = [NOTHING] * 16
        for digit, group in _groups(items, len(shared)):
            child = self._fresh(shared + digit, group)
            assert child is not None
            children[_NIBBLE[digit]] = self._store(shared + digit, child, NOTHING)
        return self._extend(path, shared[depth:], children, NOTHING)

    def _collapse(self, path: str, children: Branch) -> Node | None:
        """The node for a branch after deletions: merged with its child if only one is left, None if none is left."""
        left = [index for index, ref in enumerate(children) if ref != NOTHING]
        if len(left) > 1:
            return children
        if not left:
            return None
        digit, ref = _DIGITS[left[0]], children[left[0]]
        child = self._load(path + digit, ref)
        if isinstance(child, list):
            return digit, ref, False
        self._drop(path + digit, ref)
        return digit + child[0], child[1], child[2]

    def _extend(self, path: str, shared: str, child: Node | None, old: bytes) -> Node | None:
        """`child`, which belongs at `path + shared`, with an extension of `shared` above it."""
        if not shared:
            return child
        if isinstance(child, list):
            return shared, self._store(path + shared, child, old), False
        self._drop(path + shared, old)
        return None if child is None else (shared + child[0], child[1], child[2])

    def _key(self, path: str) -> bytes:
        count = len(path)
        return self._prefix + _LENGTHS[count] + bytes.fromhex(path + "0" if count & 1 else path)

    def _load(self, path: str, ref: bytes) -> Node:
        if len(ref) != 33:
            return decode_node(ref)
        key = self._key(path)
        raw = self.changes.get(key) or self._read(key)
        if raw is None:
            raise StoreError(f"missing trie node at {self._prefix.hex()}:{path}")
        return decode_node(raw)

    def _store(self, path: str, node: Node, old: bytes) -> bytes:
        """Store the node and return the reference for its parent; `old` is the parent's previous reference."""
        raw = encode_node(node)
        if len(raw) < 32:
            self._drop(path, old)
            return raw
        self.changes[self._key(path)] = raw
        digest: Hash32 = keccak(raw)
        return b"\xa0" + digest

    def _drop(self, path: str, old: bytes) -> None:
        if len(old) == 33:
            self.changes[self._key(path)] = None


def build(items: Iterable[Item], emit: Callable[[str, bytes], None]) -> Hash32:
    """The root over items in key order; calls `emit(path, rlp)` for every node that has a row. Keeps one branch per level in memory."""
    stack: list[tuple[int, Branch]] = []  # open branches: how many nibbles lie above, and their children

    def close(key: str, depth: int, node: Node) -> bytes:
        raw = encode_node(node)
        if len(raw) < 32 and depth:
            return raw
        emit(key[:depth], raw)
        digest: Hash32 = keccak(raw)
        return b"\xa0" + digest

    previous: Item | None = None
    root = NOTHING
    for item in _with_end(items):
        if previous is not None:
            key, value = previous
            shared = -1 if item is None else _shared(key, item[0])
            if item is not None and item[0] <= key:
                raise ValueError("keys are not in order")
            if shared > (stack[-1][0] if stack else -1):
                stack.append((shared, [NOTHING] * 16))
            parent = stack[-1][0] if stack else -1
            ref = close(key, parent + 1, (key[parent + 1 :], value, True))
            while stack:
                stack[-1][1][_NIBBLE[key[stack[-1][0]]]] = ref
                if stack[-1][0] <= shared:
                    break
                depth, children = stack.pop()
                parent = max(stack[-1][0] if stack else -1, shared)
                ref = close(key, depth, children)
                if depth > parent + 1:
                    ref = close(key, parent + 1, (key[parent + 1 : depth], ref, False))
                if parent > (stack[-1][0] if stack else -1):
                    stack.append((parent, [NOTHING] * 16))
            root = ref
        previous = item
    return EMPTY_ROOT if root == NOTHING else root[1:]


def prove(read: Callable[[bytes], bytes | None], root: Hash32, owner: Hash32 | None, key: str) -> tuple[bytes, ...]:
    """The nodes (RLP) from the root towards `key`, which prove its value or its absence. Nodes inside others are not repeated."""
    if root == EMPTY_ROOT:
        return ()
    nodes: list[bytes] = []
    path, ref = "", b"\xa0" + root
    while True:
        raw: bytes | None = ref
        if len(ref) == 33:
            raw = read(node_key(owner, path))
            if raw is None:
                raise StoreError(f"missing trie node at {node_prefix(owner).hex()}:{path}")
            nodes.append(raw)
        assert raw is not None
        node = decode_node(raw)
        if isinstance(node, list):
            ref = node[_NIBBLE[key[len(path)]]]
            path = key[: len(path) + 1]
            if ref == NOTHING:
                return tuple(nodes)
        elif node[2] or not key.startswith(path + node[0]):
            return tuple(nodes)
        else:
            path, ref = path + node[0], node[1]


def decode_node(raw: bytes) -> Node:
    """A node from its RLP. The list of a branch is new, so the caller may change it."""
    if len(raw) == _FULL_BRANCH and raw[3] == 0xA0 and raw[-1] == 0x80:
        return [raw[start : start + 33] for start in _FULL_BRANCH_STARTS]
    first = raw[0]
    position = 1 if first < 0xF8 else first - 0xF6
    end = len(raw)
    items: list[bytes] = []
    while position < end:
        first = raw[position]
        if first < 0x80:
            stop = position + 1
        elif first < 0xB8:
            stop = position + first - 0x7F
        elif first < 0xC0:
            stop = position + first - 0xB6 + int.from_bytes(raw[position + 1 : position + first - 0xB6], "big")
        else:
            stop = position + first - 0xBF  # a node inside this one, shorter than 32 bytes
        items.append(raw[position:stop])
        position = stop
    if len(items) == 17:
        return items[:16]
    path = _content(items[0]).hex()
    rest = path[1:] if path[0] in "13" else path[2:]
    return (rest, _content(items[1]), True) if path[0] in "23" else (rest, items[1], False)


def encode_node(node: Node) -> bytes:
    """A node's RLP."""
    if isinstance(node, list):
        payload = b"".join(node) + b"\x80"
    else:
        path, content, is_leaf = node
        odd = len(path) & 1
        compact = bytes.fromhex(("13"[is_leaf] if odd else "00" if not is_leaf else "20") + path)
        payload = (compact if len(compact) == 1 else bytes([0x80 + len(compact)]) + compact) + (_string(content) if is_leaf else content)
    length = len(payload)
    if length < 56:
        return bytes([0xC0 + length]) + payload
    if length < 256:
        return b"\xf8" + bytes([length]) + payload
    return b"\xf9" + length.to_bytes(2, "big") + payload


def _groups(items: Sequence[Item], depth: int) -> Iterator[tuple[str, Sequence[Item]]]:
    """The items by their nibble at `depth`."""
    count = len(items)
    if count == 1:
        yield items[0][0][depth], items
        return
    start = 0
    while start < count:
        digit = items[start][0][depth]
        stop = start + 1
        while stop < count and items[stop][0][depth] == digit:
            stop += 1
        yield digit, items[start:stop]
        start = stop


def _shared(a: str, b: str) -> int:
    """The length of the common prefix of two keys."""
    for index, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return index
    return min(len(a), len(b))


def _with_end(items: Iterable[Item]) -> Iterator[Item | None]:
    yield from items
    yield None


def _content(string: bytes) -> bytes:
    first = string[0]
    if first < 0x80:
        return string
    return string[1:] if first < 0xB8 else string[first - 0xB6 :]


def _string(content: bytes) -> bytes:
    length = len(content)
    if length == 1 and content[0] < 0x80:
        return content
    if length < 56:
        return bytes([0x80 + length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([0xB7 + size]) + length.to_bytes(size, "big") + content
