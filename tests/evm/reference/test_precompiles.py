"""Precompiles against go-ethereum's vectors and the facts collected from op-revm; limits at their boundary from the specification."""

import hashlib
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from eth.exceptions import OutOfGas, VMError
from hypothesis import given
from hypothesis import strategies as st
from py_ecc import optimized_bn128 as bn128

from l2engine.evm.reference import curves
from l2engine.evm.reference.precompiles import precompiles
from l2engine.rules import forks
from l2engine.rules.forks import FORKS_BY_NAME, Fork
from tests.helpers.vectors import VECTORS, archive, needs_vectors

PRECOMPILES = VECTORS / "precompiles"
FORK_OF_FILE = {"modexp.json": forks.BYZANTIUM, "modexp_eip2565.json": forks.BERLIN}  # the others state their latest gas


class Computation:
    """As much of py-evm's computation as a precompile touches."""

    def __init__(self, data: bytes, gas: int = 10**12) -> None:
        self.msg = SimpleNamespace(data=data, data_as_bytes=data)
        self.gas, self.used, self.output = gas, 0, b""

    def consume_gas(self, amount: int, reason: str) -> None:
        if amount > self.gas - self.used:
            raise OutOfGas(reason)
        self.used += amount


def run(fork: Fork, number: int, data: bytes, gas: int = 10**12) -> Computation:
    computation = Computation(data, gas)
    precompiles(fork)[number.to_bytes(20, "big")](computation)
    return computation


def _cases() -> dict[str, list[dict[str, Any]]]:
    return {name: json.loads(data) for name, data in archive("precompiles/precompiles.tar.zst") if name.endswith(".json")}


@pytest.fixture(scope="module")
def cases() -> dict[str, list[dict[str, Any]]]:
    return {name.rsplit("/", 1)[-1]: content for name, content in _cases().items()}


@needs_vectors
def test_all_vectors_give_gas_and_output(cases: dict[str, list[dict[str, Any]]]) -> None:
    manifest = json.loads((PRECOMPILES / "MANIFEST.json").read_text())["files"]
    wrong, slow, count = [], [], 0
    for name, facts in manifest.items():
        fork = FORK_OF_FILE.get(name, forks.OSAKA)
        for case in cases[name]:
            count += 1
            started = time.process_time()
            try:
                outcome: Computation | None = run(fork, int(facts["address"], 16), bytes.fromhex(case["Input"]))
            except VMError as error:
                outcome = None
                if str(error) != case.get("ExpectedError"):
                    wrong.append((name, case["Name"], str(error), case.get("ExpectedError")))
            elapsed = time.process_time() - started
            label = f"{name} {case['Name']}"
            if elapsed > 1:
                slow.append((label, elapsed))
            if facts["fails"] != (outcome is None):
                wrong.append((label, "failed" if outcome is None else "succeeded"))
            elif outcome is not None and outcome.output.hex() != case["Expected"]:
                wrong.append((label, outcome.output.hex(), case["Expected"]))
            elif outcome is not None and outcome.used != case["Gas"]:
                wrong.append((label, outcome.used, case["Gas"]))
    assert not wrong
    assert not slow
    assert count == 1510


@needs_vectors
@pytest.mark.parametrize("kind", ["precompile_call", "precompile_input_limit"])
def test_facts_collected_from_op_revm(kind: str) -> None:
    facts = [f for f in json.loads((VECTORS / "op-facts" / "op-facts.json").read_text())["facts"] if f["kind"] == kind]
    assert facts
    for fact in facts:
        fork, number = FORKS_BY_NAME[fact["input"]["fork"]], int(fact["input"]["address"], 16)
        if kind == "precompile_call":
            data = bytes.fromhex(fact["input"]["data"].removeprefix("0x"))
            assert "0x" + run(fork, number, data).output.hex() == fact["expected"]["output"]
        else:
            limit = fact["expected"]["max_input_bytes"]
            assert fork.precompile_input_limits[number] == limit
            with pytest.raises(VMError, match="input size"):
                run(fork, number, bytes(limit + 1))


# From the specification: the caps are inclusive, and every later fork keeps or lowers them (digest 1.6).
LIMITS = [
    ("granite", 0x08, 112_687),
    ("holocene", 0x08, 112_687),
    ("isthmus", 0x08, 112_687),
    ("isthmus", 0x0C, 513_760),
    ("isthmus", 0x0E, 488_448),
    ("isthmus", 0x0F, 235_008),
    ("jovian", 0x08, 81_984),
    ("jovian", 0x0C, 288_960),
    ("jovian", 0x0E, 278_784),
    ("jovian", 0x0F, 156_672),
    ("karst", 0x08, 57_600),
    ("karst", 0x0C, 288_960),
    ("karst", 0x0E, 278_784),
    ("karst", 0x0F, 156_672),
]
ITEM_SIZES = {0x08: 192, 0x0C: 160, 0x0E: 288, 0x0F: 384}


@pytest.mark.parametrize(("fork", "number", "limit"), LIMITS)
def test_input_limit_is_inclusive(fork: str, number: int, limit: int) -> None:
    whole = limit // ITEM_SIZES[number] * ITEM_SIZES[number]
    assert run(FORKS_BY_NAME[fork], number, bytes(whole)).used > 0
    with pytest.raises(VMError, match="input size"):
        run(FORKS_BY_NAME[fork], number, bytes(limit + 1))


def test_no_limit_before_granite() -> None:
    assert run(forks.FJORD, 0x08, bytes(192 * 600)).output == (1).to_bytes(32, "big")


def test_addresses_of_each_fork() -> None:
    count = {name: len(precompiles(FORKS_BY_NAME[name])) for name in FORKS_BY_NAME}
    assert [count[n] for n in ("frontier", "byzantium", "istanbul", "cancun", "prague", "osaka")] == [4, 8, 9, 10, 17, 18]
    assert [count[n] for n in ("bedrock", "canyon", "ecotone", "fjord", "isthmus", "karst")] == [9, 9, 10, 11, 18, 18]


def test_p256_verify_gas_by_fork() -> None:
    for fork, gas in ((forks.FJORD, 3450), (forks.JOVIAN, 3450), (forks.KARST, 6900), (forks.OSAKA, 6900)):
        outcome = run(fork, 0x100, b"no signature at all")
        assert (outcome.used, outcome.output) == (gas, b"")


def test_gas_is_charged_before_the_work() -> None:
    with pytest.raises(OutOfGas):
        run(forks.BYZANTIUM, 0x05, (2**255).to_bytes(32, "big") * 3, gas=10**9)
    with pytest.raises(OutOfGas):
        run(forks.ISTANBUL, 0x09, b"\xff" * 4 + bytes(209), gas=10**6)


def test_modexp_with_a_huge_exponent_of_nothing() -> None:
    data = bytes(32) + (2**64).to_bytes(32, "big") + bytes(32)
    assert run(forks.BERLIN, 0x05, data).output == b""


def test_bn254_point_outside_the_subgroup_fails() -> None:
    x = bn128.FQ2([1, 0])
    while (y := _sqrt(x * x * x + bn128.b2)) is None:
        x = x + bn128.FQ2([1, 0])
    parts = [int(c) for c in (x.coeffs[1], x.coeffs[0], y.coeffs[1], y.coeffs[0])]
    data = (1).to_bytes(32, "big") + (2).to_bytes(32, "big") + b"".join(p.to_bytes(32, "big") for p in parts)
    with pytest.raises(VMError):
        run(forks.ISTANBUL, 0x08, data)


def test_point_evaluation_refuses_other_spellings_of_infinity() -> None:
    infinity, zero = b"\xc0" + bytes(47), bytes(32)
    for commitment in (infinity, b"\xc0" + bytes(46) + b"\1", b"\xe0" + bytes(47)):
        versioned_hash = b"\1" + hashlib.sha256(commitment).digest()[1:]
        data = versioned_hash + zero + zero + commitment + infinity
        if commitment == infinity:
            assert run(forks.CANCUN, 0x0A, data).output[:32] == (4096).to_bytes(32, "big")
        else:
            with pytest.raises(VMError):
                run(forks.CANCUN, 0x0A, data)


def _sqrt(a: Any) -> Any:
    """A square root in Fp2 (p = 3 mod 4), or None."""
    p = bn128.field_modulus
    a0, a1 = int(a.coeffs[0]), int(a.coeffs[1])
    norm = pow(a0 * a0 + a1 * a1, (p + 1) // 4, p)
    for s in (norm, p - norm):
        half = (a0 + s) * pow(2, -1, p) % p
        root = pow(half, (p + 1) // 4, p)
        if root and root * root % p == half:
            candidate = bn128.FQ2([root, a1 * pow(2 * root, -1, p) % p])
            if candidate * candidate == a:
                return candidate
    return None


@given(st.integers(0, bn128.curve_order * 2), st.integers(0, bn128.curve_order * 2))
def test_bn254_agrees_with_py_ecc(a: int, b: int) -> None:
    def encode(point: Any) -> bytes:
        x, y = bn128.normalize(point) if not bn128.is_inf(point) else (bn128.FQ(0), bn128.FQ(0))
        return int(x).to_bytes(32, "big") + int(y).to_bytes(32, "big")

    p, q = bn128.multiply(bn128.G1, a), bn128.multiply(bn128.G1, b)
    assert curves.bn254_mul(encode(bn128.G1) + a.to_bytes(32, "big")) == encode(p)
    assert curves.bn254_add(encode(p) + encode(q)) == encode(bn128.add(p, q))
