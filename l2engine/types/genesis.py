"""The accounts of a chain's first state."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from l2engine.types import rlp
from l2engine.types.base import Hash32, Wei, encode_int, keccak
from l2engine.types.trie_root import trie_root


@dataclass(frozen=True, slots=True)
class GenesisAccount:
    """One account of an allocation."""

    balance: Wei = 0
    nonce: int = 0
    code: bytes = b""
    storage: Mapping[int, int] = field(default_factory=dict)

    @property
    def storage_root(self) -> Hash32:
        return trie_root((keccak(slot.to_bytes(32, "big")), rlp.encode(encode_int(value))) for slot, value in self.storage.items() if value)
