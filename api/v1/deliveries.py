"""Receivers of the outbox and their deliveries, as the routes of webhooks and of alert channels have them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field
from sqlalchemy import delete
from sqlmodel import Session, col, select

from api.core.times import instant
from api.webhooks.tables import AttemptRow, DeliveryRow, EndpointRow, EventRow, SecretRow

DeliveryState = Literal["pending", "delivered", "failed", "superseded"]


class Delivery(BaseModel):
    """One event for one receiver."""

    id: int
    event: str = Field(
        description="To a webhook, `webhook-id` of the request.", examples=["evt_0123456789abcdef01234567"]
    )
    kind: str
    state: DeliveryState = Field(description="`superseded`: a channel was told something newer of the alert instead.")
    tries: int = Field(description="Since it began, or was asked for again.")
    due_at: datetime = Field(description="Of a pending one: not before.")
    created_at: datetime


def deliveries_of(receiver: str) -> Any:
    """Select the deliveries of a receiver, each with its event."""
    query = select(DeliveryRow, EventRow).join(EventRow, col(EventRow.id) == DeliveryRow.event)
    return query.where(DeliveryRow.endpoint == receiver)


def newest_deliveries(
    session: Session, receiver: str, *, state: DeliveryState | None, before: int | None, limit: int
) -> list[tuple[DeliveryRow, EventRow]]:
    """The newest deliveries of a receiver before one of them."""
    query = deliveries_of(receiver).order_by(col(DeliveryRow.id).desc()).limit(limit)
    query = query if state is None else query.where(DeliveryRow.state == state)
    query = query if before is None else query.where(col(DeliveryRow.id) < before)
    return list(session.exec(query))


def end_receiver(session: Session, row: EndpointRow) -> None:
    """Take a receiver away, with its secrets and all that it was told."""
    mine = select(DeliveryRow.id).where(DeliveryRow.endpoint == row.id)
    session.execute(delete(AttemptRow).where(col(AttemptRow.delivery).in_(mine)))
    session.execute(delete(DeliveryRow).where(col(DeliveryRow.endpoint) == row.id))
    session.execute(delete(SecretRow).where(col(SecretRow.endpoint) == row.id))
    session.delete(row)


def shown(row: DeliveryRow, event: EventRow) -> Delivery:
    return Delivery.model_validate(
        {
            "id": row.id, "event": event.id, "kind": event.kind, "state": row.state, "tries": row.tries,
            "due_at": instant(row.due_ns), "created_at": instant(event.created_ns),
        }
    )  # fmt: skip
