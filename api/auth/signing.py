"""Signed requests: each carries a signature over all of itself, is good for seconds, and passes once.

The caller signs these lines, joined by newlines, as they are sent:

    timestamp             milliseconds since the epoch        header API-Timestamp
    method                GET, POST, …, upper case
    path?query            the path as it stands in the request line; the question mark only with a query
    sha256(body)          lower-case hex; of no bytes where there is no body
    nonce                 16 to 64 letters, digits, - or _    header API-Nonce

with Ed25519 (we hold the public key) or HMAC-SHA256 (both hold the secret), and sends the signature as base64url
without padding in `API-Signature`, the key's id in `API-Key`. `API-Window` shortens or lengthens the five seconds for
which the timestamp is good, up to thirty. Nothing here does I/O or reads a clock.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from api.core.errors import Unauthenticated
from domain import InputError
from runtime.base64url import decode64, encode64

WINDOW_MS: Final = 5_000
WINDOW_MS_MAX: Final = 30_000
AHEAD_MS: Final = 1_000
"""So much may the caller's clock be ahead of ours."""

CREDENTIALS: Final = ("API-Key", "API-Timestamp", "API-Nonce", "API-Signature", "API-Window")
"""The headers of a signed request."""

_TIMESTAMP: Final = re.compile(r"[0-9]{13}")
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")
_KEY_ID: Final = re.compile(r"key_[a-z2-7]{16}")
_WINDOW: Final = re.compile(r"[1-9][0-9]{0,4}")
_SIGNATURE: Final = re.compile(r"[A-Za-z0-9_-]{43}|[A-Za-z0-9_-]{86}")

# Under a point of small order, signatures verify over messages that nobody signed. The y coordinates of all of them.
_SMALL_ORDER_Y: Final = frozenset(
    int.from_bytes(bytes.fromhex(text), "little")
    for text in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)
_FIELD: Final = 2**255 - 19


class Algorithm(StrEnum):
    """How a key signs."""

    ED25519 = "ed25519"
    HMAC = "hmac-sha256"


def canonical(timestamp: str, method: str, target: str, body: bytes, nonce: str) -> bytes:
    """The bytes that are signed. `target` is path?query as sent."""
    return "\n".join((timestamp, method, target, hashlib.sha256(body).hexdigest(), nonce)).encode("latin-1")


def request_digest(method: str, target: str, body: bytes) -> bytes:
    """What names a request wherever a person confirms it: SHA-256 of method, path?query and the body's SHA-256."""
    return hashlib.sha256("\n".join((method, target, hashlib.sha256(body).hexdigest())).encode("latin-1")).digest()


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a signed request says of itself, well-formed but not yet believed."""

    key: str
    timestamp: str
    nonce: str
    signature: bytes
    window_ms: int

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> Self:
        """Read the headers; names in lower case.

        Raises:
            Unauthenticated: One is missing or malformed.
        """
        key = _header(headers, "API-Key", _KEY_ID, "key_ and 16 characters")
        timestamp = _header(headers, "API-Timestamp", _TIMESTAMP, "milliseconds since the epoch, 13 digits")
        nonce = _header(headers, "API-Nonce", _NONCE, "16 to 64 letters, digits, - or _")
        signature = _header(headers, "API-Signature", _SIGNATURE, "base64url without padding")
        window_ms = WINDOW_MS
        if "api-window" in headers:
            window_ms = int(_header(headers, "API-Window", _WINDOW, f"milliseconds, at most {WINDOW_MS_MAX}"))
            if window_ms > WINDOW_MS_MAX:
                raise _malformed("API-Window", f"at most {WINDOW_MS_MAX} ms")
        try:
            return cls(key, timestamp, nonce, decode64(signature), window_ms)
        except InputError as exc:
            raise _malformed("API-Signature", "base64url without padding") from exc

    @property
    def until_ms(self) -> int:
        """The last moment at which it passes; its nonce is remembered so long."""
        return int(self.timestamp) + self.window_ms

    def check_time(self, now_ms: int) -> None:
        """Stop a request that is too old, or from a clock that is ahead.

        Raises:
            Unauthenticated: Code `stale_request`, with our clock.
        """
        made = int(self.timestamp)
        if now_ms - made > self.window_ms or made - now_ms > AHEAD_MS:
            raise Unauthenticated(
                f"API-Timestamp is {now_ms - made} ms behind this server's clock; {self.window_ms} are allowed",
                code="stale_request",
                hint=f"this server's clock says {now_ms}; is yours set by NTP?",
            )


class Verifier:
    """The half of a key that we hold."""

    __slots__ = ("_mac", "_public", "_secret", "algorithm")

    def __init__(self, algorithm: Algorithm, material: bytes) -> None:
        self.algorithm = algorithm
        self._public = Ed25519PublicKey.from_public_bytes(material) if algorithm is Algorithm.ED25519 else None
        self._secret = material
        # Of the bytes that come before each message. `hmac.digest` would begin anew each time, and let another thread
        # run in between: that costs more than the whole signature.
        self._mac = hmac.new(material, digestmod="sha256") if algorithm is Algorithm.HMAC else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Verifier) and (self.algorithm, self._secret) == (other.algorithm, other._secret)

    def __hash__(self) -> int:
        return hash((self.algorithm, self._secret))

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether the key's holder signed the message."""
        if self._mac is not None:
            mac = self._mac.copy()
            mac.update(message)
            return hmac.compare_digest(mac.digest(), signature)
        if self._public is None:
            return False
        try:
            self._public.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def __repr__(self) -> str:
        return f"Verifier({self.algorithm}, ***)"


def sign_request(
    key: str,
    secret: bytes | Ed25519PrivateKey,
    *,
    method: str,
    target: str,
    body: bytes,
    now_ms: int,
    nonce: str,
    window_ms: int | None = None,
) -> dict[str, str]:
    """Give the headers of a signed request: what a client does, for ours and as an example of it."""
    timestamp = str(now_ms)
    message = canonical(timestamp, method, target, body, nonce)
    signature = hmac.digest(secret, message, "sha256") if isinstance(secret, bytes) else secret.sign(message)
    headers = {
        "API-Key": key,
        "API-Timestamp": timestamp,
        "API-Nonce": nonce,
        "API-Signature": encode64(signature),
    }
    return headers if window_ms is None else headers | {"API-Window": str(window_ms)}


def read_public_key(text: str) -> bytes:
    """Read a customer's Ed25519 public key: PEM, or its 32 bytes in base64 or base64url.

    Raises:
        InputError: Not that, or a key under which forged signatures verify.
    """
    text = text.strip()
    if text.startswith("-----BEGIN PUBLIC KEY-----"):
        try:
            key = load_pem_public_key(text.encode())
        except (ValueError, UnsupportedAlgorithm) as exc:
            raise InputError("the public key is not PEM that can be read") from exc
        if not isinstance(key, Ed25519PublicKey):
            raise InputError("the public key is not an Ed25519 key")
        raw = key.public_bytes_raw()
    else:
        try:
            raw = decode64(text.rstrip("=").replace("+", "-").replace("/", "_"))
        except InputError as exc:
            raise InputError("an Ed25519 public key is PEM, or 32 bytes in base64") from exc
    if len(raw) != 32:
        raise InputError(f"an Ed25519 public key has 32 bytes, this has {len(raw)}")
    if (int.from_bytes(raw, "little") & (2**255 - 1)) % _FIELD in _SMALL_ORDER_Y:
        raise InputError("this Ed25519 key is one of small order: anybody could sign for it")
    return raw


def is_key_id(text: str) -> bool:
    """Whether a text has the form of a key's id; whether there is such a key is another question."""
    return _KEY_ID.fullmatch(text) is not None


def _header(headers: Mapping[str, str], name: str, form: re.Pattern[str], wanted: str) -> str:
    value = headers.get(name.lower(), "")
    if not form.fullmatch(value):
        raise _malformed(name, wanted)
    return value


def _malformed(name: str, wanted: str) -> Unauthenticated:
    return Unauthenticated(f"{name} is missing or malformed: {wanted}", code="malformed_signature")
