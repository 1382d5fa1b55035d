"""Webhooks: endpoints, their secrets, events, deliveries and attempts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from custody.columns import RowNumber

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_webhook_endpoints",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("organisation", sa.String(40), nullable=False),
        sa.Column("url", sa.String(2_000), nullable=False),
        sa.Column("description", sa.String(200), nullable=False),
        sa.Column("kinds", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.String(200), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_api_webhook_endpoints_organisation", "api_webhook_endpoints", ["organisation"])
    op.create_table(
        "api_webhook_secrets",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("endpoint", sa.String(40), sa.ForeignKey("api_webhook_endpoints.id"), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=True),
    )
    op.create_index("ix_api_webhook_secrets_endpoint", "api_webhook_secrets", ["endpoint"])
    op.create_table(
        "api_webhook_events",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("organisation", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("source", sa.String(120), nullable=True, unique=True),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "api_webhook_deliveries",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("endpoint", sa.String(40), sa.ForeignKey("api_webhook_endpoints.id"), nullable=False),
        sa.Column("event", sa.String(40), sa.ForeignKey("api_webhook_events.id"), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("due_ns", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("endpoint", "event"),
    )
    op.create_index("ix_api_webhook_deliveries_state_due", "api_webhook_deliveries", ["state", "due_ns"])
    op.create_index("ix_api_webhook_deliveries_endpoint_id", "api_webhook_deliveries", ["endpoint", "id"])
    op.create_table(
        "api_webhook_attempts",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("delivery", sa.BigInteger(), sa.ForeignKey("api_webhook_deliveries.id"), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
        sa.Column("took_ms", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.String(300), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
    )
    op.create_index("ix_api_webhook_attempts_delivery", "api_webhook_attempts", ["delivery"])


def downgrade() -> None:
    raise NotImplementedError("webhooks only move forward; restore a backup instead")
