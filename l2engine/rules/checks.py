"""Checks of a transaction on its own, one function for each rule; none of them reads state.

The verifier and the pool call them in two different orders, as geth does. Each check raises `InvalidTransaction` with the reason.
Sources: EIP-2, 155, 2718, 3860, 7623, 7702, 7825; go-ethereum's core/state_transition.go and core/txpool/validation.go.
"""

from collections.abc import Sequence

from l2engine.errors import InvalidTransaction
from l2engine.refusals import Reason
from l2engine.rules.blobs import MAX_BLOBS_PER_TRANSACTION
from l2engine.rules.forks import Fork, L1Rules
from l2engine.rules.intrinsic_gas import floor_gas, intrinsic_gas
from l2engine.types.base import MAX_UINT256, Address, Gas, Hash32, Wei
from l2engine.types.signature import SECP256K1_N
from l2engine.types.transaction import SetCodeTransaction, SignedTransaction, Transaction

MAX_INITCODE_SIZE = 49_152  # EIP-3860
TRANSACTION_GAS_CAP = 2**24  # EIP-7825


def check_type(fork: Fork, tx: Transaction) -> None:
    """Check that the fork knows this type of transaction."""
    if tx.type not in fork.transaction_types:
        raise InvalidTransaction(Reason.TYPE_NOT_SUPPORTED)


def check_signer(fork: Fork, tx: SignedTransaction, chain_id: int) -> None:
    """Check the type, the chain id and the signature's form, which must hold before the sender is recovered."""
    check_type(fork, tx)
    if tx.chain_id is not None and tx.chain_id != chain_id:
        raise InvalidTransaction(Reason.WRONG_CHAIN_ID, have=tx.chain_id, want=chain_id)
    if tx.type == 0 and tx.chain_id is not None and not fork.has(L1Rules.SPURIOUS_DRAGON):
        raise InvalidTransaction(Reason.REPLAY_PROTECTED)
    if tx.s > SECP256K1_N // 2 and fork.has(L1Rules.HOMESTEAD):
        raise InvalidTransaction(Reason.INVALID_SIGNATURE)


def check_gas_cap(fork: Fork, gas: Gas) -> None:
    """Check that the gas limit is at most the cap of Osaka (EIP-7825)."""
    if fork.has(L1Rules.OSAKA) and gas > TRANSACTION_GAS_CAP:
        raise InvalidTransaction(Reason.GAS_ABOVE_CAP, cap=TRANSACTION_GAS_CAP, tx=gas)


def check_tip(sender: Address, tip: Wei, fee_cap: Wei) -> None:
    """Check that the tip is at most the fee cap."""
    if tip > fee_cap:
        raise InvalidTransaction(Reason.TIP_ABOVE_FEE_CAP, address=sender, tip=tip, fee_cap=fee_cap)


def check_fee_cap(sender: Address, fee_cap: Wei, base_fee: Wei) -> None:
    """Check that the fee cap covers the block's base fee."""
    if fee_cap < base_fee:
        raise InvalidTransaction(Reason.FEE_CAP_TOO_LOW, address=sender, fee_cap=fee_cap, base_fee=base_fee)


def check_authorizations(tx: Transaction, sender: Address) -> None:
    """Check that a set-code transaction has at least one authorization."""
    if isinstance(tx, SetCodeTransaction) and not tx.authorization_list:
        raise InvalidTransaction(Reason.AUTHORIZATIONS_MISSING, address=sender)


def check_blob_hashes(fork: Fork, hashes: Sequence[Hash32]) -> None:
    """Check that there are no more blobs than a transaction may have, each named by a hash of the one known version."""
    if fork.has(L1Rules.OSAKA) and len(hashes) > MAX_BLOBS_PER_TRANSACTION:
        raise InvalidTransaction(Reason.TOO_MANY_BLOBS)
    for index, versioned_hash in enumerate(hashes):
        if versioned_hash[0] != 1:
            raise InvalidTransaction(Reason.BLOB_HASH_VERSION, index=index)


def check_blob_fee(sender: Address, fee_cap: Wei, base_fee: Wei) -> None:
    """Check that the fee cap for blob gas covers the block's fee."""
    if fee_cap < base_fee:
        raise InvalidTransaction(Reason.BLOB_FEE_CAP_TOO_LOW, address=sender, fee_cap=fee_cap, base_fee=base_fee)


def check_gas(fork: Fork, tx: Transaction) -> tuple[Gas, Gas]:
    """The intrinsic gas and the floor of EIP-7623, after checking that the gas limit covers both."""
    intrinsic, floor = intrinsic_gas(fork, tx), floor_gas(fork, tx)
    if tx.gas < intrinsic:
        raise InvalidTransaction(Reason.INTRINSIC_GAS_TOO_LOW, have=tx.gas, want=intrinsic)
    if tx.gas < floor:
        raise InvalidTransaction(Reason.FLOOR_GAS_TOO_LOW, have=tx.gas, want=floor)
    return intrinsic, floor


def initcode_is_too_large(fork: Fork, to: Address | None, data: bytes) -> bool:
    """Whether a creation's code is longer than Shanghai allows."""
    return to is None and fork.has(L1Rules.SHANGHAI) and len(data) > MAX_INITCODE_SIZE


def check_initcode(fork: Fork, to: Address | None, data: bytes) -> None:
    """Check that a creation's code is not longer than Shanghai allows."""
    if initcode_is_too_large(fork, to, data):
        raise InvalidTransaction(Reason.INITCODE_TOO_LARGE, size=len(data), limit=MAX_INITCODE_SIZE)


def check_funds(sender: Address, have: Wei, want: Wei) -> None:
    """Check that the sender's balance `have` covers `want`, the most that the transaction may cost (both in wei)."""
    if want > MAX_UINT256:
        raise InvalidTransaction(Reason.COST_OVERFLOWS, address=sender)
    if have < want:
        raise InvalidTransaction(Reason.INSUFFICIENT_FUNDS, address=sender, have=have, want=want)
