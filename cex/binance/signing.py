"""Signatures of one API key: HMAC-SHA256 (hex), Ed25519 and RSA (base64), by what the secret looks like.

REST signs the query string as sent, percent-encoded; the WebSocket API signs its parameters sorted by name.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Callable, Mapping
from urllib.parse import quote, urlencode

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from domain import InputError
from runtime import Secret


class Signer:
    """Signs for one API key. Has no way to show its secret."""

    __slots__ = ("_sign", "api_key", "can_log_on", "is_hmac")

    def __init__(self, api_key: str, secret: Secret) -> None:
        """Read the secret: a PEM private key (not encrypted), or else the text of an HMAC key.

        Raises:
            InputError: A PEM that is no such key.
        """
        self.api_key = api_key
        text = secret.reveal().strip()
        self.is_hmac = not text.startswith("-----BEGIN")
        self.can_log_on = False
        """Whether the venue takes the key for a session, in which nothing is signed any more: Ed25519 only."""
        self._sign: Callable[[bytes], str]
        if self.is_hmac:
            self._sign = _hmac(text)
        else:
            self._sign, self.can_log_on = _private_key(text)

    def sign(self, payload: str) -> str:
        """Sign text; the signature as it stands in a message, not percent-encoded."""
        return self._sign(payload.encode())

    def query(self, params: Mapping[str, str | int]) -> str:
        """Write parameters as a signed query string."""
        payload = urlencode(params)
        return f"{payload}&signature={quote(self.sign(payload), safe='')}"

    def message(self, params: Mapping[str, str | int]) -> dict[str, str | int]:
        """Give parameters of the WebSocket API with key and signature."""
        whole = {**params, "apiKey": self.api_key}
        payload = "&".join(f"{name}={whole[name]}" for name in sorted(whole))
        return {**whole, "signature": self.sign(payload)}

    def __repr__(self) -> str:
        return "Signer(***)"


def _hmac(text: str) -> Callable[[bytes], str]:
    key = text.encode()
    return lambda payload: hmac.digest(key, payload, "sha256").hex()


def _private_key(pem: str) -> tuple[Callable[[bytes], str], bool]:
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise InputError(f"the secret is no private key in PEM ({type(exc).__name__})") from None
    if isinstance(key, Ed25519PrivateKey):
        return (lambda payload: b64encode(key.sign(payload)).decode()), True
    if isinstance(key, RSAPrivateKey):
        return (lambda payload: b64encode(key.sign(payload, PKCS1v15(), SHA256())).decode()), False
    raise InputError("the secret is a private key of a kind that the venue does not take", hint="Ed25519 or RSA")
