"""Inputs for precompiles: valid ones, nearly valid ones, and lengths around what a fork allows."""

import hashlib
import random
from functools import cache

import coincurve
from py_ecc import optimized_bls12_381 as bls
from py_ecc import optimized_bn128 as bn

from l2engine.rules.forks import Fork
from l2engine.types.base import keccak

NUMBERS = (*range(1, 0x12), 0x100)
_UNITS = {8: 192, 0xC: 160, 0xE: 288, 0xF: 384}  # bytes of one pair
_P256 = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_P256_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def precompile_input(rng: random.Random, number: int) -> bytes:
    """An input that mostly does something; sometimes cut, lengthened or with one byte changed."""
    data = bytearray(_MAKERS[number](rng) if number in _MAKERS else rng.randbytes(rng.choice((0, 1, 55, 64, 300))))
    flaw = rng.randrange(10)
    if flaw == 0 and data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif flaw == 1:
        data = data[: rng.randrange(len(data) + 1)]
    elif flaw == 2:
        data += rng.randbytes(rng.choice((1, 32, 64)))
    return bytes(data)


def lengths_at_limits(fork: Fork) -> list[tuple[int, int, bool]]:
    """Around the limits of a fork: the precompile, a length of zeros, and whether they are points that it takes."""
    found = []
    for number, limit in fork.precompile_input_limits.items():
        unit = _UNITS[number]
        whole = limit // unit * unit
        lengths = {whole - unit, whole - 1, whole, whole + 1, limit, limit + 1, whole + unit}
        found += [(number, length, length <= limit and length % unit == 0) for length in sorted(lengths)]
    return found


def _ecrecover(rng: random.Random) -> bytes:
    digest = rng.randbytes(32)
    signature = coincurve.PrivateKey(keccak(rng.randbytes(4))).sign_recoverable(digest, hasher=None)
    return digest + (27 + signature[64]).to_bytes(32, "big") + signature[:64]


def _modexp(rng: random.Random) -> bytes:
    lengths = [rng.choice((0, 1, 2, 31, 32, 33, 64, 96)) for _ in range(3)]
    if rng.random() < 0.1:  # longer than any fork, or than Osaka allows; the rest is zeros
        lengths[rng.randrange(3)] = rng.choice((1024, 1025, 2**64, 2**255))
    body = b"".join(rng.choice((rng.randbytes(length), bytes(length), b"\xff" * length)) for length in lengths if length < 100)
    return b"".join(length.to_bytes(32, "big") for length in lengths) + body


@cache
def _bn_g1(scalar: int) -> bytes:
    x, y = bn.normalize(bn.multiply(bn.G1, scalar))
    return int(x).to_bytes(32, "big") + int(y).to_bytes(32, "big")


@cache
def _bn_g2(scalar: int) -> bytes:
    x, y = bn.normalize(bn.multiply(bn.G2, scalar))
    return b"".join(int(c).to_bytes(32, "big") for c in (x.coeffs[1], x.coeffs[0], y.coeffs[1], y.coeffs[0]))


def _bn_point(rng: random.Random) -> bytes:
    return rng.choice((_bn_g1(1), _bn_g1(2), _bn_g1(bn.curve_order - 1), bytes(64)))


def _bn_pairs(rng: random.Random) -> bytes:
    if rng.random() < 0.5:  # e(G, H) e(-G, H) = 1
        return _bn_g1(1) + _bn_g2(1) + _bn_g1(bn.curve_order - 1) + _bn_g2(1)
    return b"".join(_bn_point(rng) + rng.choice((_bn_g2(1), _bn_g2(2), bytes(128))) for _ in range(rng.randrange(4)))


@cache
def _bls_g1(scalar: int) -> bytes:
    return b"".join(int(c).to_bytes(64, "big") for c in bls.normalize(bls.multiply(bls.G1, scalar)))


@cache
def _bls_g2(scalar: int) -> bytes:
    x, y = bls.normalize(bls.multiply(bls.G2, scalar))
    return b"".join(int(c).to_bytes(64, "big") for c in (*x.coeffs, *y.coeffs))


def _bls_point1(rng: random.Random) -> bytes:
    return rng.choice((_bls_g1(1), _bls_g1(2), _bls_g1(bls.curve_order - 1), bytes(128)))


def _bls_point2(rng: random.Random) -> bytes:
    return rng.choice((_bls_g2(1), _bls_g2(2), _bls_g2(bls.curve_order - 1), bytes(256)))


def _bls_field(rng: random.Random) -> bytes:
    return rng.choice((0, 1, bls.field_modulus - 1, bls.field_modulus, rng.randrange(bls.field_modulus))).to_bytes(64, "big")


def _scalar(rng: random.Random) -> bytes:
    return rng.choice((0, 1, 2, bls.curve_order, 2**256 - 1, rng.getrandbits(256))).to_bytes(32, "big")


def _blake2f(rng: random.Random) -> bytes:
    rounds = rng.choice((0, 1, 12, 1000))
    return rounds.to_bytes(4, "big") + rng.randbytes(208) + bytes([rng.choice((0, 1, 1, 2))])


def _point_evaluation(rng: random.Random) -> bytes:
    """The polynomials that are 0 and 1 everywhere, whose proof is the point at infinity, and one with a proof of its own."""
    infinity, anywhere = b"\xc0" + bytes(47), rng.choice((0, 1, 2**200)).to_bytes(32, "big")
    commitment, z, y, proof = rng.choice(
        (
            (infinity, anywhere, bytes(32), infinity),
            (_G1_COMPRESSED, anywhere, (1).to_bytes(32, "big"), infinity),
            tuple(map(bytes.fromhex, _EVALUATION)),
        )
    )
    return b"\x01" + hashlib.sha256(commitment).digest()[1:] + z + y + commitment + proof


_G1_COMPRESSED = bytes.fromhex("97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb")
_EVALUATION = (  # verify_kzg_proof_case_correct_proof_4_4 of the consensus specs
    "8f59a8d2a1a625a17f3fea0fe5eb8c896db3764f3185481bc22f91b4aaffcca25f26936857bc3a7c2539ea8ec3a952b7",
    "73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000000",
    "1522a4a7f34e1ea350ae07c29c96c7e79655aa926122e95fe69fcbd932ca49e9",
    "a62ad71d14c5719385c0686f1871430475bf3a00f0aa3f7b8dd99a9abc2160744faf0070725e00b60ad9a026a15b1a8c",
)


def _p256_verify(rng: random.Random) -> bytes:
    key, secret, digest = rng.getrandbits(200) + 1, rng.getrandbits(200) + 1, rng.randbytes(32)
    x, y = _p256_multiply(key)
    r = _p256_multiply(secret)[0] % _P256_ORDER
    s = pow(secret, -1, _P256_ORDER) * (int.from_bytes(digest, "big") + r * key) % _P256_ORDER
    return digest + b"".join(value.to_bytes(32, "big") for value in (r, s, x, y))


def _p256_multiply(scalar: int) -> tuple[int, int]:
    """A multiple of the generator, by doubling and adding (scalar below the order, not 0)."""
    result: tuple[int, int] | None = None
    for bit in f"{scalar:b}":
        if result is not None:
            result = _p256_add(result, result)
        if bit == "1":
            result = _P256_G if result is None else _p256_add(result, _P256_G)
    assert result is not None
    return result


def _p256_add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    above, below = (3 * a[0] * a[0] - 3, 2 * a[1]) if a == b else (b[1] - a[1], b[0] - a[0])
    slope = above * pow(below, -1, _P256)
    x = (slope * slope - a[0] - b[0]) % _P256
    return x, (slope * (a[0] - x) - a[1]) % _P256


_MAKERS = {
    1: _ecrecover,
    5: _modexp,
    6: lambda rng: _bn_point(rng) + _bn_point(rng),
    7: lambda rng: _bn_point(rng) + _scalar(rng),
    8: _bn_pairs,
    9: _blake2f,
    0xA: _point_evaluation,
    0xB: lambda rng: _bls_point1(rng) + _bls_point1(rng),
    0xC: lambda rng: b"".join(_bls_point1(rng) + _scalar(rng) for _ in range(rng.randrange(4))),
    0xD: lambda rng: _bls_point2(rng) + _bls_point2(rng),
    0xE: lambda rng: b"".join(_bls_point2(rng) + _scalar(rng) for _ in range(rng.randrange(3))),
    0xF: lambda rng: b"".join(_bls_point1(rng) + _bls_point2(rng) for _ in range(rng.randrange(3))),
    0x10: _bls_field,
    0x11: lambda rng: _bls_field(rng) + _bls_field(rng),
    0x100: _p256_verify,
}
