"""The precompiled contracts of every fork: their gas, their input limits, and their results by native code.

Each precompile is a pair of plain functions over the input, `gas(data)` and `run(data)`, one table at the foot says
since when. The results keep py-evm's form (a function over its computation). Sources: Yellow Paper appendix E;
EIP-152, 196, 197, 198, 1108, 2537, 2565, 4844, 7823, 7883, 7951; OP specs, precompiles.md and execution digest 1.6.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import blake2b
import gmpy2
from eth.precompiles.bls12_381.constants import G1_MSM_DISCOUNTS, G1_MSM_MAX_DISCOUNT, G2_MSM_DISCOUNTS, G2_MSM_MAX_DISCOUNT

from l2engine.evm.reference import curves
from l2engine.evm.reference.failures import FrameFailed
from l2engine.rules.forks import Fork, L1Rules
from l2engine.types.base import Address, Gas
from l2engine.types.failure import Failure, FailureKind

ComputationFunction: TypeAlias = Callable[[Any], Any]

P256_VERIFY = 0x100


@dataclass(frozen=True, slots=True)
class Precompile:
    """One precompiled contract. `run` raises `ValueError` with geth's text for input that fails the call, which consumes all its gas."""

    name: str
    gas: Callable[[bytes], Gas]
    run: Callable[[bytes], bytes]


def precompiles(fork: Fork) -> dict[Address, ComputationFunction]:
    """The fork's precompiles by address, in py-evm's form: they charge the computation and set its output."""
    return {
        number.to_bytes(20, "big"): _computation_function(precompile, fork.precompile_input_limits.get(number))
        for number, precompile in _table(fork).items()
    }


def why_refused(fork: Fork, address: Address, data: bytes, gas: Gas) -> Failure | None:
    """How a precompile that has `gas` fails on its input; None when it does not, or is none."""
    number = int.from_bytes(address, "big")
    precompile = _table(fork).get(number)
    if precompile is None:
        return None
    try:
        _check_length(precompile, data, fork.precompile_input_limits.get(number))
        if precompile.gas(data) > gas:
            return Failure(FailureKind.OUT_OF_GAS)
        precompile.run(data)
    except ValueError as error:
        return _failure(error)
    return None


class _WrongLength(ValueError):
    """An input that is not as long as the precompile's must be."""


def _failure(error: ValueError) -> Failure:
    if isinstance(error, _WrongLength):
        return Failure(FailureKind.PRECOMPILE_INPUT_LENGTH)
    return Failure(FailureKind.PRECOMPILE_FAILED, str(error))


def _table(fork: Fork) -> dict[int, Precompile]:
    table = {number: precompile for since, added in _SINCE if fork.has(since) for number, precompile in added.items()}
    if fork.p256_verify_gas is not None:
        table[P256_VERIFY] = Precompile("P256VERIFY", _constant(fork.p256_verify_gas), _p256_verify)
    return table


_TOO_LONG = {
    "ECPAIRING": "bad elliptic curve pairing input size",
    "BLS12_G1MSM": "g1 msm input size exceeds maximum",
    "BLS12_G2MSM": "g2 msm input size exceeds maximum",
    "BLS12_PAIRING_CHECK": "pairing input size exceeds maximum",
}


def _check_length(precompile: Precompile, data: bytes, limit: int | None) -> None:
    if limit is not None and len(data) > limit:
        raise ValueError(_TOO_LONG[precompile.name])


def _computation_function(precompile: Precompile, limit: int | None) -> ComputationFunction:
    def apply(computation: Any) -> Any:
        data = computation.msg.data_as_bytes
        try:
            _check_length(precompile, data, limit)
            computation.consume_gas(precompile.gas(data), precompile.name)
            computation.output = precompile.run(data)
        except ValueError as error:
            raise FrameFailed(_failure(error)) from error
        return computation

    return apply


# ---- gas ------------------------------------------------------------------------------------------------------------


def _constant(gas: Gas) -> Callable[[bytes], Gas]:
    return lambda data: gas


def _per_word(base: Gas, word: Gas) -> Callable[[bytes], Gas]:
    return lambda data: base + word * ((len(data) + 31) // 32)


def _per_item(base: Gas, item: Gas, size: int) -> Callable[[bytes], Gas]:
    return lambda data: base + item * (len(data) // size)


def _msm(multiplication: Gas, size: int, discounts: list[int], last: int) -> Callable[[bytes], Gas]:
    """EIP-2537: many multiplications at once cost less each, in thousandths."""

    def gas(data: bytes) -> Gas:
        count = len(data) // size
        if count == 0:
            return 0
        return count * multiplication * (discounts[count - 1] if count <= len(discounts) else last) // 1000

    return gas


def _blake2f_gas(data: bytes) -> Gas:
    return int.from_bytes(data[:4], "big") if len(data) == 213 else 0


# ---- MODEXP ---------------------------------------------------------------------------------------------------------


def _modexp_lengths(data: bytes) -> tuple[int, int, int]:
    """The lengths of base, exponent and modulus that the input declares."""
    head = data[:96].ljust(96, b"\0")
    return int.from_bytes(head[:32], "big"), int.from_bytes(head[32:64], "big"), int.from_bytes(head[64:], "big")


def _iterations(data: bytes, multiplier: int) -> int:
    """The adjusted length of the exponent; its bytes beyond the first 32 count `multiplier` each."""
    base, exponent, _ = _modexp_lengths(data)
    head = int.from_bytes(_slice(data, 96 + base, min(exponent, 32)), "big")
    return max(0, head.bit_length() - 1) + multiplier * max(0, exponent - 32)


def _modexp_gas_198(data: bytes) -> Gas:
    base, _, modulus = _modexp_lengths(data)
    size = max(base, modulus)
    if size <= 64:
        complexity = size**2
    elif size <= 1024:
        complexity = size**2 // 4 + 96 * size - 3072
    else:
        complexity = size**2 // 16 + 480 * size - 199680
    return complexity * max(1, _iterations(data, 8)) // 20


def _modexp_gas_2565(data: bytes) -> Gas:
    base, _, modulus = _modexp_lengths(data)
    return max(200, ((max(base, modulus) + 7) // 8) ** 2 * max(1, _iterations(data, 8)) // 3)


def _modexp_gas_7883(data: bytes) -> Gas:
    base, _, modulus = _modexp_lengths(data)
    size = max(base, modulus)
    complexity = 2 * ((size + 7) // 8) ** 2 if size > 32 else 16
    return max(500, complexity * max(1, _iterations(data, 16)))


def _modexp(data: bytes) -> bytes:
    base_length, exponent_length, modulus_length = _modexp_lengths(data)
    if modulus_length == 0:
        return b""
    modulus = int.from_bytes(_slice(data, 96 + base_length + exponent_length, modulus_length), "big")
    if modulus == 0:
        return bytes(modulus_length)
    base = int.from_bytes(_slice(data, 96, base_length), "big")
    exponent = int.from_bytes(_slice(data, 96 + base_length, exponent_length), "big")
    return int(gmpy2.powmod(base, exponent, modulus)).to_bytes(modulus_length, "big")


def _modexp_7823(data: bytes) -> bytes:
    if max(_modexp_lengths(data)) > 1024:
        raise ValueError("one or more of base/exponent/modulus length exceeded 1024 bytes")
    return _modexp(data)


def _slice(data: bytes, start: int, length: int) -> bytes:
    """`length` bytes from `start`, zeros beyond the end of the input."""
    return data[start : start + length].ljust(length, b"\0")


# ---- the others -----------------------------------------------------------------------------------------------------


def _ecrecover(data: bytes) -> bytes:
    words = data[:128].ljust(128, b"\0")
    v, r, s = (int.from_bytes(words[i : i + 32], "big") for i in (32, 64, 96))
    address = curves.ecrecover(words[:32], v, r, s)
    return bytes(12) + address if address is not None else b""


def _p256_verify(data: bytes) -> bytes:
    """Nothing that is wrong with the input fails the call: the answer is then empty."""
    if len(data) != 160:
        return b""
    r, s, x, y = (int.from_bytes(data[i : i + 32], "big") for i in (32, 64, 96, 128))
    return (1).to_bytes(32, "big") if curves.p256_verify(data[:32], r, s, x, y) else b""


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _ripemd160(data: bytes) -> bytes:
    return bytes(12) + _new_ripemd160(data).digest()


def _new_ripemd160(data: bytes) -> Any:
    try:
        return hashlib.new("ripemd160", data)
    except ValueError:  # an OpenSSL built without its legacy provider
        from Crypto.Hash import RIPEMD160

        return RIPEMD160.new(data)


def _blake2f(data: bytes) -> bytes:
    if len(data) != 213:
        raise _WrongLength
    if data[212] > 1:
        raise ValueError("invalid final flag")
    words = [int.from_bytes(data[i : i + 8], "little") for i in range(4, 212, 8)]
    state: bytes = blake2b.compress(int.from_bytes(data[:4], "big"), words[:8], words[8:24], words[24:], bool(data[212]))
    return state


def _bn254_pairing(data: bytes) -> bytes:
    if len(data) % 192:
        raise ValueError("bad elliptic curve pairing size")
    return curves.bn254_pairing(data).to_bytes(32, "big")


def _bls_pairing(data: bytes) -> bytes:
    return curves.bls_pairing(data).to_bytes(32, "big")


def _exactly(size: int, run: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def checked(data: bytes) -> bytes:
        if len(data) != size:
            raise _WrongLength
        return run(data)

    return checked


def _items_of(size: int, run: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def checked(data: bytes) -> bytes:
        if not data or len(data) % size:
            raise _WrongLength
        return run(data)

    return checked


def _padded(size: int, run: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda data: run(data[:size].ljust(size, b"\0"))


_BLS_MODULUS = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
_POINT_EVALUATION_RESULT = (4096).to_bytes(32, "big") + _BLS_MODULUS.to_bytes(32, "big")


def _point_evaluation(data: bytes) -> bytes:
    """EIP-4844: versioned hash, z, y (32 bytes each), commitment and proof (48 each)."""
    versioned_hash, z, y, commitment, proof = data[:32], data[32:64], data[64:96], data[96:144], data[144:192]
    if b"\x01" + hashlib.sha256(commitment).digest()[1:] != versioned_hash:
        raise ValueError("mismatched versioned hash")
    if not curves.kzg_verify(commitment, z, y, proof):
        raise ValueError("error verifying kzg proof: can't verify opening proof")
    return _POINT_EVALUATION_RESULT


# ---- the table ------------------------------------------------------------------------------------------------------


def _bn254(add: Gas, mul: Gas, pairing: Gas, pair: Gas) -> dict[int, Precompile]:
    return {
        0x06: Precompile("ECADD", _constant(add), _padded(128, curves.bn254_add)),
        0x07: Precompile("ECMUL", _constant(mul), _padded(96, curves.bn254_mul)),
        0x08: Precompile("ECPAIRING", _per_item(pairing, pair, 192), _bn254_pairing),
    }


_SINCE: tuple[tuple[L1Rules, dict[int, Precompile]], ...] = (
    (
        L1Rules.FRONTIER,
        {
            0x01: Precompile("ECRECOVER", _constant(3000), _ecrecover),
            0x02: Precompile("SHA256", _per_word(60, 12), _sha256),
            0x03: Precompile("RIPEMD160", _per_word(600, 120), _ripemd160),
            0x04: Precompile("IDENTITY", _per_word(15, 3), bytes),
        },
    ),
    (L1Rules.BYZANTIUM, {0x05: Precompile("MODEXP", _modexp_gas_198, _modexp), **_bn254(500, 40_000, 100_000, 80_000)}),
    (L1Rules.ISTANBUL, {**_bn254(150, 6_000, 45_000, 34_000), 0x09: Precompile("BLAKE2F", _blake2f_gas, _blake2f)}),
    (L1Rules.BERLIN, {0x05: Precompile("MODEXP", _modexp_gas_2565, _modexp)}),
    (L1Rules.CANCUN, {0x0A: Precompile("KZG_POINT_EVALUATION", _constant(50_000), _exactly(192, _point_evaluation))}),
    (
        L1Rules.PRAGUE,
        {
            0x0B: Precompile("BLS12_G1ADD", _constant(375), _exactly(256, curves.bls_g1_add)),
            0x0C: Precompile("BLS12_G1MSM", _msm(12_000, 160, G1_MSM_DISCOUNTS, G1_MSM_MAX_DISCOUNT), _items_of(160, curves.bls_g1_msm)),
            0x0D: Precompile("BLS12_G2ADD", _constant(600), _exactly(512, curves.bls_g2_add)),
            0x0E: Precompile("BLS12_G2MSM", _msm(22_500, 288, G2_MSM_DISCOUNTS, G2_MSM_MAX_DISCOUNT), _items_of(288, curves.bls_g2_msm)),
            0x0F: Precompile("BLS12_PAIRING_CHECK", _per_item(37_700, 32_600, 384), _items_of(384, _bls_pairing)),
            0x10: Precompile("BLS12_MAP_FP_TO_G1", _constant(5_500), _exactly(64, curves.bls_map_fp_to_g1)),
            0x11: Precompile("BLS12_MAP_FP2_TO_G2", _constant(23_800), _exactly(128, curves.bls_map_fp2_to_g2)),
        },
    ),
    (L1Rules.OSAKA, {0x05: Precompile("MODEXP", _modexp_gas_7883, _modexp_7823)}),
)
