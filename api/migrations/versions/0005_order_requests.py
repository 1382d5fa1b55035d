"""Orders that clients asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_order_requests",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("organisation", sa.String(40), nullable=False),
        sa.Column("actor", sa.String(80), nullable=False),
        sa.Column("strategy", sa.String(40), nullable=False),
        sa.Column("instrument", sa.String(80), nullable=False),
        sa.Column("side", sa.String(8), nullable=False),
        sa.Column("type", sa.String(16), nullable=False),
        sa.Column("time_in_force", sa.String(8), nullable=False),
        sa.Column("price", sa.String(80), nullable=True),
        sa.Column("qty", sa.String(80), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_api_order_requests_organisation", "api_order_requests", ["organisation"])


def downgrade() -> None:
    raise NotImplementedError("requests only move forward; restore a backup instead")
