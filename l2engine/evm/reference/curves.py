"""The curve arithmetic behind the precompiles: secp256k1, P-256, bn254 (EIP-196, 197) and BLS12-381 (EIP-2537).

Bytes in, bytes out, in the encodings of the EIPs; `ValueError` with geth's text for what is not a point, a field element
or in the subgroup. The work is done by native libraries, because py-evm's own bn254 and BLS code takes minutes for inputs that
fit in a block. Gas is the business of `precompiles.py`.
"""

from collections.abc import Callable
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar
from zksnake._algebra import ec_bn254

from l2engine.types.signature import address_of, recover_public_key

# ---- secp256k1 and P-256 --------------------------------------------------------------------------------------------


def ecrecover(message_hash: bytes, v: int, r: int, s: int) -> bytes | None:
    """The signer's address, or None when there is none. `v` is 27 or 28; s may lie in the upper half, unlike in transactions."""
    if v not in (27, 28):
        return None
    public = recover_public_key(message_hash, v - 27, r, s)
    return None if public is None else address_of(public)


_P256_ALGORITHM = ec.ECDSA(utils.Prehashed(hashes.SHA256()))


def p256_verify(message_hash: bytes, r: int, s: int, x: int, y: int) -> bool:
    """Whether (r, s) is the signature of a 32-byte hash under the P-256 key (x, y) (EIP-7951)."""
    try:
        key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        key.verify(utils.encode_dss_signature(r, s), message_hash, _P256_ALGORITHM)
    except (ValueError, InvalidSignature):
        return False
    return True


# ---- bn254 ----------------------------------------------------------------------------------------------------------

_BN254_P = 21888242871839275222246405745257275088696311157297823662689037894645226208583
_BN254_INFINITY = ec_bn254.PointG1.identity()
_BN254_ONE = ec_bn254.multi_pairing([ec_bn254.g1(), -ec_bn254.g1()], [ec_bn254.g2(), ec_bn254.g2()])


def bn254_add(data: bytes) -> bytes:
    """The sum of two points, 64 bytes each."""
    return _bn254_encode(_bn254_g1(data[:64]) + _bn254_g1(data[64:128]))


def bn254_mul(data: bytes) -> bytes:
    """A point (64 bytes) times a scalar (32 bytes)."""
    return _bn254_encode(_bn254_g1(data[:64]) * int.from_bytes(data[64:96], "big"))


def bn254_pairing(data: bytes) -> bool:
    """Whether the product of the pairings is one; `data` is any number of (G1, G2) pairs of 192 bytes."""
    g1s, g2s = [], []
    for start in range(0, len(data), 192):
        g1, g2 = _bn254_g1(data[start : start + 64]), _bn254_g2(data[start + 64 : start + 192])
        if not g1.is_zero() and g2 is not None:
            g1s.append(g1)
            g2s.append(g2)
    return not g1s or bool(ec_bn254.multi_pairing(g1s, g2s) == _BN254_ONE)


def _bn254_g1(data: bytes) -> Any:
    x, y = int.from_bytes(data[:32], "big"), int.from_bytes(data[32:], "big")
    if x >= _BN254_P or y >= _BN254_P:
        raise ValueError("invalid fp.Element encoding")
    if x == y == 0:
        return _BN254_INFINITY
    # Checked here because the library aborts with a panic (and a message on stderr) instead of an exception.
    if (y * y - x * x * x - 3) % _BN254_P:
        raise ValueError("point is not on curve")
    return ec_bn254.PointG1(x, y)


def _bn254_g2(data: bytes) -> Any:
    """The G2 point, or None for infinity. Reading the compressed form checks curve and subgroup without panicking."""
    x1, x0, y1, y0 = (int.from_bytes(data[i : i + 32], "big") for i in (0, 32, 64, 96))
    if max(x1, x0, y1, y0) >= _BN254_P:
        raise ValueError("invalid fp.Element encoding")
    if x1 == x0 == y1 == y0 == 0:
        return None
    negative = (y1 or y0) > _BN254_P // 2  # arkworks orders Fp2 by its second coordinate first
    compressed = bytearray(x0.to_bytes(32, "little") + x1.to_bytes(32, "little"))
    compressed[-1] |= 0x80 if negative else 0
    try:
        point = ec_bn254.PointG2.from_bytes(bytes(compressed))
    except ValueError as error:
        raise ValueError("point is not on curve") from error
    if [int(part) for part in point.y] != [y0, y1]:
        raise ValueError("point is not on curve")
    return point


def _bn254_encode(point: Any) -> bytes:
    return bytes(64) if point.is_zero() else int(point.x).to_bytes(32, "big") + int(point.y).to_bytes(32, "big")


# ---- BLS12-381 ------------------------------------------------------------------------------------------------------


_BLS_P = bytes.fromhex("1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab")


def bls_g1_add(data: bytes) -> bytes:
    """The sum of two G1 points, 128 bytes each; they need not lie in the subgroup."""
    return _pad(_g1_on_curve(data[:128]) + _g1_on_curve(data[128:]))


def bls_g2_add(data: bytes) -> bytes:
    """The sum of two G2 points, 256 bytes each; they need not lie in the subgroup."""
    return _pad(_g2_on_curve(data[:256]) + _g2_on_curve(data[256:]))


def bls_g1_msm(data: bytes) -> bytes:
    """The sum of scalar times point over items of 160 bytes."""
    starts = range(0, len(data), 160)
    points = [_g1(data[i : i + 128]) for i in starts]
    return _pad(G1Point.multiexp_unchecked(points, [Scalar.from_be_bytes_mod_order(data[i + 128 : i + 160]) for i in starts]))


def bls_g2_msm(data: bytes) -> bytes:
    """The sum of scalar times point over items of 288 bytes."""
    starts = range(0, len(data), 288)
    points = [_g2(data[i : i + 256]) for i in starts]
    return _pad(G2Point.multiexp_unchecked(points, [Scalar.from_be_bytes_mod_order(data[i + 256 : i + 288]) for i in starts]))


def bls_pairing(data: bytes) -> bool:
    """Whether the product of the pairings is one; items are (G1, G2) pairs of 384 bytes."""
    starts = range(0, len(data), 384)
    return bool(GT.pairing_check([_g1(data[i : i + 128]) for i in starts], [_g2(data[i + 128 : i + 384]) for i in starts]))


def bls_map_fp_to_g1(data: bytes) -> bytes:
    """A field element (64 bytes) mapped to the subgroup of G1."""
    return _pad(G1Point.map_from_fp_be(_unpad(data)))


def bls_map_fp2_to_g2(data: bytes) -> bytes:
    """An Fp2 element (128 bytes) mapped to the subgroup of G2."""
    return _pad(G2Point.map_from_fp2_be(_unpad(data)))


# [tau]G2 of the KZG ceremony (EIP-4844's trusted setup); verifying one proof needs nothing else from the setup.
_KZG_TAU_G2 = G2Point.from_compressed_bytes(
    bytes.fromhex(
        "b5bfd7dd8cdeb128843bc287230af38926187075cbfbefa81009a2ce615ac53d2914e5870cb452d2afaaab24f3499f72185cbfee53492714734429b7b38608e23926c911cceceac9a36851477ba4c60b087041de621000edc98edada20c1def2"
    )
)
_G1, _G2 = G1Point(), G2Point()


def kzg_verify(commitment: bytes, z: bytes, y: bytes, proof: bytes) -> bool:
    """Whether the polynomial behind `commitment` takes the value y at z: e(C - y*G1, G2) = e(proof, tau*G2 - z*G2).

    Commitment and proof are compressed G1 points (48 bytes), z and y scalars below the group order (32 bytes).
    """
    value = _g1_decompress(commitment) - _G1 * Scalar.from_be_bytes(y)
    divisor = _KZG_TAU_G2 - _G2 * Scalar.from_be_bytes(z)
    return bool(GT.pairing_check([value, -_g1_decompress(proof)], [_G2, divisor]))


def _g1_decompress(data: bytes) -> Any:
    point = G1Point.from_compressed_bytes(data)
    if point.to_compressed_bytes() != data:  # arkworks takes any bytes after the flag for infinity, Ethereum only zeros
        raise ValueError("bls12-381: point is not in its canonical form")
    return point


def _g1_on_curve(data: bytes) -> Any:
    return _on_curve(G1Point.from_xy_bytes_unchecked_be, data)


def _g2_on_curve(data: bytes) -> Any:
    return _on_curve(G2Point.from_xy_bytes_unchecked_be, data)


def _on_curve(decode: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        return decode(_unpad(data))  # "unchecked" leaves out the subgroup only
    except _NotAFieldElement:
        raise
    except ValueError as error:
        raise ValueError("invalid point: not on curve") from error


def _g1(data: bytes) -> Any:
    point = _g1_on_curve(data)
    if not point.is_in_subgroup():
        raise ValueError("g1 point is not on correct subgroup")
    return point


def _g2(data: bytes) -> Any:
    point = _g2_on_curve(data)
    if not point.is_in_subgroup():
        raise ValueError("g2 point is not on correct subgroup")
    return point


class _NotAFieldElement(ValueError):
    """48 bytes that are not below the modulus, or not padded with zeros."""


def _unpad(data: bytes) -> bytes:
    """EIP-2537 writes a field element of 48 bytes into 64, zeros first."""
    parts = []
    for i in range(0, len(data), 64):
        if any(data[i : i + 16]):
            raise _NotAFieldElement("invalid field element top bytes")
        part = data[i + 16 : i + 64]
        if part >= _BLS_P:
            raise _NotAFieldElement("invalid fp.Element encoding")
        parts.append(part)
    return b"".join(parts)


def _pad(point: Any) -> bytes:
    data = point.to_xy_bytes_be()
    return b"".join(bytes(16) + data[i : i + 48] for i in range(0, len(data), 48))
