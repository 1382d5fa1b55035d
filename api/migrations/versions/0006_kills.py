"""Presses of the kill switch, and people's words that they may end."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_kills",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("organisation", sa.String(40), nullable=False),
        sa.Column("actor", sa.String(80), nullable=False),
        sa.Column("target", sa.String(16), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("strategies", sa.Text(), nullable=False),
        sa.Column("freeze", sa.Integer(), nullable=True),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("released_ns", sa.BigInteger(), nullable=True),
    )
    op.create_index("ix_api_kills_organisation", "api_kills", ["organisation"])
    op.create_table(
        "api_kill_releases",
        sa.Column("kill", sa.String(40), sa.ForeignKey("api_kills.id"), primary_key=True),
        sa.Column("user", sa.String(40), primary_key=True),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    raise NotImplementedError("kills only move forward; restore a backup instead")
