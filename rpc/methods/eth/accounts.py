"""eth_get{Balance,Code,StorageAt,TransactionCount,Proof}: accounts as of any kept block."""

from typing import Any

from l2engine.errors import InvalidParams
from l2engine.types.base import EMPTY_CODE_HASH, ZERO_HASH, Address
from rpc.context import Context
from rpc.jsonrpc import RunsOn, method
from rpc.read.blocks import BlockReference, block_reference
from rpc.read.values import address, list_of, storage_key, string

MAX_PROOF_KEYS = 1024  # as geth


def get_balance(context: Context, who: Address, block: BlockReference) -> str:
    """The balance in wei."""
    account = context.view(context.header_or_error(block)).account(who)
    return hex(account.balance) if account is not None else "0x0"


def get_code(context: Context, who: Address, block: BlockReference) -> str:
    """The code at an address; "0x" for none."""
    view = context.view(context.header_or_error(block))
    account = view.account(who)
    if account is None or account.code_hash == EMPTY_CODE_HASH:
        return "0x"
    return "0x" + view.code(account.code_hash).hex()


def get_storage_at(context: Context, who: Address, key: str, block: BlockReference) -> str:
    """One storage slot, 32 bytes."""
    slot, _ = storage_key(key)
    return "0x" + context.view(context.header_or_error(block)).storage(who, slot).to_bytes(32, "big").hex()


def get_transaction_count(context: Context, who: Address, block: BlockReference) -> str:
    """The account's nonce; for "pending" with the transactions that wait in the pool."""
    return hex(nonce_of(context, who, block))


def nonce_of(context: Context, who: Address, block: BlockReference) -> int:
    """The nonce of an account's next transaction on top of a block, or of those that wait in the pool."""
    account = context.view(context.header_or_error(block)).account(who)
    nonce = account.nonce if account is not None else 0
    if block == "pending":
        nonce = max(nonce, context.pool.next_nonce(who) or 0)
    return nonce


def get_proof(context: Context, who: Address, keys: list[str], block: BlockReference) -> dict[str, Any]:
    """A Merkle proof of the account and the slots asked for (EIP-1186)."""
    if len(keys) > MAX_PROOF_KEYS:
        raise InvalidParams(f"too many storage keys requested (max {MAX_PROOF_KEYS}, got {len(keys)})")
    slots = [storage_key(key) for key in keys]
    header = context.header_or_error(block)
    proof = context.state.proof(header.hash, who, [slot for slot, _ in slots])
    account = proof.account
    return {
        "address": "0x" + who.hex(),
        "accountProof": ["0x" + node.hex() for node in proof.nodes],
        "balance": hex(account.balance if account is not None else 0),
        "codeHash": "0x" + (account.code_hash if account is not None else ZERO_HASH).hex(),
        "nonce": hex(account.nonce if account is not None else 0),
        "storageHash": "0x" + (proof.storage_root if account is not None else ZERO_HASH).hex(),
        "storageProof": [
            {
                # geth repeats a full-length key as it came and shortens any other to a quantity
                "key": "0x" + slot.to_bytes(32, "big").hex() if length == 32 else hex(slot),
                "value": hex(value),
                "proof": ["0x" + node.hex() for node in nodes],
            }
            for (slot, length), (_, value, nodes) in zip(slots, proof.storage, strict=True)
        ],
    }


METHODS = {
    "eth_getBalance": method(get_balance, address, block_reference),
    "eth_getCode": method(get_code, address, block_reference),
    "eth_getStorageAt": method(get_storage_at, address, string, block_reference),
    "eth_getTransactionCount": method(get_transaction_count, address, block_reference),
    "eth_getProof": method(get_proof, address, list_of(string, "string"), block_reference, runs_on=RunsOn.READ),
}
