"""Secrets that the server must be able to read again (HMAC keys, TOTP seeds, signing keys), sealed in their rows.

AES-256-GCM under a key that is derived from the server's own; the context (whose secret, of what) is authenticated, so
a sealed text that is copied into another row does not open there.
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain import InputError, InvariantError
from runtime.base64url import decode64, encode64

_NONCE_BYTES = 12


class Seal:
    """Does not show its key."""

    __slots__ = ("__cipher",)

    def __init__(self, key: bytes) -> None:
        self.__cipher = AESGCM(key)

    def seal(self, content: bytes, context: str) -> str:
        """Seal a secret for one place."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return encode64(nonce + self.__cipher.encrypt(nonce, content, context.encode()))

    def open(self, text: str, context: str) -> bytes:
        """Give the secret.

        Raises:
            InvariantError: It was sealed with another key or for another place, or altered.
        """
        try:
            raw = decode64(text)
            return self.__cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], context.encode())
        except (InputError, InvalidTag, ValueError) as exc:
            raise InvariantError(
                f"what is sealed for {context} does not open", hint="is the server's key file the one it was made with?"
            ) from exc
