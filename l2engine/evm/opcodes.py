"""Opcodes as traces name them: geth's mnemonics, what each takes from the stack, and the part of its gas that never varies."""

from collections.abc import Sequence

from l2engine.types.base import Address

_NAMES = {
    0x00: "STOP ADD MUL SUB DIV SDIV MOD SMOD ADDMOD MULMOD EXP SIGNEXTEND",
    0x10: "LT GT SLT SGT EQ ISZERO AND OR XOR NOT BYTE SHL SHR SAR CLZ",
    0x20: "KECCAK256",
    0x30: "ADDRESS BALANCE ORIGIN CALLER CALLVALUE CALLDATALOAD CALLDATASIZE CALLDATACOPY CODESIZE CODECOPY GASPRICE EXTCODESIZE"
    " EXTCODECOPY RETURNDATASIZE RETURNDATACOPY EXTCODEHASH",
    0x40: "BLOCKHASH COINBASE TIMESTAMP NUMBER DIFFICULTY GASLIMIT CHAINID SELFBALANCE BASEFEE BLOBHASH BLOBBASEFEE",
    0x50: "POP MLOAD MSTORE MSTORE8 SLOAD SSTORE JUMP JUMPI PC MSIZE GAS JUMPDEST TLOAD TSTORE MCOPY PUSH0",
    0x60: " ".join(f"PUSH{n}" for n in range(1, 33)),
    0x80: " ".join(f"DUP{n}" for n in range(1, 17)),
    0x90: " ".join(f"SWAP{n}" for n in range(1, 17)),
    0xA0: "LOG0 LOG1 LOG2 LOG3 LOG4",
    0xF0: "CREATE CALL CALLCODE RETURN DELEGATECALL CREATE2",
    0xFA: "STATICCALL",
    0xFD: "REVERT INVALID SELFDESTRUCT",
}
EVERY_OPCODE = frozenset(range(256))
SLOT_OPCODES = frozenset((0x54, 0x55))
"""They name a slot: SLOAD, SSTORE."""
ACCOUNT_OPCODES = frozenset((0x31, 0x3B, 0x3C, 0x3F, 0xFF))
"""They name an account: BALANCE, EXTCODESIZE, EXTCODECOPY, EXTCODEHASH, SELFDESTRUCT."""
CALL_OPCODES = frozenset((0xF1, 0xF2, 0xF4, 0xFA))
NAMES = {start + offset: name for start, names in _NAMES.items() for offset, name in enumerate(names.split())}


def name(opcode: int) -> str:
    """geth's name; 0x44 stays DIFFICULTY after the merge."""
    return NAMES.get(opcode, f"opcode {opcode:#x} not defined")


_POPS_BY_NAME = {
    1: "ISZERO NOT CLZ BALANCE CALLDATALOAD EXTCODESIZE EXTCODEHASH BLOCKHASH BLOBHASH POP MLOAD SLOAD JUMP TLOAD SELFDESTRUCT",
    2: "ADD MUL SUB DIV SDIV MOD SMOD EXP SIGNEXTEND LT GT SLT SGT EQ AND OR XOR BYTE SHL SHR SAR KECCAK256 MSTORE MSTORE8"
    " SSTORE JUMPI TSTORE LOG0 RETURN REVERT",
    3: "ADDMOD MULMOD CALLDATACOPY CODECOPY RETURNDATACOPY MCOPY CREATE LOG1",
    4: "EXTCODECOPY CREATE2 LOG2",
    5: "LOG3",
    6: "LOG4 DELEGATECALL STATICCALL",
    7: "CALL CALLCODE",
}
_POPS = {opcode_name: count for count, names in _POPS_BY_NAME.items() for opcode_name in names.split()}
POPS = [_POPS.get(NAMES.get(opcode, ""), 0) for opcode in range(256)]
"""Number of items that must be on the stack."""
for _n in range(1, 17):
    POPS[0x7F + _n], POPS[0x8F + _n] = _n, _n + 1

_GAS_BY_NAME = {
    0: "STOP SLOAD SSTORE EXP LOG0 LOG1 LOG2 LOG3 LOG4 RETURN REVERT INVALID",
    1: "JUMPDEST",
    2: "ADDRESS ORIGIN CALLER CALLVALUE CALLDATASIZE CODESIZE GASPRICE RETURNDATASIZE COINBASE TIMESTAMP NUMBER DIFFICULTY GASLIMIT"
    " CHAINID BASEFEE BLOBBASEFEE POP PC MSIZE GAS PUSH0",
    5: "MUL DIV SDIV MOD SMOD SIGNEXTEND SELFBALANCE CLZ",
    8: "ADDMOD MULMOD JUMP",
    10: "JUMPI",
    20: "BLOCKHASH",
    30: "KECCAK256",
    100: "BALANCE EXTCODESIZE EXTCODECOPY EXTCODEHASH CALL CALLCODE DELEGATECALL STATICCALL TLOAD TSTORE",
    5000: "SELFDESTRUCT",
    32000: "CREATE CREATE2",
}
_GAS = {opcode_name: gas for gas, names in _GAS_BY_NAME.items() for opcode_name in names.split()}
CONSTANT_GAS = [_GAS.get(NAMES[opcode], 3) if opcode in NAMES else 0 for opcode in range(256)]
"""From Berlin on. What a step costs in a trace when it fails before its variable part is known."""

_MEMORY_BY_NAME: dict[str, tuple[tuple[int, int | str], ...]] = {
    "KECCAK256": ((0, 1),),
    "CALLDATACOPY": ((0, 2),),
    "CODECOPY": ((0, 2),),
    "EXTCODECOPY": ((1, 3),),
    "RETURNDATACOPY": ((0, 2),),
    "MLOAD": ((0, "32"),),
    "MSTORE": ((0, "32"),),
    "MSTORE8": ((0, "1"),),
    "MCOPY": ((0, 2), (1, 2)),
    "LOG0": ((0, 1),),
    "LOG1": ((0, 1),),
    "LOG2": ((0, 1),),
    "LOG3": ((0, 1),),
    "LOG4": ((0, 1),),
    "CREATE": ((1, 2),),
    "CREATE2": ((1, 2),),
    "CALL": ((3, 4), (5, 6)),
    "CALLCODE": ((3, 4), (5, 6)),
    "DELEGATECALL": ((2, 3), (4, 5)),
    "STATICCALL": ((2, 3), (4, 5)),
    "RETURN": ((0, 1),),
    "REVERT": ((0, 1),),
}
MEMORY = [_MEMORY_BY_NAME.get(NAMES.get(opcode, ""), ()) for opcode in range(256)]
"""Which stack items (from the top) say where an opcode touches memory and how far; a size as text is fixed."""


def stack_address(item: int) -> Address:
    """A stack item as an address."""
    return (item & (2**160 - 1)).to_bytes(20, "big")


def memory_end(opcode: int, stack: Sequence[int]) -> int:
    """Number of bytes of memory that the opcode needs, not rounded."""
    end = 0
    for start, size in MEMORY[opcode]:
        length = int(size) if isinstance(size, str) else stack[-1 - size]
        if length:
            end = max(end, stack[-1 - start] + length)
    return end


def memory_gas(size: int) -> int:
    """Total gas cost of memory of this many bytes (Yellow Paper, appendix H)."""
    words = (size + 31) // 32
    return 3 * words + words * words // 512
