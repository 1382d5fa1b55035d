"""Alerts, their history and rules; channels and subjects in the outbox that webhooks have."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from custody.columns import RowNumber

revision = "0011"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, kind, default in (("type", sa.String(12), "webhook"), ("options", sa.Text(), "{}")):
        column = sa.Column(name, kind, nullable=False, server_default=default)
        op.add_column("api_webhook_endpoints", column)
    op.add_column("api_webhook_events", sa.Column("subject", sa.String(40), nullable=True))
    op.create_index("ix_api_webhook_events_subject", "api_webhook_events", ["subject"])
    op.create_table(
        "api_alerts",
        sa.Column("number", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(40), nullable=False, unique=True),
        sa.Column("organisation", sa.String(40), nullable=False),
        sa.Column("portfolio", sa.String(40), nullable=True),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("key", sa.String(120), nullable=False),
        sa.Column("live_key", sa.String(210), nullable=True, unique=True),
        sa.Column("severity", sa.String(10), nullable=False),
        sa.Column("summary", sa.String(300), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("seen_ns", sa.BigInteger(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("changed_ns", sa.BigInteger(), nullable=False),
        sa.Column("escalate_ns", sa.BigInteger(), nullable=True),
        sa.Column("acknowledged_by", sa.String(80), nullable=True),
    )
    op.create_index("ix_api_alerts_organisation_number", "api_alerts", ["organisation", "number"])
    op.create_index("ix_api_alerts_state", "api_alerts", ["state"])
    op.create_table(
        "api_alert_events",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("alert", sa.BigInteger(), sa.ForeignKey("api_alerts.number"), nullable=False),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("actor", sa.String(80), nullable=False),
        sa.Column("note", sa.String(200), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_api_alert_events_alert", "api_alert_events", ["alert"])
    op.create_table(
        "api_alert_rules",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("organisation", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("portfolio", sa.String(40), sa.ForeignKey("api_portfolios.id"), nullable=True),
        sa.Column("limit", sa.String(80), nullable=True),
        sa.Column("peak", sa.String(80), nullable=True),
        sa.Column("severity", sa.String(10), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("after_s", sa.Integer(), nullable=False),
        sa.Column("escalate_s", sa.Integer(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_api_alert_rules_organisation", "api_alert_rules", ["organisation"])


def downgrade() -> None:
    raise NotImplementedError("alerts only move forward; restore a backup instead")
