"""Candles of public trades, versions of strategies, changes of risk limits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from custody.columns import RowNumber

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_NUMBERS = ("open", "high", "low", "close", "volume", "quote")


def upgrade() -> None:
    op.create_table(
        "api_candles",
        sa.Column("instrument", sa.String(80), primary_key=True),
        sa.Column("span_s", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("start_s", sa.BigInteger(), primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.String(80), nullable=False) for name in _NUMBERS),
        sa.Column("trades", sa.Integer(), nullable=False),
    )
    op.create_index("ix_api_candles_span_start", "api_candles", ["span_s", "start_s"])
    op.create_table(
        "api_strategy_versions",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("strategy", sa.String(40), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("author", sa.String(120), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("changed", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("strategy", "version"),
    )
    op.create_table(
        "api_limit_changes",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("strategy", sa.String(40), nullable=False),
        sa.Column("actor", sa.String(120), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("changed", sa.Text(), nullable=False),
        sa.Column("limits", sa.Text(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_api_limit_changes_strategy", "api_limit_changes", ["strategy"])


def downgrade() -> None:
    raise NotImplementedError("trading only moves forward; restore a backup instead")
