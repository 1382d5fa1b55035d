"""Pulses of what works in the background."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_pulses",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    raise NotImplementedError("pulses only move forward; restore a backup instead")
