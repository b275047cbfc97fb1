"""Gas refunds (Lagoon): the refunds that a block's post-execution transaction may list, and the balances that a refund changes.

A block may end with one transaction of type 0x7D that gives earlier signed transactions part of their gas back. The amounts are not
recomputed: any amounts that keep the rules are valid. Rules 1 and 5 are checked by type and by decoding; rules 2 to 9 here, before
anything runs; rules 10 and 11 when the refunded transaction is settled.
Sources: OP specs, lagoon/post-exec.md "Block-Level Structural Rules", lagoon/sdm.md "Validity Rules" and "Settlement".
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from l2engine.errors import InvalidTransaction
from l2engine.refusals import Reason
from l2engine.rules.forks import Fork
from l2engine.rules.predeploys import BASE_FEE_VAULT, OPERATOR_FEE_VAULT
from l2engine.types.base import Address, BlockNumber, Gas, Wei
from l2engine.types.native_functions import read_gas_refunds
from l2engine.types.transaction import DEPOSIT_TYPE, POST_EXECUTION_TYPE

_TYPE = bytes([POST_EXECUTION_TYPE])
_UNSIGNED = frozenset((bytes([DEPOSIT_TYPE]), _TYPE))


def gas_refunds(fork: Fork, number: BlockNumber, transactions: Sequence[bytes]) -> Mapping[int, Gas]:
    """The gas refunds of block `number`, by the index of the refunded transaction; empty without a post-execution transaction.

    `InvalidTransaction` when a rule is broken, `DecodeError` when the bytes do not decode as a post-execution transaction. Before
    Lagoon the result is empty: execution then refuses the transaction because the fork does not know its type.
    """
    if POST_EXECUTION_TYPE not in fork.transaction_types:
        return {}
    kinds = [raw[:1] for raw in transactions]
    if _TYPE not in kinds:
        return {}
    place, last = kinds.index(_TYPE), len(kinds) - 1
    if kinds.count(_TYPE) > 1:
        raise InvalidTransaction(Reason.POST_EXECUTION_REPEATED, first=place, second=kinds.index(_TYPE, place + 1))
    if place != last:
        raise InvalidTransaction(Reason.POST_EXECUTION_NOT_LAST, index=place)
    block_number, indices, gas = read_gas_refunds(transactions[last])
    if block_number != number:
        raise InvalidTransaction(Reason.POST_EXECUTION_BLOCK_NUMBER, have=block_number, want=number)
    if not indices:
        raise InvalidTransaction(Reason.REFUNDS_MISSING)
    if 0 in gas:
        raise InvalidTransaction(Reason.REFUND_OF_NOTHING, index=indices[gas.index(0)])
    before = -1
    for index in indices:
        if index <= before:
            raise InvalidTransaction(Reason.REFUNDS_NOT_INCREASING, index=index, before=before)
        if index > last or kinds[index] in _UNSIGNED:
            raise InvalidTransaction(Reason.REFUND_TARGET_NOT_SIGNED, index=index)
        before = index
    return dict(zip(indices, gas, strict=True))


def gas_after_refund(evm_gas_used: Gas, refund: Gas) -> Gas:
    """The gas that the receipt and the block count for a refunded transaction; it may be 0. `InvalidTransaction` when the refund is
    larger than the gas used."""
    if refund > evm_gas_used:
        raise InvalidTransaction(Reason.REFUND_ABOVE_GAS_USED, refund=refund, gas_used=evm_gas_used)
    return evm_gas_used - refund


def balance_changes(
    sender: Address, beneficiary: Address, refund: Gas, price: Wei, base_fee: Wei, operator_fee: Wei
) -> tuple[tuple[Address, Wei], ...]:
    """The balance changes of a refund, in wei and in order: the sender is paid, then the accounts that earned the fees pay. Changes of
    0 wei are left out, since they touch no account. `operator_fee` is the refunded part of the operator fee, without its constant."""
    changes = (
        (sender, refund * price + operator_fee),
        (beneficiary, -refund * (price - base_fee)),
        (BASE_FEE_VAULT, -refund * base_fee),
        (OPERATOR_FEE_VAULT, -operator_fee),
    )
    return tuple((address, wei) for address, wei in changes if wei)


class Balances(Protocol):
    """The accounts of a block under execution."""

    def get_balance(self, address: Address) -> Wei: ...
    def delta_balance(self, address: Address, delta: Wei) -> None: ...


def settle(balances: Balances, changes: Iterable[tuple[Address, Wei]]) -> None:
    """Apply the changes in order. `InvalidTransaction` when an account has less than it must pay."""
    for address, wei in changes:
        if balances.get_balance(address) + wei < 0:
            raise InvalidTransaction(Reason.SETTLEMENT_UNDERFLOWS, address=address, delta=-wei)
        balances.delta_balance(address, wei)
