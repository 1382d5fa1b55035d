"""What the routes of webhooks work with, and what others announce by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlmodel import Session

from api.auth.sealing import Seal
from api.core.keys import ServerKey
from api.webhooks.guard import Guard
from api.webhooks.outbox import Outbox
from api.webhooks.secrets import Secrets


class Webhooks:
    """One process's."""

    def __init__(self, key: ServerKey, now_ns: Callable[[], int], allowed: Sequence[str] = ()) -> None:
        self.outbox = Outbox(now_ns)
        self.secrets = Secrets(Seal(key.derive("webhooks/secrets")))
        self.guard = Guard(allowed)

    def announce(
        self, session: Session, organisation: str, kind: str, data: dict[str, Any], *, source: str | None = None
    ) -> str | None:
        """See `Outbox.announce`."""
        return self.outbox.announce(session, organisation, kind, data, source=source)
