"""Signed checkpoints of the audit log, and where they were sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from custody.migrations.append_only import make_append_only

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_checkpoints",
        sa.Column("count", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("head", sa.String(64), nullable=False),
        sa.Column("root", sa.String(64), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.String(80), nullable=False),
        sa.Column("signature", sa.String(130), nullable=False),
        sa.Column("frontier", sa.Text(), nullable=False),
    )
    op.create_table(
        "audit_exports",
        sa.Column("count", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("target", sa.String(200), primary_key=True),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
    )
    make_append_only("audit_checkpoints")
    make_append_only("audit_exports")


def downgrade() -> None:
    raise NotImplementedError("money tables only move forward; restore a backup instead")
