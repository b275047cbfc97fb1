"""Roots of Merkle-Patricia tries whose whole content is in memory: transactions, receipts, genesis states, test states.

Nothing is stored. For tries that change block by block see `store/trie.py`. Source: Yellow Paper, appendix D.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from l2engine.types import rlp
from l2engine.types.base import EMPTY_ROOT, Hash32, encode_int, keccak

rlp_encode: Callable[[Any], bytes] = rlp.encode
"""RLP of nested lists of bytes."""

Node: TypeAlias = "bytes | list[Node]"


def trie_root(items: Mapping[bytes, bytes] | Iterable[tuple[bytes, bytes]]) -> Hash32:
    """The root of the trie with these keys and values; keys are distinct, values not empty."""
    pairs = items.items() if isinstance(items, Mapping) else items
    leaves = sorted((key.hex(), value) for key, value in pairs)
    if not leaves:
        return EMPTY_ROOT
    return keccak(rlp.encode(_node(leaves, 0, len(leaves), 0)))


def ordered_root(values: Sequence[bytes]) -> Hash32:
    """The root of a list, keyed by the RLP of each index: the transactions root and the receipts root."""
    return trie_root((rlp.encode(encode_int(index)), value) for index, value in enumerate(values))


def encode_path(nibbles: str, is_leaf: bool) -> bytes:
    """A path of hex digits in hex-prefix encoding."""
    flag = 2 if is_leaf else 0
    return bytes.fromhex(f"{flag + 1}{nibbles}" if len(nibbles) & 1 else f"{flag}0{nibbles}")


def _node(leaves: list[tuple[str, bytes]], start: int, stop: int, depth: int) -> list[Node]:
    """The node above leaves[start:stop], whose keys agree in their first `depth` nibbles."""
    first = leaves[start][0]
    if stop - start == 1:
        return [encode_path(first[depth:], True), leaves[start][1]]
    last = leaves[stop - 1][0]  # the leaves are sorted, so a prefix of the first and the last is a prefix of all
    shared, limit = depth, min(len(first), len(last))
    while shared < limit and first[shared] == last[shared]:
        shared += 1
    if shared > depth:
        return [encode_path(first[depth:shared], False), _reference(_node(leaves, start, stop, shared))]
    branch: list[Node] = [b""] * 17
    if len(first) == depth:
        branch[16] = leaves[start][1]
        start += 1
    while start < stop:
        nibble = leaves[start][0][depth]
        end = start + 1
        while end < stop and leaves[end][0][depth] == nibble:
            end += 1
        branch[int(nibble, 16)] = _reference(_node(leaves, start, end, depth + 1))
        start = end
    return branch


def _reference(node: list[Node]) -> Node:
    """A node as its parent refers to it: the node itself when its RLP is shorter than 32 bytes, else its hash."""
    encoded = rlp.encode(node)
    return keccak(encoded) if len(encoded) >= 32 else node
