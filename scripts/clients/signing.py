"""Signs requests with an API key: docs/api/auth.md has the five lines."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Generator

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from .client import AuthenticatedClient


class SignedRequests(httpx.Auth):
    """Signs what httpx sends. `secret` is the bytes of an HMAC secret, or an Ed25519 private key."""

    requires_request_body = True

    def __init__(self, key: str, secret: bytes | Ed25519PrivateKey) -> None:
        self._key, self._secret = key, secret

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        timestamp, nonce = str(time.time_ns() // 1_000_000), secrets.token_hex(16)
        target = request.url.raw_path.decode("ascii")
        body = hashlib.sha256(request.content).hexdigest()
        message = "\n".join((timestamp, request.method, target, body, nonce)).encode()
        if isinstance(self._secret, bytes):
            signature = hmac.digest(self._secret, message, "sha256")
        else:
            signature = self._secret.sign(message)
        request.headers.pop("Authorization", None)
        request.headers["API-Key"] = self._key
        request.headers["API-Timestamp"] = timestamp
        request.headers["API-Nonce"] = nonce
        request.headers["API-Signature"] = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
        yield request


def signed_client(base_url: str, key: str, secret: bytes | Ed25519PrivateKey) -> AuthenticatedClient:
    """A client whose every request is signed."""
    return AuthenticatedClient(base_url=base_url, token="", httpx_args={"auth": SignedRequests(key, secret)})
