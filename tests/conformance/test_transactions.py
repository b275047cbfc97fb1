"""ethereum/tests TransactionTests from the merge on, through whole executors: which are refused, and what plain transfers cost.

tests/types/test_transactions.py runs the complete family on decoding and checks alone.
"""

import json
from typing import Any

import pytest

from l2engine.errors import DecodeError, InvalidTransaction
from l2engine.evm.native.machine import NativeExecutor
from l2engine.evm.reference.machine import ReferenceExecutor
from l2engine.rules import forks
from l2engine.rules.config import Activation, ChainConfig
from l2engine.rules.forks import Fork
from l2engine.types.base import Address
from l2engine.types.state import Account
from l2engine.types.transaction_codec import decode_transaction
from tests.conformance.families import MakeExecutor, needs_native
from tests.evm.states import env
from tests.helpers.vectors import archive, needs_vectors

FORKS = {"Paris": forks.PARIS, "Shanghai": forks.SHANGHAI, "Cancun": forks.CANCUN}
CASES = 469
WEALTH = 2**255


class Rich:
    """A state in which everybody has half of all money and the nonce that the transaction needs."""

    def __init__(self, nonce: int) -> None:
        self._account = Account(nonce, WEALTH)

    def account(self, address: Address) -> Account:
        return self._account

    def storage(self, address: Address, slot: int) -> int:
        return 0

    def has_storage(self, address: Address) -> bool:
        return False

    def code(self, code_hash: bytes) -> bytes:
        return b""

    def block_hash(self, number: int) -> None:
        return None


def judge(make: MakeExecutor, fork: Fork, raw: bytes, expected: dict[str, Any]) -> str | None:
    """The difference between the executor's answer and the expected one."""
    try:
        tx = decode_transaction(raw)
    except DecodeError:
        tx = None
    config = ChainConfig(1, (Activation(fork, block=0),), terminal_total_difficulty=0)
    execution = make(config).begin(Rich(tx.nonce if tx else 0), env(fork, base_fee_per_gas=0, gas_limit=2**64 - 1, withdrawals=None))
    try:
        result = execution.apply(raw)
    except (DecodeError, InvalidTransaction) as error:
        too_dear = tx is not None and tx.value + tx.gas * tx.max_fee_per_gas > WEALTH
        return None if "exception" in expected or too_dear else f"refused: {error}"
    if "exception" in expected:
        return f"accepted, should be {expected['exception']}"
    is_transfer = tx is not None and tx.to is not None and int.from_bytes(tx.to, "big") > 0x100
    if is_transfer and result.gas_used != int(expected["intrinsicGas"], 16):
        return f"gas used {result.gas_used}, not {expected['intrinsicGas']}"
    return None


@needs_vectors
@pytest.mark.parametrize("executor", [ReferenceExecutor, pytest.param(NativeExecutor, marks=needs_native)])
def test_transaction_tests(executor: MakeExecutor) -> None:
    seen, wrong = 0, []
    for path, data in archive("ethereum-tests/transaction-tests.tar.zst"):
        for name, case in json.loads(data).items():
            raw = bytes.fromhex(case["txbytes"].removeprefix("0x"))
            for fork_name in case["result"].keys() & FORKS.keys():
                seen += 1
                reason = judge(executor, FORKS[fork_name], raw, case["result"][fork_name])
                if reason is not None:
                    wrong.append(f"{path} {name} {fork_name}: {reason}")
    assert wrong == []
    assert seen == CASES
