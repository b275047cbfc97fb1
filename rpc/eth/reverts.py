"""What a reverted call tells its caller: the data, and the reason when it is one that Solidity encodes."""

from l2engine.errors import ExecutionReverted

ERROR_STRING = bytes.fromhex("08c379a0")  # Error(string)
PANIC = bytes.fromhex("4e487b71")  # Panic(uint256)

# The Solidity documentation, "Panic via assert and Error via require", in geth's words.
PANIC_REASONS = {
    0x00: "generic panic",
    0x01: "assert(false)",
    0x11: "arithmetic underflow or overflow",
    0x12: "division or modulo by zero",
    0x21: "enum overflow",
    0x22: "invalid encoded storage byte array accessed",
    0x31: "out-of-bounds array access; popping on an empty array",
    0x32: "out-of-bounds access of an array or bytesN",
    0x41: "out of memory",
    0x51: "uninitialized function",
}


def revert_error(data: bytes) -> ExecutionReverted:
    """The error for a call that reverted with `data`."""
    reason = revert_reason(data)
    return ExecutionReverted("execution reverted" if reason is None else f"execution reverted: {reason}", data)


def revert_reason(data: bytes) -> str | None:
    """The reason in revert data, None when there is none to be read."""
    body = data[4:]
    if data[:4] == PANIC and len(body) >= 32:
        code = int.from_bytes(body[:32], "big")
        return PANIC_REASONS.get(code, f"unknown panic code: {hex(code)}")
    if data[:4] != ERROR_STRING or len(body) < 64:
        return None
    offset = int.from_bytes(body[:32], "big")
    length = int.from_bytes(body[offset : offset + 32], "big") if offset + 32 <= len(body) else len(body)
    text = body[offset + 32 : offset + 32 + length]
    return text.decode("utf-8", "replace") if len(text) == length else None
