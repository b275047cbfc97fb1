"""Gas before execution. ethereum/tests' cases are in tests/types/test_transactions.py; these cover the forks after Cancun, derived
from EIP-3860, 7623 and 7702."""

from l2engine.rules import forks
from l2engine.rules.intrinsic_gas import floor_gas, intrinsic_gas
from tests.rules.transactions import TO, deposit, fee_market, set_code


def test_calldata_creation_and_access_list():
    data = bytes(3) + b"\1" * 5
    assert intrinsic_gas(forks.BEDROCK, fee_market(data=data)) == 21_000 + 3 * 4 + 5 * 16
    assert intrinsic_gas(forks.BEDROCK, fee_market(to=None, data=bytes(33))) == 21_000 + 32_000 + 33 * 4
    assert intrinsic_gas(forks.CANYON, fee_market(to=None, data=bytes(33))) == 21_000 + 32_000 + 33 * 4 + 2 * 2
    listed = fee_market(access_list=((TO, (bytes(32), bytes(32))), (TO, ())))
    assert intrinsic_gas(forks.BEDROCK, listed) == 21_000 + 2 * 2400 + 2 * 1900
    assert intrinsic_gas(forks.ISTHMUS, set_code(3)) == 21_000 + 3 * 25_000


def test_deposits_cost_what_transactions_cost():
    data = bytes(3) + b"\1" * 5
    for fork in forks.OP_FORKS:
        assert intrinsic_gas(fork, deposit(data=data)) == intrinsic_gas(fork, fee_market(data=data))
        assert floor_gas(fork, deposit(data=data)) == floor_gas(fork, fee_market(data=data))


def test_floor_gas_since_isthmus():
    tx = fee_market(data=bytes(3) + b"\1" * 5)
    assert floor_gas(forks.HOLOCENE, tx) == 0
    assert floor_gas(forks.ISTHMUS, tx) == floor_gas(forks.PRAGUE, tx) == 21_000 + 10 * (3 + 4 * 5)
