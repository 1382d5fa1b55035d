"""Announcing what happened, in the transaction in which it did."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final

import msgspec
from sqlmodel import Session, col, select

from api.core.times import instant
from api.webhooks.tables import DeliveryRow, EndpointRow, EventRow
from domain import InvariantError

KINDS: Final = (
    "fill.created",
    "order.ended",
    "kill.pressed",
    "kill.ended",
    "withdrawal.changed",
    "withdrawal.ended",
    "approval.asked",
    "approval.changed",
)
"""What is told, besides `webhook.test`, which goes only to the endpoint that asked."""
TEST: Final = "webhook.test"


class Outbox:
    """Of one process; keeps nothing."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns

    def announce(
        self, session: Session, organisation: str, kind: str, data: dict[str, Any], *, source: str | None = None
    ) -> str | None:
        """Have an event told to the organisation's endpoints that want it; None when none does, or it was before.

        Args:
            session: The transaction of what happened: both are kept, or neither.
            organisation: Whose event it is; nobody else hears of it.
            kind: One of `KINDS`.
            data: Plain data, amounts as text.
            source: Of what may be announced twice (a journal that is told again), what makes it the same.

        Raises:
            InvariantError: The kind is none.
        """
        if kind not in KINDS:
            raise InvariantError(f"no kind of webhook event: {kind!r}")
        query = select(EndpointRow).where(EndpointRow.organisation == organisation, col(EndpointRow.enabled))
        wanting = [row.id for row in session.exec(query) if not row.kinds or kind in row.kinds.split(" ")]
        if not wanting:
            return None
        if source is not None and session.exec(select(EventRow.id).where(EventRow.source == source)).first():
            return None
        return self._write(session, organisation, kind, data, wanting, source)

    def test(self, session: Session, endpoint: EndpointRow) -> str:
        """Have a test event told to one endpoint."""
        return self._write(session, endpoint.organisation, TEST, {"endpoint": endpoint.id}, [endpoint.id], None)

    def _write(
        self, session: Session, organisation: str, kind: str, data: dict[str, Any], to: list[str], source: str | None
    ) -> str:
        now = self._now_ns()
        body = msgspec.json.encode({"type": kind, "timestamp": instant(now), "data": data}).decode()
        name = f"evt_{secrets.token_hex(12)}"
        session.add(EventRow(id=name, organisation=organisation, kind=kind, body=body, source=source, created_ns=now))
        session.flush()
        session.add_all(DeliveryRow(endpoint=one, event=name, state="pending", tries=0, due_ns=now) for one in to)
        session.flush()
        return name
