"""Signed transactions for tests."""

from eth_account import Account

from genesis.dev import CHAIN_ID
from genesis.dev.accounts import DevAccount


def transfer(sender: DevAccount, nonce: int, to: bytes, value: int) -> bytes:
    """A raw EIP-1559 transfer on the dev chain."""
    fields = {
        "type": 2,
        "chainId": CHAIN_ID,
        "nonce": nonce,
        "to": to,
        "value": value,
        "gas": 21_000,
        "maxFeePerGas": 3 * 10**9,
        "maxPriorityFeePerGas": 10**6,
    }
    return bytes(Account.sign_transaction(fields, sender.private_key).raw_transaction)
