"""Envelope encryption: secrets under data keys of their own, data keys under a key that never leaves the HSM.

An envelope is bound to the row it is stored in: its associated data is the row's id, so that a blob copied into another
row does not open. Layout: `CE1`, the KEK label's length and the label, 12 bytes nonce and 48 bytes sealed data key, 12
bytes nonce and the sealed secret with its tag. The label is in the envelope so that a KEK can be rotated.
"""

from __future__ import annotations

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain import InputError
from wallets.hsm.token import HsmToken

_MAGIC: Final = b"CE1"
_NONCE: Final = 12
_SEALED_KEY: Final = 48
_SECRET_BYTES_MAX: Final = 1 << 20


class Envelopes:
    """Seals and opens secrets (exchange API secrets, keystores) with a KEK of a token.

    Args:
        token: An open session; the KEK is used in it.
        kek: Label of the key made by `HsmToken.create_secret_key`, for what is sealed from now on.
    """

    def __init__(self, token: HsmToken, *, kek: str) -> None:
        self._token = token
        self._kek = kek.encode()
        if not 0 < len(self._kek) < 256:
            raise InputError("a KEK's label has 1 to 255 bytes")

    def seal(self, secret: bytes, *, row_id: str) -> bytes:
        """Encrypt a secret for one row."""
        if len(secret) > _SECRET_BYTES_MAX:
            raise InputError(f"a secret has at most {_SECRET_BYTES_MAX} bytes")
        data_key, key_nonce, nonce = os.urandom(32), os.urandom(_NONCE), os.urandom(_NONCE)
        header = _MAGIC + bytes([len(self._kek)]) + self._kek
        associated = header + row_id.encode()
        sealed_key = self._token.seal(self._kek.decode(), data_key, nonce=key_nonce, associated=associated)
        return header + key_nonce + sealed_key + nonce + AESGCM(data_key).encrypt(nonce, secret, associated)

    def open(self, envelope: bytes, *, row_id: str) -> bytes:
        """Decrypt what `seal` made for the same row.

        Raises:
            InputError: No envelope, altered, of another row, or its KEK is not in the token.
        """
        size = envelope[3] if envelope[:3] == _MAGIC and len(envelope) > 3 else 0
        header, rest = envelope[: 4 + size], envelope[4 + size :]
        if not size or len(rest) < 2 * _NONCE + _SEALED_KEY + 16:
            raise InputError("not an envelope")
        key_nonce, rest = rest[:_NONCE], rest[_NONCE:]
        sealed_key, rest = rest[:_SEALED_KEY], rest[_SEALED_KEY:]
        nonce, sealed = rest[:_NONCE], rest[_NONCE:]
        associated = header + row_id.encode()
        label = header[4:].decode(errors="replace")
        data_key = self._token.unseal(label, sealed_key, nonce=key_nonce, associated=associated)
        try:
            return AESGCM(data_key).decrypt(nonce, sealed, associated)
        except InvalidTag as exc:
            raise InputError("the envelope was altered, or belongs to another row") from exc
