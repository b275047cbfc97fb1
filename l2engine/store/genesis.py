"""Writing block 0: state built in bulk from sorted keys, visible together with its configuration and hash in one batch."""

from collections.abc import Mapping

from l2engine.errors import GenesisMismatch
from l2engine.store import schema
from l2engine.store.blocks import BlockStore
from l2engine.store.trie import build
from l2engine.types.base import EMPTY_CODE_HASH, EMPTY_ROOT, Address, Hash32, encode_int, keccak
from l2engine.types.block import Block
from l2engine.types.genesis import GenesisAccount
from l2engine.types.storage import Batch, KeyValue


def write_genesis(kv: KeyValue, block: Block, alloc: Mapping[Address, GenesisAccount], config: bytes) -> None:
    """Make `block` the head of an empty database, with the state of `alloc` and the chain's configuration (JSON).

    If the database already holds this genesis, only the configuration is replaced, since new forks may have been scheduled.
    `GenesisMismatch` when it holds another genesis, or when the allocation does not give the header's state root.
    A header whose state is not known (empty `alloc`, as for chains that began before Bedrock) is written without state.
    """
    batch = kv.batch()
    batch.put(schema.CONFIG, config)
    known = kv.get(schema.GENESIS)
    if known is not None:
        if known != block.hash:
            raise GenesisMismatch(known, block.hash)
        batch.write(sync=True)
        return
    root = write_alloc(batch, alloc)
    if root != block.header.state_root and alloc:
        raise GenesisMismatch(block.header.state_root, root)
    blocks = BlockStore(kv)
    blocks.put(batch, block, ())
    blocks.remember(block, ())  # before the write is safe here: no other thread reads this store yet
    blocks.set_canonical(batch, (), (block,))
    blocks.set_markers(batch, head=block.hash)
    batch.put(schema.GENESIS, block.hash)
    if root == block.header.state_root:
        batch.put(schema.base_chain_key(0), block.hash + root)
        batch.put(schema.BASE, schema.u64(0) + block.hash + root)
        batch.put(schema.PAST_STATE, schema.u64(0))
        batch.put(schema.PAST_PROOFS, schema.u64(0))
    batch.write(sync=True)


def write_alloc(batch: Batch, alloc: Mapping[Address, GenesisAccount]) -> Hash32:
    """Add the flat rows, trie nodes and code of an allocation to `batch`; returns its state root."""
    leaves: list[tuple[str, bytes]] = []
    for address, account in alloc.items():
        owner: Hash32 = keccak(address)
        code_hash: Hash32 = keccak(account.code) if account.code else EMPTY_CODE_HASH
        if account.code:
            batch.put(schema.code_key(code_hash), account.code)
        root = _write_storage(batch, owner, account.storage)
        batch.put(schema.account_key(owner), schema.encode_account(account.nonce, account.balance, root, code_hash))
        leaves.append((owner.hex(), schema.account_leaf(account.nonce, account.balance, root, code_hash)))
    return build(sorted(leaves), lambda path, raw: batch.put(schema.node_key(None, path), raw))


def _write_storage(batch: Batch, owner: Hash32, storage: Mapping[int, int]) -> Hash32:
    leaves = []
    for slot, value in storage.items():
        if value:
            slot_hash: Hash32 = keccak(slot.to_bytes(32, "big"))
            row = encode_int(value)
            batch.put(schema.slot_key(owner, slot_hash), row)
            leaves.append((slot_hash.hex(), schema.slot_leaf(row)))
    return build(sorted(leaves), lambda path, raw: batch.put(schema.node_key(owner, path), raw)) if leaves else EMPTY_ROOT
