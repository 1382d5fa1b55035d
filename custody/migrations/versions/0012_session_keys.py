"""Session keys: what they were granted, what was allotted to them, their end."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from custody.columns import RowNumber
from custody.migrations.append_only import make_append_only
from runtime.database import RawAmount

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "session_keys",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("key", sa.String(80), nullable=False),
        sa.Column("scope", sa.String(90), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("operator", sa.String(80), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_session_keys_key", "session_keys", ["key"])
    op.create_table(
        "session_allotments",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("key_id", sa.BigInteger(), sa.ForeignKey("session_keys.id"), nullable=False),
        sa.Column("renews", sa.BigInteger(), nullable=True),
        sa.Column("instance", sa.String(32), nullable=False),
        sa.Column("value", RawAmount(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
        sa.Column("until_ns", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_session_allotments_key_until", "session_allotments", ["key_id", "until_ns"])
    op.create_table(
        "session_revocations",
        sa.Column("key_id", sa.BigInteger(), sa.ForeignKey("session_keys.id"), primary_key=True, autoincrement=False),
        sa.Column("source", sa.String(80), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
    )
    for table in ("session_keys", "session_allotments", "session_revocations"):
        make_append_only(table)


def downgrade() -> None:
    raise NotImplementedError("grants only move forward; restore a backup instead")
