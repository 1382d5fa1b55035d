"""Signatures as Standard Webhooks has them: `v1` (HMAC-SHA256) and `v1a` (Ed25519) over `id.timestamp.body`.

An endpoint has at most two live secrets, so that a receiver changes over without missing anything: every request bears
the signatures of both.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlmodel import Session, col, select

from api.auth.sealing import Seal
from api.webhooks.tables import SecretRow

_BYTES = 32


@dataclass(frozen=True, slots=True)
class Secret:
    """One pair of keys."""

    key: bytes = field(repr=False)
    seed: bytes = field(repr=False)
    expires_ns: int | None = None

    @property
    def text(self) -> str:
        """The HMAC key as receivers' libraries want it."""
        return f"whsec_{base64.b64encode(self.key).decode()}"

    @property
    def public_text(self) -> str:
        """The Ed25519 key that `v1a` is checked with; no secret."""
        public = Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()
        return f"whpk_{base64.b64encode(public).decode()}"

    def sign(self, content: bytes) -> str:
        mac = hmac.digest(self.key, content, hashlib.sha256)
        signature = Ed25519PrivateKey.from_private_bytes(self.seed).sign(content)
        return f"v1,{base64.b64encode(mac).decode()} v1a,{base64.b64encode(signature).decode()}"


class Secrets:
    """The secrets of endpoints, sealed in their rows."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    def add(self, session: Session, endpoint: str, *, now_ns: int, old_until_ns: int) -> Secret:
        """Make an endpoint's newest secret. The one before stays until `old_until_ns`; an older one ends now."""
        live = self._rows(session, endpoint, now_ns)
        for row in live[1:]:
            row.expires_ns = now_ns
        for row in live[:1]:
            row.expires_ns = min(old_until_ns, row.expires_ns or old_until_ns)
        made = Secret(secrets.token_bytes(_BYTES), secrets.token_bytes(_BYTES))
        session.add(SecretRow(endpoint=endpoint, sealed=self._seal.seal(made.key + made.seed, _context(endpoint))))
        session.flush()
        return made

    def live(self, session: Session, endpoint: str, now_ns: int) -> list[Secret]:
        """The secrets that sign now, the newest first."""
        found = []
        for row in self._rows(session, endpoint, now_ns):
            raw = self._seal.open(row.sealed, _context(endpoint))
            found.append(Secret(raw[:_BYTES], raw[_BYTES:], row.expires_ns))
        return found

    def _rows(self, session: Session, endpoint: str, now_ns: int) -> list[SecretRow]:
        query = select(SecretRow).where(SecretRow.endpoint == endpoint)
        query = query.where(col(SecretRow.expires_ns).is_(None) | (col(SecretRow.expires_ns) > now_ns))
        return list(session.exec(query.order_by(col(SecretRow.id).desc())))


def headers(event: str, timestamp_s: int, body: bytes, live: list[Secret]) -> dict[str, str]:
    """The headers of a request; the receiver checks any of the signatures."""
    content = f"{event}.{timestamp_s}.".encode() + body
    return {
        "webhook-id": event,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(secret.sign(content) for secret in live),
    }


def _context(endpoint: str) -> str:
    return f"webhook/{endpoint}"
