"""The tables of alerts and of the rules by which they are raised. Who is told is in `api.webhooks.tables`."""

from __future__ import annotations

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from custody.columns import row_number


class AlertRow(SQLModel, table=True):
    """Something that a person should know, from when it was first seen until it is over."""

    __tablename__ = "api_alerts"
    __table_args__ = (
        sa.Index("ix_api_alerts_organisation_number", "organisation", "number"),
        sa.Index("ix_api_alerts_state", "state"),
    )

    number: int | None = row_number()
    id: str = Field(max_length=40, unique=True)
    organisation: str = Field(max_length=40)
    portfolio: str | None = Field(default=None, max_length=40)
    """Of one that is about a portfolio alone."""
    kind: str = Field(max_length=40)
    key: str = Field(max_length=120)
    """What makes two of a kind the same."""
    live_key: str | None = Field(default=None, max_length=210, unique=True)
    """Organisation, kind and key until it is resolved: there is one at a time."""
    severity: str = Field(max_length=10)
    summary: str = Field(max_length=300)
    detail: str = Field(sa_type=sa.Text)
    """JSON, amounts as text."""
    state: str = Field(max_length=12)
    """Of `api.alerts.states.State`."""
    level: int
    """How far it was escalated: which channels are told."""
    count: int
    """How often it was seen while it was there already."""
    seen_ns: int = Field(sa_type=sa.BigInteger)
    """The instant of the newest event it was raised by."""
    created_ns: int = Field(sa_type=sa.BigInteger)
    changed_ns: int = Field(sa_type=sa.BigInteger)
    escalate_ns: int | None = Field(default=None, sa_type=sa.BigInteger)
    """When it goes a level up unless somebody acknowledges it."""
    acknowledged_by: str | None = Field(default=None, max_length=80)


class AlertEventRow(SQLModel, table=True):
    """What happened to an alert, in the transaction in which it did."""

    __tablename__ = "api_alert_events"

    id: int | None = row_number()
    alert: int = Field(sa_type=sa.BigInteger, index=True, foreign_key="api_alerts.number")
    event: str = Field(max_length=16)
    actor: str = Field(max_length=80)
    note: str = Field(max_length=200)
    time_ns: int = Field(sa_type=sa.BigInteger)


class RuleRow(SQLModel, table=True):
    """How an organisation wants a kind of alert; what it has no row of is as `api.alerts.rules` has it."""

    __tablename__ = "api_alert_rules"

    id: str = Field(primary_key=True, max_length=40)
    organisation: str = Field(max_length=40, index=True)
    kind: str = Field(max_length=40)
    portfolio: str | None = Field(default=None, max_length=40, foreign_key="api_portfolios.id")
    limit: str | None = Field(default=None, max_length=80)
    peak: str | None = Field(default=None, max_length=80)
    """Of a drawdown, the highest result since the limit was set."""
    severity: str = Field(max_length=10)
    enabled: bool
    after_s: int
    escalate_s: int
    """0 is never."""
    created_ns: int = Field(sa_type=sa.BigInteger)
