"""Transactions against ethereum/tests TransactionTests: which decode, who signed them, what they cost before execution."""

import json
from typing import NamedTuple

import pytest

from l2engine.errors import DecodeError, InvalidTransaction
from l2engine.refusals import Reason
from l2engine.rules import checks, forks
from l2engine.rules.forks import Fork, L1Rules
from l2engine.types.base import MAX_UINT64, MAX_UINT256
from l2engine.types.transaction_codec import decode_transaction, recover_sender
from tests.helpers.vectors import archive, needs_vectors

FORKS = {
    "Frontier": forks.FRONTIER,
    "Homestead": forks.HOMESTEAD,
    "EIP150": forks.TANGERINE_WHISTLE,
    "EIP158": forks.SPURIOUS_DRAGON,
    "Byzantium": forks.BYZANTIUM,
    "Constantinople": forks.CONSTANTINOPLE,
    "ConstantinopleFix": forks.PETERSBURG,
    "Istanbul": forks.ISTANBUL,
    "Berlin": forks.BERLIN,
    "London": forks.LONDON,
    "Paris": forks.PARIS,
    "Shanghai": forks.SHANGHAI,
    "Cancun": forks.CANCUN,
}
CASES = 2249


class Outcome(NamedTuple):
    hash: bytes
    sender: bytes
    intrinsic_gas: int


def judge(fork: Fork, raw: bytes, chain_id: int = 1) -> Outcome:
    """The suite's expectation for a transaction; `DecodeError` or `InvalidTransaction` when it is refused."""
    tx = decode_transaction(raw)
    checks.check_signer(fork, tx, chain_id)
    sender = recover_sender(tx, allow_high_s=not fork.has(L1Rules.HOMESTEAD))
    checks.check_tip(sender, tx.max_priority_fee_per_gas, tx.max_fee_per_gas)
    checks.check_authorizations(tx, sender)
    checks.check_initcode(fork, tx.to, tx.data)
    gas, _ = checks.check_gas(fork, tx)
    checks.check_funds(sender, MAX_UINT256, tx.gas * tx.max_fee_per_gas)
    if tx.nonce == MAX_UINT64:
        raise InvalidTransaction(Reason.NONCE_MAX, address=sender, nonce=tx.nonce)
    return Outcome(tx.hash, sender, gas)


@needs_vectors
def test_transaction_tests():
    seen, wrong = 0, []
    for path, data in archive("ethereum-tests/transaction-tests.tar.zst"):
        for name, case in json.loads(data).items():
            raw = bytes.fromhex(case["txbytes"].removeprefix("0x"))
            for fork_name, expected in case["result"].items():
                seen += 1
                try:
                    outcome = judge(FORKS[fork_name], raw)
                except (DecodeError, InvalidTransaction) as error:
                    if "exception" not in expected:
                        wrong.append(f"{path} {name} {fork_name}: refused: {error}")
                    continue
                if "exception" in expected:
                    wrong.append(f"{path} {name} {fork_name}: accepted, should be {expected['exception']}")
                elif outcome != (_bytes(expected["hash"]), _bytes(expected["sender"]), int(expected["intrinsicGas"], 16)):
                    wrong.append(f"{path} {name} {fork_name}: {outcome}")
    assert wrong == []
    assert seen == CASES


def test_unknown_types_are_refused():
    for kind in set(range(0x80)) - {1, 2, 3, 4, 0x7D, 0x7E}:
        with pytest.raises(DecodeError, match="transaction type not supported"):
            decode_transaction(bytes([kind, 0xC0]))


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
