"""Channels: who is told of an organisation's alerts, beyond its webhooks. Their keys and tokens are sealed."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, Literal

import msgspec
from sqlalchemy import delete
from sqlmodel import Session, col, select

from api.alerts.states import Severity
from api.auth.sealing import Seal
from api.core.keys import ServerKey
from api.webhooks.tables import EndpointRow, SecretRow
from domain import InvariantError

Type = Literal["pagerduty", "email", "push"]
VERIFICATION: Final = "channel.verification"
TEST: Final = "channel.test"
CODE_DIGITS: Final = 8
FAILURES_MAX: Final = 5


class Options(msgspec.Struct, frozen=True):
    """What a channel wants to be told, and what is known of it; kept as JSON in its row."""

    severity: Severity = Severity.INFO
    """The least."""
    level: int = 1
    """It is told of alerts that were escalated so far."""
    verified: bool = True
    failures: int = 0
    """Wrong codes."""
    region: Literal["us", "eu"] = "us"
    """Of PagerDuty."""
    platform: Literal["apns", "fcm"] = "fcm"
    """Of a device."""

    def text(self) -> str:
        return msgspec.json.encode(self).decode()


def options_of(row: EndpointRow) -> Options:
    return msgspec.json.decode(row.options, type=Options)


class Channels:
    """Reads and writes what is sealed of channels, and knows their codes."""

    def __init__(self, key: ServerKey) -> None:
        self._seal = Seal(key.derive("alerts/channels"))
        self.__codes = key.derive("alerts/verification")

    def keep_secret(self, session: Session, channel: str, secret: str) -> None:
        """Keep a channel's key or token, in the place of the one before."""
        session.execute(delete(SecretRow).where(col(SecretRow.endpoint) == channel))
        session.add(SecretRow(endpoint=channel, sealed=self._seal.seal(secret.encode(), _context(channel))))
        session.flush()

    def secret(self, session: Session, channel: str) -> str:
        """Give a channel's key or token."""
        row = session.exec(select(SecretRow).where(SecretRow.endpoint == channel)).first()
        if row is None:
            raise InvariantError(f"channel {channel} has no secret")
        return self._seal.open(row.sealed, _context(channel)).decode()

    def code(self, row: EndpointRow) -> str:
        """What proves that whoever made a channel reads its e-mails; kept nowhere."""
        mac = hmac.digest(self.__codes, f"{row.id}/{row.url}/{row.created_ns}".encode(), hashlib.sha256)
        return str(int.from_bytes(mac[:8], "big") % 10**CODE_DIGITS).zfill(CODE_DIGITS)


def _context(channel: str) -> str:
    return f"channel/{channel}"
