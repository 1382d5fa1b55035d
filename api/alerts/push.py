"""Pushes to phones: what a provider has to be, what is sent of an alert, and a local one that reaches nobody.

A push carries no amounts and no words of an alert, only its id and how bad it is: the phone asks for the rest once it
is unlocked. `apns` and `fcm` say how each provider wants it; a provider that speaks to Apple or Google needs their
credentials and is not in this product yet, so the local one is what runs: it says so in every answer and keeps what it
was given for tests and for people who try it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol

import msgspec
from sqlmodel import Session

from api.alerts.channels import Channels, options_of
from api.webhooks.delivery import Reply, Tell, Told
from api.webhooks.tables import EndpointRow

KEPT_BYTES_MAX: Final = 1_000_000
_URGENT: Final = ("error", "critical")


@dataclass(frozen=True, slots=True)
class Push:
    """One push for one device."""

    platform: str
    token: str
    collapse_id: str
    """A later push of the same takes the earlier one's place on the phone."""
    is_urgent: bool
    body: Mapping[str, Any]
    """As the platform wants it."""


class PushProvider(Protocol):
    """Hands pushes to a platform."""

    async def push(self, push: Push) -> Reply:
        """Send one. `gone` where the token is no more (APNs 410, FCM `UNREGISTERED`), `is_final` where refused."""
        ...


def apns(data: Mapping[str, Any], *, is_urgent: bool) -> dict[str, Any]:
    """The body as Apple's provider API wants it; priority and collapse id go into headers."""
    level = "time-sensitive" if is_urgent else "active"
    shown = {"loc-key": f"alert.{data['event']}", "loc-args": [data["severity"]]}
    return {"aps": {"alert": shown, "interruption-level": level, "thread-id": data["alert"]}, **data}


def fcm(data: Mapping[str, Any], *, is_urgent: bool) -> dict[str, Any]:
    """The `message` as Google's v1 API wants it, without its token; data is text only."""
    android = {"priority": "HIGH" if is_urgent else "NORMAL", "collapse_key": data["alert"]}
    return {"data": {name: str(value) for name, value in data.items()}, "android": android}


_SHAPES: Final[Mapping[str, Callable[..., dict[str, Any]]]] = MappingProxyType({"apns": apns, "fcm": fcm})


class PushTeller:
    """Satisfies `Teller`."""

    def __init__(self, channels: Channels, provider: PushProvider) -> None:
        self._channels = channels
        self._provider = provider

    def prepare(self, session: Session, endpoint: EndpointRow, now_ns: int) -> Tell:
        platform, token = options_of(endpoint).platform, self._channels.secret(session, endpoint.id)

        async def tell(told: Told) -> Reply:
            found = msgspec.json.decode(told.body)["data"]
            severity = found.get("severity", "info")
            about = told.subject or told.event
            data = {"alert": about, "event": told.kind.partition(".")[2], "severity": severity}
            is_urgent = severity in _URGENT and told.kind in ("alert.opened", "alert.escalated")
            body = _SHAPES[platform](data, is_urgent=is_urgent)
            return await self._provider.push(Push(platform, token, about, is_urgent, body))

        return tell


class LocalPushes:
    """Reaches no phone: keeps the newest pushes in a file, without their tokens."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def push(self, push: Push) -> Reply:
        if self._path.exists() and self._path.stat().st_size > KEPT_BYTES_MAX:
            self._path.replace(self._path.with_suffix(".old"))
        kept = {"platform": push.platform, "collapse_id": push.collapse_id, "urgent": push.is_urgent, "body": push.body}
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(kept) + b"\n")
        return Reply(True, answer=f"no phone was reached: kept in {self._path.name}, no provider is configured")
