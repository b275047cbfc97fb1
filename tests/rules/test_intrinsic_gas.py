"""Gas before execution, and which transactions a fork knows. ethereum/tests' cases are in tests/types/test_transactions.py;
these cover the forks after Cancun, derived from EIP-3860, 7623, 7702 and 7825."""

import pytest

from l2engine.errors import InvalidTransaction
from l2engine.rules import forks
from l2engine.rules.intrinsic_gas import floor_gas, intrinsic_gas, validate_form
from l2engine.types.base import MAX_UINT64
from l2engine.types.delegation import Authorization
from l2engine.types.transaction import BlobTransaction, DepositTransaction, FeeMarketTransaction, SetCodeTransaction

TO = b"\x22" * 20


def fee_market(to=TO, data=b"", gas=100_000, nonce=0, tip=1, fee=2, chain_id=901, access_list=()):
    return FeeMarketTransaction(chain_id, nonce, tip, fee, gas, to, 0, data, access_list, 0, 1, 1)


def set_code(count):
    delegations = (Authorization(901, TO, 0, 0, 1, 1),) * count
    return SetCodeTransaction(901, 0, 1, 2, 100_000, TO, 0, b"", (), delegations, 0, 1, 1)


def blob():
    return BlobTransaction(901, 0, 1, 2, 100_000, TO, 0, b"", (), 1, (b"\1" + bytes(31),), 0, 1, 1)


def deposit(gas=100_000, data=b"", to=TO) -> DepositTransaction:
    return DepositTransaction(bytes(32), TO, to, 0, 0, gas, False, data)


def test_calldata_creation_and_access_list():
    data = bytes(3) + b"\1" * 5
    assert intrinsic_gas(forks.BEDROCK, fee_market(data=data)) == 21_000 + 3 * 4 + 5 * 16
    assert intrinsic_gas(forks.BEDROCK, fee_market(to=None, data=bytes(33))) == 21_000 + 32_000 + 33 * 4
    assert intrinsic_gas(forks.CANYON, fee_market(to=None, data=bytes(33))) == 21_000 + 32_000 + 33 * 4 + 2 * 2
    listed = fee_market(access_list=[[TO, [bytes(32), bytes(32)]], [TO, []]])
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


@pytest.mark.parametrize("fork", forks.OP_FORKS, ids=lambda fork: fork.name)
def test_blob_transactions_are_invalid_on_op_chains(fork):
    with pytest.raises(InvalidTransaction, match="transaction type not supported"):
        validate_form(fork, blob(), 901)


def test_blob_transactions_are_ethereums():
    validate_form(forks.CANCUN, blob(), 901)


def test_set_code_since_isthmus():
    with pytest.raises(InvalidTransaction, match="transaction type not supported"):
        validate_form(forks.HOLOCENE, set_code(1), 901)
    validate_form(forks.ISTHMUS, set_code(1), 901)
    with pytest.raises(InvalidTransaction, match="auth list"):
        validate_form(forks.ISTHMUS, set_code(0), 901)


def test_gas_cap_of_karst_spares_deposits():
    """EIP-7825 from Karst on, not for deposits: upgrade bundles need more (no public vector)."""
    cap = 2**24
    validate_form(forks.JOVIAN, fee_market(gas=cap + 1), 901)
    validate_form(forks.KARST, fee_market(gas=cap), 901)
    with pytest.raises(InvalidTransaction, match="gas limit too high"):
        validate_form(forks.KARST, fee_market(gas=cap + 1), 901)
    validate_form(forks.KARST, deposit(gas=cap + 1), 901)


def test_initcode_limit_since_canyon():
    validate_form(forks.REGOLITH, fee_market(to=None, data=bytes(49_153)), 901)
    validate_form(forks.CANYON, fee_market(to=None, data=bytes(49_152)), 901)
    validate_form(forks.CANYON, fee_market(data=bytes(49_153)), 901)
    with pytest.raises(InvalidTransaction, match="max initcode size exceeded"):
        validate_form(forks.CANYON, fee_market(to=None, data=bytes(49_153)), 901)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"chain_id": 1}, "invalid chain id"),
        ({"nonce": MAX_UINT64}, "nonce has max value"),
        ({"tip": 3}, "max priority fee per gas higher than max fee per gas"),
    ],
)
def test_wrong_forms(changes, text):
    with pytest.raises(InvalidTransaction, match=text):
        validate_form(forks.KARST, fee_market(**changes), 901)


def test_deposits_exist_on_op_chains_only():
    validate_form(forks.BEDROCK, deposit(), 901)
    with pytest.raises(InvalidTransaction, match="transaction type not supported"):
        validate_form(forks.PRAGUE, deposit(), 901)
