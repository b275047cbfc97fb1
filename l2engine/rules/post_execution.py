"""Gas refunds (Lagoon): what a block's post-execution transaction may list, and what a refund changes.

A block may end with one transaction of type 0x7D that gives signed transactions before it a part of their gas back. Nobody recomputes
the amounts: any that keep the rules are right. Rules 1 and 5 are checks of the type and of decoding; 2 to 9 are checked here, before
anything runs; 10 and 11 when the refunded transaction is settled.
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
    """The gas refunds of block `number`, by the index of the transaction that gets one; none without a post-execution transaction.

    `InvalidTransaction` names the rule that is broken, `DecodeError` bytes that are no post-execution transaction. Before Lagoon the
    type is refused like any other that the fork does not know, when the transaction's turn comes.
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
    """What a receipt and the block say of a transaction's gas; it may be nothing at all. `InvalidTransaction` when more is refunded
    than was used."""
    if refund > evm_gas_used:
        raise InvalidTransaction(Reason.REFUND_ABOVE_GAS_USED, refund=refund, gas_used=evm_gas_used)
    return evm_gas_used - refund


def balance_changes(
    sender: Address, beneficiary: Address, refund: Gas, price: Wei, base_fee: Wei, operator_fee: Wei
) -> tuple[tuple[Address, Wei], ...]:
    """What a refund changes, in wei and in this order: the sender is paid, those who had earned it pay. One of 0 wei is left out, as it
    touches nothing. `operator_fee` is the part of it that falls away; its constant does not."""
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
    """Make the changes one after the other. `InvalidTransaction` at an account that has less than it is to pay."""
    for address, wei in changes:
        if balances.get_balance(address) + wei < 0:
            raise InvalidTransaction(Reason.SETTLEMENT_UNDERFLOWS, address=address, delta=-wei)
        balances.delta_balance(address, wei)
