"""What a transaction costs before its first opcode, and which transactions a fork knows at all.

Sources: Yellow Paper 6.2; EIP-2, 2028, 2681, 2718, 2930, 3860, 7623, 7702, 7825; digest 2.3 and section 0 for deposits.
"""

from l2engine.errors import InvalidTransaction
from l2engine.rules.forks import Fork, L1Rules
from l2engine.types.base import MAX_UINT64, Gas
from l2engine.types.signature import SECP256K1_N
from l2engine.types.transaction import SetCodeTransaction, Transaction

TRANSACTION_GAS = 21_000
CREATION_GAS = 32_000
MAX_INITCODE_SIZE = 49_152  # EIP-3860
TRANSACTION_GAS_CAP = 2**24  # EIP-7825
_ZERO_BYTE_GAS, _NON_ZERO_BYTE_GAS, _NON_ZERO_BYTE_GAS_FRONTIER = 4, 16, 68
_INITCODE_WORD_GAS = 2
_ACCESS_LIST_ADDRESS_GAS, _ACCESS_LIST_KEY_GAS = 2_400, 1_900
_AUTHORIZATION_GAS = 25_000  # PER_EMPTY_ACCOUNT_COST of EIP-7702
_FLOOR_GAS_PER_TOKEN = 10  # EIP-7623


def intrinsic_gas(fork: Fork, tx: Transaction) -> Gas:
    """Gas charged before execution, the EIP-7623 floor left aside."""
    zeros = tx.data.count(0)
    per_byte = _NON_ZERO_BYTE_GAS if fork.has(L1Rules.ISTANBUL) else _NON_ZERO_BYTE_GAS_FRONTIER
    gas = TRANSACTION_GAS + _ZERO_BYTE_GAS * zeros + per_byte * (len(tx.data) - zeros)
    if tx.to is None and fork.has(L1Rules.HOMESTEAD):
        gas += CREATION_GAS
        if fork.has(L1Rules.SHANGHAI):
            gas += _INITCODE_WORD_GAS * ((len(tx.data) + 31) // 32)
    for _, keys in tx.access_list:
        gas += _ACCESS_LIST_ADDRESS_GAS + _ACCESS_LIST_KEY_GAS * len(keys)
    return gas + _AUTHORIZATION_GAS * len(tx.authorization_list)


def floor_gas(fork: Fork, tx: Transaction) -> Gas:
    """The least gas a transaction is charged for its calldata (EIP-7623); 0 before Prague."""
    if not fork.has(L1Rules.PRAGUE):
        return 0
    zeros = tx.data.count(0)
    return TRANSACTION_GAS + _FLOOR_GAS_PER_TOKEN * (zeros + 4 * (len(tx.data) - zeros))


def validate_form(fork: Fork, tx: Transaction, chain_id: int) -> None:
    """Check what a transaction says by itself, with no state: its type, numbers, chain id and sizes.

    `InvalidTransaction` with geth's wording. Gas against the block, signatures and balances are checked elsewhere.
    """
    if tx.type not in fork.transaction_types:
        raise InvalidTransaction("transaction type not supported")
    if not tx.is_signed:
        return
    if tx.chain_id is not None and tx.chain_id != chain_id:
        raise InvalidTransaction(f"invalid chain id for signer: have {tx.chain_id} want {chain_id}")
    if tx.type == 0 and tx.chain_id is not None and not fork.has(L1Rules.SPURIOUS_DRAGON):
        raise InvalidTransaction("only replay-protected (EIP-155) transactions from Spurious Dragon on")
    if tx.s > SECP256K1_N // 2 and fork.has(L1Rules.HOMESTEAD):
        raise InvalidTransaction("invalid transaction v, r, s values")
    if tx.nonce == MAX_UINT64:
        raise InvalidTransaction("nonce has max value")
    if fork.has(L1Rules.SHANGHAI) and tx.to is None and len(tx.data) > MAX_INITCODE_SIZE:
        raise InvalidTransaction(f"max initcode size exceeded: code size {len(tx.data)} limit {MAX_INITCODE_SIZE}")
    if tx.max_priority_fee_per_gas > tx.max_fee_per_gas:
        raise InvalidTransaction(
            f"max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas: {tx.max_priority_fee_per_gas}, "
            f"maxFeePerGas: {tx.max_fee_per_gas}"
        )
    if fork.has(L1Rules.OSAKA) and tx.gas > TRANSACTION_GAS_CAP:
        raise InvalidTransaction(f"transaction gas limit too high (cap: {TRANSACTION_GAS_CAP}, tx: {tx.gas})")
    if isinstance(tx, SetCodeTransaction) and not tx.authorization_list:
        raise InvalidTransaction("EIP-7702 transaction with empty auth list")
