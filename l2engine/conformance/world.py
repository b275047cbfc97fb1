"""A whole state in memory, for suites whose states are a handful of accounts: a `StateView` that yields its successor and its root."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from l2engine.errors import StoreError
from l2engine.types import rlp
from l2engine.types.base import EMPTY_CODE_HASH, EMPTY_ROOT, Address, BlockNumber, Hash32, encode_int, keccak
from l2engine.types.state import Account, StateDiff
from l2engine.types.trie_root import trie_root


class World:
    """An immutable state; `after` gives the next one and shares what did not change."""

    def __init__(
        self,
        accounts: Mapping[Address, Account],
        storages: Mapping[Address, Mapping[int, int]],
        codes: Mapping[Hash32, bytes],
        block_hashes: Callable[[BlockNumber], Hash32 | None],
        storage_roots: Mapping[Address, Hash32] | None = None,
    ) -> None:
        self.accounts, self.storages, self.codes, self.block_hash = accounts, storages, codes, block_hashes
        self._storage_roots = dict(storage_roots or {})

    @classmethod
    def from_json(cls, allocation: Mapping[str, Any], block_hashes: Callable[[BlockNumber], Hash32 | None]) -> "World":
        """A state from the `pre` section of a test: address to balance, nonce, code and storage, all hex."""
        accounts, storages, codes = {}, {}, {EMPTY_CODE_HASH: b""}
        for key, fields in allocation.items():
            address = from_hex(key).rjust(20, b"\0")
            code = from_hex(fields.get("code", "0x"))
            codes[keccak(code)] = code
            accounts[address] = Account(to_int(fields.get("nonce", "0x0")), to_int(fields.get("balance", "0x0")), keccak(code))
            storages[address] = {to_int(k): to_int(v) for k, v in fields.get("storage", {}).items() if to_int(v)}
        return cls(accounts, storages, codes, block_hashes)

    def account(self, address: Address) -> Account | None:
        return self.accounts.get(address)

    def storage(self, address: Address, slot: int) -> int:
        return self.storages.get(address, {}).get(slot, 0)

    def has_storage(self, address: Address) -> bool:
        return bool(self.storages.get(address))

    def code(self, code_hash: Hash32) -> bytes:
        try:
            return self.codes[code_hash]
        except KeyError:
            raise StoreError(f"no code with hash {code_hash.hex()}") from None

    def after(self, diff: StateDiff) -> "World":
        """The state once `diff` is applied."""
        accounts, storages, roots = dict(self.accounts), dict(self.storages), dict(self._storage_roots)
        for address, change in diff.accounts.items():
            if change.account is None:
                accounts.pop(address, None)
                storages.pop(address, None)
                roots.pop(address, None)
                continue
            accounts[address] = change.account
            if change.destroyed or change.storage:
                before = {} if change.destroyed else storages.get(address, {})
                storages[address] = {slot: value for slot, value in {**before, **change.storage}.items() if value}
                roots.pop(address, None)
        return World(accounts, storages, {**self.codes, **diff.codes}, self.block_hash, roots)

    def with_block_hashes(self, block_hashes: Callable[[BlockNumber], Hash32 | None]) -> "World":
        """The same state, seen from another chain of ancestors."""
        return World(self.accounts, self.storages, self.codes, block_hashes, self._storage_roots)

    @cached_property
    def root(self) -> Hash32:
        """The state root."""
        return trie_root((keccak(address), self._encode(address, account)) for address, account in self.accounts.items())

    def _encode(self, address: Address, account: Account) -> bytes:
        root = self._storage_roots.get(address)
        if root is None:
            slots = self.storages.get(address, {})
            pairs = ((keccak(slot.to_bytes(32, "big")), rlp.encode(encode_int(value))) for slot, value in slots.items())
            root = self._storage_roots[address] = trie_root(pairs) if slots else EMPTY_ROOT
        encoded: bytes = rlp.encode([encode_int(account.nonce), encode_int(account.balance), root, account.code_hash])
        return encoded


def from_hex(text: str) -> bytes:
    """Bytes from hex with or without 0x; an odd digit count gets a leading zero."""
    digits = text.removeprefix("0x")
    return bytes.fromhex("0" + digits if len(digits) % 2 else digits)


def to_int(text: str | int) -> int:
    """A number from hex (0x…) or decimal text."""
    return text if isinstance(text, int) else int(text, 16 if text.startswith("0x") else 10)
