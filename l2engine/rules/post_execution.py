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
from l2engine.types.transaction import POST_EXECUTION_TYPE, PostExecutionTransaction, record_of
from l2engine.types.transaction_codec import decode_transaction

_TYPE = bytes([POST_EXECUTION_TYPE])


def gas_refunds(fork: Fork, number: BlockNumber, transactions: Sequence[bytes]) -> Mapping[int, Gas]:
    """The gas refunds of block `number`, by the index of the transaction that gets one; none without a post-execution transaction.

    `InvalidTransaction` names the rule that is broken, `DecodeError` bytes that are no post-execution transaction. Before Lagoon the
    type is refused like any other that the fork does not know, when the transaction's turn comes.
    """
    if POST_EXECUTION_TYPE not in fork.transaction_types:
        return {}
    places = [index for index, raw in enumerate(transactions) if raw[:1] == _TYPE]
    if not places:
        return {}
    if len(places) > 1:
        raise InvalidTransaction(Reason.POST_EXECUTION_REPEATED, first=places[0], second=places[1])
    if places[0] != len(transactions) - 1:
        raise InvalidTransaction(Reason.POST_EXECUTION_NOT_LAST, index=places[0])
    tx = decode_transaction(transactions[-1])
    assert isinstance(tx, PostExecutionTransaction)
    if tx.block_number != number:
        raise InvalidTransaction(Reason.POST_EXECUTION_BLOCK_NUMBER, have=tx.block_number, want=number)
    return _by_index(tx, transactions)


def _by_index(tx: PostExecutionTransaction, transactions: Sequence[bytes]) -> Mapping[int, Gas]:
    if not tx.entries:
        raise InvalidTransaction(Reason.REFUNDS_MISSING)
    refunds: dict[int, Gas] = {}
    before = -1
    for entry in tx.entries:
        if entry.gas == 0:
            raise InvalidTransaction(Reason.REFUND_OF_NOTHING, index=entry.index)
        if entry.index <= before:
            raise InvalidTransaction(Reason.REFUNDS_NOT_INCREASING, index=entry.index, before=before)
        if entry.index >= len(transactions) or not record_of(transactions[entry.index]).is_signed:
            raise InvalidTransaction(Reason.REFUND_TARGET_NOT_SIGNED, index=entry.index)
        refunds[entry.index], before = entry.gas, entry.index
    return refunds


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
