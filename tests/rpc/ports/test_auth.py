"""Tokens of the Engine port: what passes, and the text of each refusal."""

import base64
import hashlib
import hmac
import json

import pytest

from l2engine.errors import ConfigError
from rpc.ports import auth

SECRET = bytes(range(32))
NOW = 1_700_000_000


def token(claims: dict[str, object] | None = None, header: dict[str, object] | None = None, secret: bytes = SECRET) -> str:
    def part(value: bytes) -> bytes:
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    claims = {"iat": NOW} if claims is None else claims
    signed = part(json.dumps(header or {"alg": "HS256", "typ": "JWT"}).encode()) + b"." + part(json.dumps(claims).encode())
    return (signed + b"." + part(hmac.new(secret, signed, hashlib.sha256).digest())).decode()


@pytest.mark.parametrize(
    "claims", [{"iat": NOW}, {"iat": NOW - 59}, {"iat": NOW + 59}, {"iat": NOW, "exp": NOW + 5}, {"iat": NOW, "id": "x"}]
)
def test_good_tokens_pass(claims):
    auth.check(f"Bearer {token(claims)}", SECRET, NOW)


def test_made_tokens_pass():
    auth.check(f"Bearer {auth.make_token(SECRET, NOW)}", SECRET, NOW)


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (None, "missing token"),
        ("", "missing token"),
        ("Bearer ", "missing token"),
        ("Basic abc", "missing token"),
        ("bearer " + token(), "missing token"),
        ("Bearer " + token(secret=bytes(32)), "signature is invalid"),
        ("Bearer x.y.z", "illegal base64 data at input byte 0"),
        ("Bearer " + token(header={"alg": "HS512"}), "signing method HS512 is invalid"),
        ("Bearer " + token(header={"alg": "none"}), "signing method none is invalid"),
        ("Bearer " + token({"iat": NOW - 61}), "stale token"),
        ("Bearer " + token({"iat": NOW + 65}), "future token"),
        ("Bearer " + token({}), "missing issued-at"),
        ("Bearer " + token({"iat": NOW, "exp": NOW - 1}), "token is expired"),
        ("Bearer " + token({"iat": "now"}), "iat is invalid"),
        ("Bearer abc", "token contains an invalid number of segments"),
        ("Bearer " + "..", "token is malformed"),
    ],
)
def test_refusals(header, text):
    with pytest.raises(auth.Unauthorized) as caught:
        auth.check(header, SECRET, NOW)
    assert str(caught.value) == text


def test_secret_file_is_made_once_and_kept(tmp_path):
    path = tmp_path / "deep" / "jwt.hex"
    secret = auth.load_secret(path)
    assert auth.load_secret(path) == secret
    assert path.stat().st_mode & 0o077 == 0
    path.write_text(secret.hex() + "\n")
    assert auth.load_secret(path) == secret
    path.write_text("0x1234")
    with pytest.raises(ConfigError, match="invalid JWT secret"):
        auth.load_secret(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="invalid JWT secret"):
        auth.load_secret(path)
