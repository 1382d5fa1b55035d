"""Who sent a request: API keys, HMAC-SHA256 and Ed25519 signatures, and the time window.

A REST signature covers the query string followed by the body, byte for byte as sent, without the `signature` part. A
WebSocket API signature covers the parameters sorted by name as `k=v` joined with `&`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final, Protocol
from urllib.parse import unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from cex.sandbox import errors
from cex.sandbox.accounts import Account
from cex.sandbox.config import AccountSpec
from cex.sandbox.params import Params
from domain import InputError

_KEY: Final = re.compile(r"[!-~]{1,128}")
_RECV_WINDOW_MS: Final = 5_000
_RECV_WINDOW_MAX_MS: Final = 60_000
_AHEAD_MAX_MS: Final = 1_000
_MICROSECONDS_FROM: Final = 10**15


class Verifier(Protocol):
    def verifies(self, payload: bytes, signature: str) -> bool: ...


class HmacVerifier:
    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def verifies(self, payload: bytes, signature: str) -> bool:
        expected = hmac.new(self._secret, payload, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected.encode(), signature.lower().encode())


class Ed25519Verifier:
    def __init__(self, pem: str) -> None:
        try:
            key = load_pem_public_key(pem.encode())
        except ValueError as exc:
            raise InputError("not a PEM public key") from exc
        if not isinstance(key, Ed25519PublicKey):
            raise InputError("not an Ed25519 public key")
        self._key = key

    def verifies(self, payload: bytes, signature: str) -> bool:
        try:
            self._key.verify(base64.b64decode(signature, validate=True), payload)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True


class KeyRing:
    """The API keys the exchange knows."""

    def __init__(self) -> None:
        self._keys: dict[str, tuple[Account, Verifier]] = {}
        self._withdrawing: set[str] = set()

    def add(self, spec: AccountSpec, account: Account) -> None:
        verifier: Verifier
        if spec.secret is not None:
            verifier = HmacVerifier(spec.secret)
        elif spec.ed25519_public_key is not None:
            try:
                verifier = Ed25519Verifier(spec.ed25519_public_key)
            except InputError as exc:
                raise InputError(f"account {spec.name}: {exc}") from exc
        else:
            raise InputError(f"account {spec.name} has neither secret nor public key")
        self._keys[spec.api_key] = account, verifier
        if spec.withdraw_api_key is not None and spec.withdraw_secret is not None:
            self._keys[spec.withdraw_api_key] = account, HmacVerifier(spec.withdraw_secret)
            self._withdrawing.add(spec.withdraw_api_key)

    def may_withdraw(self, api_key: str | None) -> bool:
        """Whether a key is one for withdrawals; those are for nothing that trades."""
        return api_key in self._withdrawing

    def account(self, api_key: str | None) -> Account:
        """Find whose key it is; proves nothing.

        Raises:
            ApiError: -2014 malformed or missing, -2015 unknown.
        """
        return self._find(api_key)[0]

    def authenticate(self, api_key: str | None, payload: bytes, signature: str | None) -> Account:
        """Check a signature and say whose it is.

        Raises:
            ApiError: -2014, -2015, -1102 (no signature) or -1022 (a wrong one).
        """
        account, verifier = self._find(api_key)
        if not signature:
            raise errors.missing_parameter("signature")
        if not verifier.verifies(payload, signature):
            raise errors.invalid_signature()
        return account

    def _find(self, api_key: str | None) -> tuple[Account, Verifier]:
        if not api_key or not _KEY.fullmatch(api_key):
            raise errors.bad_api_key_format()
        found = self._keys.get(api_key)
        if found is None:
            raise errors.unknown_api_key()
        return found


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
    """Check a request's `timestamp` (milliseconds or microseconds) against its `recvWindow`.

    Raises:
        ApiError: -1102, -1131 or -1021.
    """
    params.required("timestamp")
    timestamp = params.integer("timestamp") or 0
    window = params.amount("recvWindow")
    window_ms = _RECV_WINDOW_MS if window is None else window // 10**8
    if window_ms > _RECV_WINDOW_MAX_MS:
        raise errors.ApiError(-1131, "recvWindow must be less than 60000.")
    if timestamp >= _MICROSECONDS_FROM:
        timestamp //= 1000
    if timestamp > now_ms + _AHEAD_MAX_MS:
        raise errors.outside_recv_window(ahead=True)
    if now_ms - timestamp > window_ms:
        raise errors.outside_recv_window(ahead=False)
