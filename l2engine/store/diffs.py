"""A block's state diff as bytes, from which a restart rebuilds the layers above the base without executing again.

The layout is that of the "d" row in `schema`. Code is not part of it, because it has its own rows.
"""

from l2engine.errors import StoreError
from l2engine.types.base import Address, Hash32
from l2engine.types.state import Account, AccountDiff, StateDiff

_EXISTS, _DESTROYED = 1, 2


def encode_diff(parent_hash: Hash32, state_root: Hash32, diff: StateDiff) -> bytes:
    """A block's diff as a row."""
    parts = [parent_hash, state_root]
    for address in sorted(diff.accounts):
        change = diff.accounts[address]
        account = change.account
        flags = (_EXISTS if account else 0) | (_DESTROYED if change.destroyed else 0)
        parts += (address, bytes([flags]))
        if account:
            parts += (account.nonce.to_bytes(8, "big"), account.balance.to_bytes(32, "big"), account.code_hash)
        parts.append(len(change.storage).to_bytes(4, "big"))
        for slot in sorted(change.storage):
            parts += (slot.to_bytes(32, "big"), change.storage[slot].to_bytes(32, "big"))
    return b"".join(parts)


def decode_diff(row: bytes) -> tuple[Hash32, Hash32, StateDiff]:
    """Parent hash, state root and diff (without code) from a row; `StoreError` when it is cut short."""
    accounts: dict[Address, AccountDiff] = {}
    position = 64
    while position < len(row):
        address, flags = row[position : position + 20], row[position + 20 : position + 21] or b"\0"
        position += 21
        account = None
        if flags[0] & _EXISTS:
            nonce, balance = row[position : position + 8], row[position + 8 : position + 40]
            account = Account(int.from_bytes(nonce, "big"), int.from_bytes(balance, "big"), row[position + 40 : position + 72])
            position += 72
        start = position + 4
        position = start + 64 * int.from_bytes(row[position:start], "big")
        if position > len(row):
            break
        storage = {
            int.from_bytes(row[at : at + 32], "big"): int.from_bytes(row[at + 32 : at + 64], "big") for at in range(start, position, 64)
        }
        accounts[address] = AccountDiff(account, storage, bool(flags[0] & _DESTROYED))
    if position != len(row):
        raise StoreError("damaged block diff")
    return row[:32], row[32:64], StateDiff(accounts, {})
