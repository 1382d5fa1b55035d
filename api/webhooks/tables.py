"""The tables of the outbox: who is told, what, and how it went. Webhooks and the channels of alerts share them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from custody.columns import row_number


class EndpointRow(SQLModel, table=True):
    """A receiver of an organisation's: a URL, or a channel of its alerts."""

    __tablename__ = "api_webhook_endpoints"

    id: str = Field(primary_key=True, max_length=40)
    organisation: str = Field(max_length=40, index=True)
    type: str = Field(default="webhook", max_length=12)
    """`webhook`, or `pagerduty`, `email`, `push`: channels of alerts (`api.alerts`)."""
    url: str = Field(max_length=2_000)
    """Of a webhook; of others what people know them by."""
    options: str = Field(default="{}", sa_type=sa.Text)
    """Of a channel, JSON; no secrets."""
    description: str = Field(max_length=200)
    kinds: str = Field(sa_type=sa.Text)
    """Words between single spaces; empty is every kind."""
    enabled: bool
    disabled_reason: str = Field(default="", max_length=200)
    created_ns: int = Field(sa_type=sa.BigInteger)


class SecretRow(SQLModel, table=True):
    """What an endpoint's requests are signed with; at most two are live."""

    __tablename__ = "api_webhook_secrets"

    id: int | None = row_number()
    endpoint: str = Field(max_length=40, index=True, foreign_key="api_webhook_endpoints.id")
    sealed: str = Field(sa_type=sa.Text)
    """Of a webhook 32 bytes for HMAC-SHA256, then the 32 of an Ed25519 key; of a channel its key, token or address."""
    expires_ns: int | None = Field(default=None, sa_type=sa.BigInteger)


class EventRow(SQLModel, table=True):
    """Something that happened, as it is told to every endpoint that wants to know."""

    __tablename__ = "api_webhook_events"

    id: str = Field(primary_key=True, max_length=40)
    organisation: str = Field(max_length=40)
    kind: str = Field(max_length=40)
    body: str = Field(sa_type=sa.Text)
    source: str | None = Field(default=None, max_length=120, unique=True)
    """Of an event that may be announced twice, what makes it the same."""
    subject: str | None = Field(default=None, max_length=40, index=True)
    """The alert that it is about: to a channel, a later event of a subject takes the place of one not yet told."""
    created_ns: int = Field(sa_type=sa.BigInteger)


class DeliveryRow(SQLModel, table=True):
    """One event for one endpoint."""

    __tablename__ = "api_webhook_deliveries"
    __table_args__ = (
        sa.UniqueConstraint("endpoint", "event"),
        sa.Index("ix_api_webhook_deliveries_state_due", "state", "due_ns"),
        sa.Index("ix_api_webhook_deliveries_endpoint_id", "endpoint", "id"),
    )

    id: int | None = row_number()
    endpoint: str = Field(max_length=40, foreign_key="api_webhook_endpoints.id")
    event: str = Field(max_length=40, foreign_key="api_webhook_events.id")
    state: str = Field(max_length=12)
    """`pending`, `delivered`, `failed`, or `superseded`: something newer of its subject is told instead."""
    tries: int
    """Since it began, or was last asked for again: the rung of the ladder."""
    due_ns: int = Field(sa_type=sa.BigInteger)


class AttemptRow(SQLModel, table=True):
    """One request, and its answer."""

    __tablename__ = "api_webhook_attempts"

    id: int | None = row_number()
    delivery: int = Field(sa_type=sa.BigInteger, index=True, foreign_key="api_webhook_deliveries.id")
    time_ns: int = Field(sa_type=sa.BigInteger)
    took_ms: int
    status: int | None = None
    error: str = Field(max_length=300)
    answer: str = Field(sa_type=sa.Text)
    """Its first bytes."""
