"""A naive model of state to compare the store with: whole dictionaries per block, roots and proofs by the `trie` package."""

import random
from dataclasses import dataclass, field

import rlp
from trie import HexaryTrie

from l2engine.types.base import EMPTY_CODE_HASH, EMPTY_OMMERS_HASH, EMPTY_ROOT, Address, Hash32, encode_int, keccak
from l2engine.types.block import Block
from l2engine.types.header import Header
from l2engine.types.native_functions import ordered_root
from l2engine.types.state import Account, AccountDiff, StateDiff

ADDRESSES = [bytes([i]) * 20 for i in range(1, 13)]
SLOTS = [0, 1, 2, 3, 255, 2**255]


@dataclass
class ModelAccount:
    """An account with its storage; also fits as a genesis allocation."""

    nonce: int = 0
    balance: int = 0
    code: bytes = b""
    storage: dict[int, int] = field(default_factory=dict)

    @property
    def code_hash(self) -> Hash32:
        return keccak(self.code) if self.code else EMPTY_CODE_HASH

    def copy(self) -> "ModelAccount":
        return ModelAccount(self.nonce, self.balance, self.code, dict(self.storage))


State = dict[Address, ModelAccount]


def storage_trie(storage: dict[int, int]) -> HexaryTrie:
    trie = HexaryTrie({})
    for slot, value in storage.items():
        trie[keccak(slot.to_bytes(32, "big"))] = rlp.encode(encode_int(value))
    return trie


def storage_root(storage: dict[int, int]) -> Hash32:
    return storage_trie(storage).root_hash if storage else EMPTY_ROOT


def state_root(state: State) -> Hash32:
    trie = HexaryTrie({})
    for address, account in state.items():
        fields = [encode_int(account.nonce), encode_int(account.balance), storage_root(account.storage), account.code_hash]
        trie[keccak(address)] = rlp.encode(fields)
    return trie.root_hash


def random_diff(state: State, rng: random.Random, size: int = 4) -> tuple[State, StateDiff]:
    """Some block's changes to `state`, and the state after: new and changed accounts, set and cleared slots, wiped and
    recreated accounts, deployed code."""
    after = {address: account.copy() for address, account in state.items()}
    accounts: dict[Address, AccountDiff] = {}
    codes: dict[Hash32, bytes] = {}
    for address in rng.sample(ADDRESSES, rng.randrange(size + 1)):
        old = after.get(address)
        kind = rng.random()
        if old and kind < 0.2:
            del after[address]
            accounts[address] = AccountDiff(None, destroyed=rng.random() < 0.8)
            continue
        destroyed = old is not None and kind < 0.35
        account = after[address] = ModelAccount() if old is None or destroyed else old
        account.nonce += rng.randrange(2)
        account.balance = rng.choice([0, 1, rng.getrandbits(90)]) if account.nonce else 1 + rng.getrandbits(60)
        if rng.random() < 0.3:
            account.code = rng.randbytes(rng.randrange(1, 40))
            codes[account.code_hash] = account.code
        storage = {}
        for slot in rng.sample(SLOTS, rng.randrange(len(SLOTS))):
            value = rng.choice([0, 0, 1, 127, 128, rng.getrandbits(256)])
            if value == account.storage.get(slot, 0):
                continue
            storage[slot] = value
            if value:
                account.storage[slot] = value
            else:
                account.storage.pop(slot, None)
        accounts[address] = AccountDiff(Account(account.nonce, account.balance, account.code_hash), storage, destroyed)
    return after, StateDiff(accounts, codes)


def make_block(parent: Header | None, root: Hash32, salt: int, transactions: tuple[bytes, ...] = ()) -> Block:
    """A block with this state root; nothing else in it means anything to the store."""
    number = 0 if parent is None else parent.number + 1
    header = Header(
        parent_hash=bytes(32) if parent is None else parent.hash,
        ommers_hash=EMPTY_OMMERS_HASH,
        beneficiary=bytes(20),
        state_root=root,
        transactions_root=ordered_root(transactions) if transactions else EMPTY_ROOT,
        receipts_root=EMPTY_ROOT,
        logs_bloom=bytes(256),
        difficulty=0,
        number=number,
        gas_limit=30_000_000,
        gas_used=0,
        timestamp=2 * number,
        extra_data=salt.to_bytes(8, "big"),
        prev_randao=bytes(32),
        nonce=bytes(8),
        base_fee_per_gas=7,
    )
    return Block(header, transactions)
