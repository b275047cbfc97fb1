"""JWT authentication of the Engine port: HS256 over a shared 32-byte secret, `iat` within a minute of now.

Every refusal is answered as HTTP 401 with the text of the error as op-geth words it (engine-api-observed 2.3).
Source: execution-apis src/engine/authentication.md; RFC 7519.
"""

import base64
import binascii
import hashlib
import hmac
import logging
import secrets
from pathlib import Path
from typing import Any

import orjson

from l2engine.errors import ConfigError, L2EngineError

log = logging.getLogger(__name__)

MAX_AGE_SECONDS = 60
SECRET_LENGTH = 32


class Unauthorized(L2EngineError):
    """A request without a good token; the text is the body of the 401."""


def check(header: str | None, secret: bytes, now: float) -> None:
    """Accept an Authorization header or raise `Unauthorized`. `now` is unix seconds."""
    if header is None or not header.startswith("Bearer ") or not header[7:].strip():
        raise Unauthorized("missing token")
    claims = _verify(header[7:].strip(), secret)
    expires, not_before, issued = (_date(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is not None and now > expires:
        raise Unauthorized("token is expired")
    if not_before is not None and now < not_before:
        raise Unauthorized("token is not valid yet")
    if issued is None:
        raise Unauthorized("missing issued-at")
    if now - issued > MAX_AGE_SECONDS:
        raise Unauthorized("stale token")
    if issued - now > MAX_AGE_SECONDS:
        raise Unauthorized("future token")


def make_token(secret: bytes, now: float) -> str:
    """A token that `check` accepts, for clients of the Engine port. `now` is unix seconds."""
    signed = _encode(b'{"alg":"HS256","typ":"JWT"}') + "." + _encode(orjson.dumps({"iat": int(now)}))
    return signed + "." + _encode(hmac.new(secret, signed.encode(), hashlib.sha256).digest())


def load_secret(path: Path) -> bytes:
    """The secret in a file of 64 hex digits. A missing file is created with a new one, readable by its owner only; so is an empty
    one filled, which a full disk or a kill may have left. `ConfigError` for any other content."""
    if not path.exists() or (path.is_file() and not path.read_bytes().strip()):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text("0x" + secrets.token_bytes(SECRET_LENGTH).hex())
        log.info("Made a new JWT secret", extra={"fields": {"path": path}})
    try:
        secret = bytes.fromhex(path.read_text().strip().removeprefix("0x"))
    except ValueError:  # includes UnicodeDecodeError
        secret = b""
    if len(secret) != SECRET_LENGTH:
        raise ConfigError(f"invalid JWT secret in {path}: want 64 hex digits")
    return secret


def _verify(token: str, secret: bytes) -> dict[str, Any]:
    """The claims of a token, after its signature is verified. `Unauthorized` otherwise."""
    parts = token.split(".")
    if len(parts) != 3:
        raise Unauthorized("token contains an invalid number of segments")
    header = _json(_decode(parts[0]))
    claims = _json(_decode(parts[1]))
    algorithm = header.get("alg")
    if algorithm != "HS256":
        known = isinstance(algorithm, str) and algorithm in _OTHER_ALGORITHMS
        raise Unauthorized(f"signing method {algorithm} is invalid" if known else "signing method (alg) is unavailable.")
    expected = hmac.new(secret, f"{parts[0]}.{parts[1]}".encode(), hashlib.sha256).digest()
    if not hmac.compare_digest(_decode(parts[2]), expected):
        raise Unauthorized("signature is invalid")
    return claims


_OTHER_ALGORITHMS = frozenset(
    ("none", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
)
_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    for index, character in enumerate(text):
        if character not in _ALPHABET:
            raise Unauthorized(f"illegal base64 data at input byte {index}")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise Unauthorized(f"illegal base64 data at input byte {len(text) - len(text) % 4}") from None


def _json(data: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise Unauthorized("token is malformed") from None
    if not isinstance(value, dict):
        raise Unauthorized("token is malformed")
    return value


def _date(claims: dict[str, Any], name: str) -> float | None:
    """A NumericDate claim."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unauthorized(f"{name} is invalid")
    return value
