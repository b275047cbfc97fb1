"""A deadline stops whatever runs, soon: loops of every costly opcode and precompile, calls of calls, and code without loops.

Time is the processor's, since a busy machine stretches the other; a deadline that passes meanwhile comes all the earlier.
"""

import time
from typing import Any

import pytest

from l2engine.errors import ExecutionTimeout
from l2engine.evm.reference.machine import ReferenceExecutor
from l2engine.rules import forks
from l2engine.types.execution import Call
from tests.conformance.families import needs_native
from tests.evm.states import Before, config, env, world

TARGET = b"\x70" * 20
SECONDS = 0.05
MEGABYTE = "62100000"  # PUSH3
G1 = (1).to_bytes(32, "big") + (2).to_bytes(32, "big")
G2 = bytes.fromhex(
    "198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c21800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed"
    "090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa"
)
PAIRS = (G1 + G2) * 20
MODEXP = b"".join(length.to_bytes(32, "big") for length in (256, 256, 256)) + b"\xff" * 768
ALL_CALLDATA = "365f5f37"  # CALLDATACOPY to 0


def loop(body: str, before: str = "") -> bytes:
    """`before`, then `body` for ever."""
    start = len(before) // 2
    return bytes.fromhex(f"{before}5b{body}60{start:02x}56")


def ask(address: int, size: str = "36") -> str:
    """STATICCALL to a precompile with `size` bytes (an opcode; CALLDATASIZE) of memory."""
    return f"5f5f{size}5f60{address:02x}5afa50"


CASES = {
    "jumps": (loop(""), b""),
    "keccak256": (loop(f"{MEGABYTE}5f2050"), b""),
    "mcopy": (loop(f"{MEGABYTE}60205f5e"), b""),
    "calldatacopy": (loop(f"{MEGABYTE}5f5f37"), b""),
    "codecopy": (loop(f"{MEGABYTE}5f5f39"), b""),
    "extcodecopy": (loop(f"{MEGABYTE}5f5f303c"), b""),
    "log": (loop("6110005fa0"), b""),
    "exp": (loop("5f195f190a50"), b""),
    "create": (loop("5f5f5ff050"), b""),
    "self calls": (loop("5f5f5f5f5f305af150"), b""),
    "pairings": (loop(ask(8), ALL_CALLDATA), PAIRS),
    "modexp": (loop(ask(5), ALL_CALLDATA), MODEXP),
    "identity": (loop(ask(4, MEGABYTE)), b""),
    "sha256": (loop(ask(2, MEGABYTE)), b""),
    "modexp without a loop": (bytes.fromhex(ALL_CALLDATA + ask(5) * 1500), MODEXP),
    "keccak256 without a loop": (bytes.fromhex(f"{MEGABYTE}5f2050" * 3000), b""),
}


def executor(name: str) -> Any:
    if name == "reference":
        return ReferenceExecutor(config(forks.KARST))
    from l2engine.evm.native.machine import NativeExecutor

    return NativeExecutor(config(forks.KARST))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("kind", "spare"), [("reference", 0.6), pytest.param("native", 0.05, marks=needs_native)])
def test_deadline(kind: str, spare: float, name: str) -> None:
    code, data = CASES[name]
    runner, view = executor(kind), world({TARGET: Before(nonce=1, code=code)})
    call = Call(bytes(20), TARGET, data=data, gas=2**40)
    worked = time.thread_time()
    with pytest.raises(ExecutionTimeout):
        runner.call(view, env(forks.KARST), call, deadline=time.monotonic() + SECONDS)
    assert time.thread_time() - worked < SECONDS + spare
