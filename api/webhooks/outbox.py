"""Announcing what happened, in the transaction in which it did."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
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
    "deposit.changed",
    "approval.asked",
    "approval.changed",
    "alert.opened",
    "alert.acknowledged",
    "alert.escalated",
    "alert.resolved",
)
"""What is told to webhooks, besides `webhook.test`, which goes only to the endpoint that asked."""
TEST: Final = "webhook.test"
WEBHOOK: Final = "webhook"


class Outbox:
    """Of one process; keeps nothing."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns

    def announce(
        self, session: Session, organisation: str, kind: str, data: dict[str, Any], *, source: str | None = None,
        subject: str | None = None, channels: Sequence[str] = (),
    ) -> str | None:  # fmt: skip
        """Have an event told to the organisation's endpoints that want it; None when none does, or it was before.

        Args:
            session: The transaction of what happened: both are kept, or neither.
            organisation: Whose event it is; nobody else hears of it.
            kind: One of `KINDS`.
            data: Plain data, amounts as text.
            source: Of what may be announced twice (a journal that is told again), what makes it the same.
            subject: The alert that it is about.
            channels: Ids of the channels that are told besides; what they were not yet told of the subject, they are
                told no more.

        Raises:
            InvariantError: The kind is none.
        """
        if kind not in KINDS:
            raise InvariantError(f"no kind of webhook event: {kind!r}")
        query = select(EndpointRow).where(EndpointRow.organisation == organisation, col(EndpointRow.enabled))
        rows = session.exec(query.where(EndpointRow.type == WEBHOOK))
        wanting = [row.id for row in rows if not row.kinds or kind in row.kinds.split(" ")]
        if subject is not None:
            _supersede(session, subject, channels)
        if not (wanting := [*wanting, *channels]):
            return None
        if source is not None and session.exec(select(EventRow.id).where(EventRow.source == source)).first():
            return None
        return self._write(session, organisation, kind, data, wanting, source, subject)

    def test(self, session: Session, endpoint: EndpointRow) -> str:
        """Have a test event told to one endpoint."""
        return self.tell_one(session, endpoint, TEST, {"endpoint": endpoint.id})

    def tell_one(self, session: Session, endpoint: EndpointRow, kind: str, data: dict[str, Any]) -> str:
        """Have something told that is one receiver's business alone."""
        return self._write(session, endpoint.organisation, kind, data, [endpoint.id], None, None)

    def _write(
        self, session: Session, organisation: str, kind: str, data: dict[str, Any], to: list[str],
        source: str | None, subject: str | None,
    ) -> str:  # fmt: skip
        now = self._now_ns()
        body = msgspec.json.encode({"type": kind, "timestamp": instant(now), "data": data}).decode()
        name = f"evt_{secrets.token_hex(12)}"
        session.add(
            EventRow(
                id=name, organisation=organisation, kind=kind, body=body, source=source, subject=subject, created_ns=now
            )
        )
        session.flush()
        session.add_all(DeliveryRow(endpoint=one, event=name, state="pending", tries=0, due_ns=now) for one in to)
        session.flush()
        return name


def _supersede(session: Session, subject: str, channels: Sequence[str]) -> None:
    """A person who was not reached yet is told how it stands now, not what was before."""
    if not channels:
        return
    query = select(DeliveryRow).join(EventRow, col(EventRow.id) == DeliveryRow.event)
    query = query.where(EventRow.subject == subject, DeliveryRow.state == "pending")
    for row in session.exec(query.where(col(DeliveryRow.endpoint).in_(channels))):
        row.state = "superseded"
        session.add(row)
