"""Backtests: jobs and what came of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from custody.columns import RowNumber

revision = "0010"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_backtests",
        sa.Column("number", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(40), nullable=False, unique=True),
        sa.Column("organisation", sa.String(40), nullable=False),
        sa.Column("actor", sa.String(80), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("form", sa.String(8), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("checked", sa.Text(), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("part", sa.String(80), nullable=False),
        sa.Column("permille", sa.Integer(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("cancel_asked", sa.Boolean(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("started_ns", sa.BigInteger(), nullable=True),
        sa.Column("ended_ns", sa.BigInteger(), nullable=True),
    )
    op.create_index("ix_api_backtests_organisation_number", "api_backtests", ["organisation", "number"])
    op.create_index("ix_api_backtests_state", "api_backtests", ["state"])
    op.create_table(
        "api_backtest_results",
        sa.Column("backtest", sa.String(40), sa.ForeignKey("api_backtests.id"), primary_key=True),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("curve", sa.Text(), nullable=False),
        sa.Column("report", sa.LargeBinary(), nullable=False),
    )


def downgrade() -> None:
    raise NotImplementedError("backtests only move forward; restore a backup instead")
