"""The gas cost of a transaction before its first opcode: intrinsic gas and the calldata floor.

Sources: Yellow Paper 6.2; EIP-2, 2028, 2930, 3860, 7623, 7702; digest 2.3 and section 0 for deposits.
"""

from l2engine.rules.forks import Fork, L1Rules
from l2engine.types.base import Gas
from l2engine.types.transaction import Transaction

TRANSACTION_GAS = 21_000
CREATION_GAS = 32_000
_ZERO_BYTE_GAS, _NON_ZERO_BYTE_GAS, _NON_ZERO_BYTE_GAS_FRONTIER = 4, 16, 68
_INITCODE_WORD_GAS = 2
_ACCESS_LIST_ADDRESS_GAS, _ACCESS_LIST_KEY_GAS = 2_400, 1_900
_AUTHORIZATION_GAS = 25_000  # PER_EMPTY_ACCOUNT_COST of EIP-7702
_FLOOR_GAS_PER_TOKEN = 10  # EIP-7623


def intrinsic_gas(fork: Fork, tx: Transaction) -> Gas:
    """The gas charged before execution, not counting the EIP-7623 floor."""
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
