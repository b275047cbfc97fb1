"""Reasons to refuse a transaction that its own fields give: EIP-2681, 3860, 7702, 7825 and the types that forks know."""

import pytest

from l2engine.errors import InvalidTransaction
from l2engine.refusals import Reason
from l2engine.rules import checks, forks
from tests.rules.transactions import blob, deposit, fee_market, set_code

SENDER = b"\x11" * 20


def refused(check, *arguments):
    with pytest.raises(InvalidTransaction) as error:
        check(*arguments)
    return error.value.reason


@pytest.mark.parametrize("fork", forks.OP_FORKS, ids=lambda fork: fork.name)
def test_blob_transactions_are_invalid_on_op_chains(fork):
    assert refused(checks.check_type, fork, blob()) is Reason.TYPE_NOT_SUPPORTED


def test_blob_transactions_are_ethereums():
    checks.check_type(forks.CANCUN, blob())


def test_set_code_since_isthmus():
    assert refused(checks.check_type, forks.HOLOCENE, set_code(1)) is Reason.TYPE_NOT_SUPPORTED
    checks.check_type(forks.ISTHMUS, set_code(1))


def test_set_code_needs_an_authorization():
    checks.check_authorizations(set_code(1), SENDER)
    assert refused(checks.check_authorizations, set_code(0), SENDER) is Reason.AUTHORIZATIONS_MISSING


def test_gas_cap_since_karst():
    cap = 2**24
    checks.check_gas_cap(forks.JOVIAN, cap + 1)
    checks.check_gas_cap(forks.KARST, cap)
    assert refused(checks.check_gas_cap, forks.KARST, cap + 1) is Reason.GAS_ABOVE_CAP


def test_initcode_limit_since_canyon():
    checks.check_initcode(forks.REGOLITH, None, bytes(49_153))
    checks.check_initcode(forks.CANYON, None, bytes(49_152))
    checks.check_initcode(forks.CANYON, SENDER, bytes(49_153))
    assert refused(checks.check_initcode, forks.CANYON, None, bytes(49_153)) is Reason.INITCODE_TOO_LARGE


def test_other_chains_transactions_are_refused():
    assert refused(checks.check_signer, forks.KARST, fee_market(chain_id=1), 901) is Reason.WRONG_CHAIN_ID


def test_tip_above_fee_cap_is_refused():
    checks.check_tip(SENDER, 2, 2)
    assert refused(checks.check_tip, SENDER, 3, 2) is Reason.TIP_ABOVE_FEE_CAP


def test_deposits_exist_on_op_chains_only():
    checks.check_type(forks.BEDROCK, deposit())
    assert refused(checks.check_type, forks.PRAGUE, deposit()) is Reason.TYPE_NOT_SUPPORTED
