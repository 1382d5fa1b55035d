"""Exchanges' keys that may withdraw: sealed in the database, opened for one request, by this path only.

The row's id is the envelope's associated data: a sealed key copied into another exchange's row does not open. What
seals them is an HSM's key-encryption key (`wallets.hsm.Envelopes`), or a file's (`FileEnvelopes`) where there is none.
Trading keys are elsewhere (`VenueSettings`), and may not withdraw.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlmodel import col, select

from custody.audit import AuditLog
from custody.withdrawals.tables import VenueSecretRow
from domain import InputError
from runtime import Secret
from runtime.database import Database
from runtime.secrets import ApiKey

_MAGIC: Final = b"CF1"
_NONCE: Final = 12


class Sealer(Protocol):
    """Seals secrets, each for one row; `wallets.hsm.Envelopes` does."""

    def seal(self, secret: bytes, *, row_id: str) -> bytes: ...

    def open(self, envelope: bytes, *, row_id: str) -> bytes: ...


class FileEnvelopes:
    """Seals under a key in a file (64 hex digits, mode 0600), for installations without an HSM.

    Raises:
        InputError: The file cannot be read, or is readable by others.
    """

    def __init__(self, kek: Path) -> None:
        try:
            if kek.stat().st_mode & 0o077:
                raise InputError(f"{kek} can be read by others", hint="chmod 600")
            key = bytes.fromhex(kek.read_text(encoding="ascii").strip())
        except (OSError, ValueError) as exc:
            raise InputError(f"{kek} holds no key: 64 hex digits are expected") from exc
        if len(key) != 32:
            raise InputError(f"{kek} holds no key: 64 hex digits are expected")
        self._cipher = AESGCM(key)

    def seal(self, secret: bytes, *, row_id: str) -> bytes:
        """Encrypt a secret for one row."""
        nonce = os.urandom(_NONCE)
        return _MAGIC + nonce + self._cipher.encrypt(nonce, secret, _MAGIC + row_id.encode())

    def open(self, envelope: bytes, *, row_id: str) -> bytes:
        """Decrypt what `seal` made for the same row.

        Raises:
            InputError: No envelope, altered, of another row or under another key.
        """
        if envelope[:3] != _MAGIC or len(envelope) < 3 + _NONCE + 16:
            raise InputError("not an envelope")
        nonce, sealed = envelope[3 : 3 + _NONCE], envelope[3 + _NONCE :]
        try:
            return self._cipher.decrypt(nonce, sealed, _MAGIC + row_id.encode())
        except InvalidTag as exc:
            raise InputError("the envelope was altered, or belongs to another row or key") from exc


class HsmSealer:
    """Seals under a key of an HSM's token (`HsmToken.create_secret_key`), which never leaves it.

    The token is opened and used by one thread of its own: PKCS#11 libraries do not bear several.

    Raises:
        InputError: The token does not take the PIN.
        VenueUnavailable: It is not there.
    """

    def __init__(self, module: str, token: str, pin: Secret, *, kek: str) -> None:
        from wallets.hsm import Envelopes, HsmToken  # loads PKCS#11, which most processes have no use for

        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="venue-secrets")
        self._envelopes = self._thread.submit(lambda: Envelopes(HsmToken(module, token, pin), kek=kek)).result()

    def seal(self, secret: bytes, *, row_id: str) -> bytes:
        """Encrypt a secret for one row."""
        return self._thread.submit(self._envelopes.seal, secret, row_id=row_id).result()

    def open(self, envelope: bytes, *, row_id: str) -> bytes:
        """Decrypt what `seal` made for the same row; errors as `FileEnvelopes.open`."""
        return self._thread.submit(self._envelopes.open, envelope, row_id=row_id).result()


class VenueSecrets:
    """The sealed keys of all exchanges that may be withdrawn from."""

    def __init__(self, database: Database, sealer: Sealer, audit: AuditLog, now_ns: Callable[[], int]) -> None:
        self._database = database
        self._sealer = sealer
        self._audit = audit
        self._now_ns = now_ns

    def put(self, venue: str, key: ApiKey, *, by: str) -> None:
        """Seal a key in the place of an earlier one."""
        row_id = _row_id(venue)
        fields = [key.key.reveal(), key.secret.reveal(), None if key.passphrase is None else key.passphrase.reveal()]
        sealed = self._sealer.seal(json.dumps(fields).encode(), row_id=row_id)
        with self._database.transaction() as session:
            session.merge(VenueSecretRow(id=row_id, sealed=sealed, changed_ns=self._now_ns()))
            self._audit.append(session, "venue-secret.sealed", f"venue/{venue}", {"by": by})

    def open(self, venue: str) -> ApiKey:
        """Unseal a key, for one request. It is not kept here.

        Raises:
            InputError: There is none, or it does not open.
        """
        row_id = _row_id(venue)
        with self._database.snapshot() as session:
            row = session.get(VenueSecretRow, row_id)
            sealed = None if row is None else row.sealed
        if sealed is None:
            raise InputError(f"no key that may withdraw from {venue} is sealed here", hint="`capstan withdrawals key`")
        try:
            key, secret, passphrase = json.loads(self._sealer.open(sealed, row_id=row_id))
        except (TypeError, ValueError) as exc:
            raise InputError(f"the sealed key of {venue} cannot be read") from exc
        return ApiKey(Secret(key), Secret(secret), None if passphrase is None else Secret(passphrase))

    def venues(self) -> list[str]:
        """The exchanges with a key."""
        with self._database.snapshot() as session:
            ids = session.exec(select(VenueSecretRow.id).order_by(col(VenueSecretRow.id))).all()
        return [row_id.split("/")[1] for row_id in ids]


def _row_id(venue: str) -> str:
    return f"venue/{venue}/withdraw"
