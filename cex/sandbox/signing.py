"""Who sent a request: API keys, HMAC-SHA256, Ed25519 and RSA signatures, and the time window.

A REST signature covers the query string followed by the body, byte for byte as sent, without the `signature` part. A
WebSocket API signature covers the parameters sorted by name as `k=v` joined with `&`. Since 2026-01-15 the venue also
refuses a signature over text that was percent-encoded only afterwards; where the bytes count, it never fitted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from enum import Enum, auto
from typing import ClassVar, Final, Protocol
from urllib.parse import unquote

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from cex.sandbox import errors
from cex.sandbox.accounts import Account
from cex.sandbox.config import UNIT, AccountSpec
from cex.sandbox.params import Params
from domain import InputError

_KEY: Final = re.compile(r"[!-~]{1,128}")
_RECV_WINDOW_MS: Final = 5_000
_RECV_WINDOW_MAX_MS: Final = 60_000
_AHEAD_MAX_MS: Final = 1_000
_MICROSECONDS_FROM: Final = 10**15
_RSA_BITS: Final = range(2048, 4096 + 1)


class Right(Enum):
    """What a key must be for. An account's key for withdrawals is for nothing that trades, and the other way round."""

    TRADE = auto()
    WITHDRAW = auto()
    EITHER = auto()


class Verifier(Protocol):
    kind: ClassVar[str]
    """As the venue names it."""

    def verifies(self, payload: bytes, signature: str) -> bool: ...


class HmacVerifier:
    kind: ClassVar = "HMAC_SHA256"

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def verifies(self, payload: bytes, signature: str) -> bool:
        expected = hmac.new(self._secret, payload, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected.encode(), signature.lower().encode())


class Ed25519Verifier:
    kind: ClassVar = "ED25519"

    def __init__(self, pem: str) -> None:
        key = _public_key(pem)
        if not isinstance(key, Ed25519PublicKey):
            raise InputError("not an Ed25519 public key")
        self._key = key

    def verifies(self, payload: bytes, signature: str) -> bool:
        try:
            self._key.verify(base64.b64decode(signature, validate=True), payload)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True


class RsaVerifier:
    """RSASSA-PKCS1-v1_5 with SHA-256, base64."""

    kind: ClassVar = "RSA"

    def __init__(self, pem: str) -> None:
        key = _public_key(pem)
        if not isinstance(key, RSAPublicKey) or key.key_size not in _RSA_BITS:
            raise InputError("not an RSA public key of 2,048 to 4,096 bits")
        self._key = key

    def verifies(self, payload: bytes, signature: str) -> bool:
        try:
            self._key.verify(base64.b64decode(signature, validate=True), payload, PKCS1v15(), SHA256())
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True


def _public_key(pem: str) -> object:
    try:
        return load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise InputError("not a PEM public key") from exc


class KeyRing:
    """The API keys the exchange knows."""

    def __init__(self) -> None:
        self._keys: dict[str, tuple[Account, Verifier]] = {}
        self._withdrawing: set[str] = set()

    def add(self, spec: AccountSpec, account: Account) -> None:
        try:
            verifier = _verifier(spec)
        except InputError as exc:
            raise InputError(f"account {spec.name}: {exc}") from exc
        self._keys[spec.api_key] = account, verifier
        if spec.withdraw_api_key is not None and spec.withdraw_secret is not None:
            self._keys[spec.withdraw_api_key] = account, HmacVerifier(spec.withdraw_secret)
            self._withdrawing.add(spec.withdraw_api_key)

    def kind(self, api_key: str) -> str:
        """How a known key signs, as the venue names it."""
        return self._find(api_key)[1].kind

    def account(self, api_key: str | None, right: Right = Right.TRADE) -> Account:
        """Find whose key it is; proves nothing.

        Raises:
            ApiError: -2014 malformed or missing, -2015 unknown or not for this.
        """
        account, _ = self._find(api_key)
        self._check_right(api_key, right)
        return account

    def authenticate(
        self, api_key: str | None, payload: bytes, signature: str | None, right: Right = Right.TRADE
    ) -> Account:
        """Check a signature and say whose it is.

        Raises:
            ApiError: -2014, -2015 (unknown, or not for this), -1102 (no signature) or -1022 (a wrong one).
        """
        account, verifier = self._find(api_key)
        if not signature:
            raise errors.missing_parameter("signature")
        if not verifier.verifies(payload, signature):
            raise errors.invalid_signature()
        self._check_right(api_key, right)
        return account

    def _check_right(self, api_key: str | None, right: Right) -> None:
        if right is not Right.EITHER and (right is Right.WITHDRAW) != (api_key in self._withdrawing):
            raise errors.unknown_api_key()

    def _find(self, api_key: str | None) -> tuple[Account, Verifier]:
        if not api_key or not _KEY.fullmatch(api_key):
            raise errors.bad_api_key_format()
        found = self._keys.get(api_key)
        if found is None:
            raise errors.unknown_api_key()
        return found


def _verifier(spec: AccountSpec) -> Verifier:
    if spec.secret is not None:
        return HmacVerifier(spec.secret)
    if spec.ed25519_public_key is not None:
        return Ed25519Verifier(spec.ed25519_public_key)
    if spec.rsa_public_key is not None:
        return RsaVerifier(spec.rsa_public_key)
    raise InputError("has neither secret nor public key")


def rest_payload(query: str, body: str) -> tuple[bytes, str | None]:
    """Split what a REST request sent into the signed payload and the signature."""
    signature = None
    kept = []
    for part in (query, body):
        pieces = []
        for piece in part.split("&"):
            if piece.startswith("signature="):
                signature = unquote(piece.removeprefix("signature="))
            else:
                pieces.append(piece)
        kept.append("&".join(pieces))
    return "".join(kept).encode(), signature


def ws_payload(params: Mapping[str, str]) -> bytes:
    """Write a WebSocket API request's parameters as they are signed."""
    return "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature").encode()


def check_time(params: Params, now_ms: int) -> None:
    """Check a request's `timestamp` (milliseconds or microseconds) against its `recvWindow`, which has three decimals.

    Raises:
        ApiError: -1102, -1111, -1131 or -1021.
    """
    params.required("timestamp")
    timestamp_us = params.integer("timestamp") or 0
    if timestamp_us < _MICROSECONDS_FROM:
        timestamp_us *= 1_000
    window = params.amount("recvWindow")
    window_us = _RECV_WINDOW_MS * 1_000
    if window is not None:
        window_us, finer = divmod(window, UNIT // 1_000)
        if finer:
            raise errors.too_precise("recvWindow")
    if window_us > _RECV_WINDOW_MAX_MS * 1_000:
        raise errors.ApiError(-1131, "recvWindow must be less than 60000.")
    now_us = now_ms * 1_000
    if timestamp_us > now_us + _AHEAD_MAX_MS * 1_000:
        raise errors.outside_recv_window(ahead=True)
    if now_us - timestamp_us > window_us:
        raise errors.outside_recv_window(ahead=False)
