"""Deliveries of the outbox, as the routes of webhooks and of alert channels show them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field
from sqlmodel import col, select

from api.core.times import instant
from api.webhooks.tables import DeliveryRow, EventRow

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


def shown(row: DeliveryRow, event: EventRow) -> Delivery:
    return Delivery.model_validate(
        {
            "id": row.id, "event": event.id, "kind": event.kind, "state": row.state, "tries": row.tries,
            "due_at": instant(row.due_ns), "created_at": instant(event.created_ns),
        }
    )  # fmt: skip
