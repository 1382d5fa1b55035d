"""Portfolios and the strategies in them; orders and trades as history."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from custody.columns import RowNumber

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_portfolios",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("organisation", sa.String(40), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("has_rest", sa.Boolean(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_api_portfolios_organisation", "api_portfolios", ["organisation"])
    op.create_table(
        "api_portfolio_strategies",
        sa.Column("strategy", sa.String(40), primary_key=True),
        sa.Column("portfolio", sa.String(40), sa.ForeignKey("api_portfolios.id"), nullable=False),
    )
    op.create_index("ix_api_portfolio_strategies_portfolio", "api_portfolio_strategies", ["portfolio"])
    op.create_table(
        "api_orders",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("client_order_id", sa.String(64), nullable=False),
        sa.Column("strategy", sa.String(40), nullable=False),
        sa.Column("instrument", sa.String(80), nullable=False),
        sa.Column("side", sa.String(8), nullable=False),
        sa.Column("type", sa.String(16), nullable=False),
        sa.Column("time_in_force", sa.String(8), nullable=False),
        sa.Column("price", sa.String(80), nullable=False),
        sa.Column("qty", sa.String(80), nullable=False),
        sa.Column("filled", sa.String(80), nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("venue_order_id", sa.String(80), nullable=True),
        sa.Column("sent_ns", sa.String(24), nullable=False),
        sa.UniqueConstraint("client_order_id"),
    )
    op.create_index("ix_api_orders_strategy_id", "api_orders", ["strategy", "id"])
    op.create_table(
        "api_fills",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("strategy", sa.String(40), nullable=False),
        sa.Column("instrument", sa.String(80), nullable=False),
        sa.Column("trade_id", sa.String(80), nullable=False),
        sa.Column("client_order_id", sa.String(64), nullable=False),
        sa.Column("venue_order_id", sa.String(80), nullable=True),
        sa.Column("side", sa.String(8), nullable=False),
        sa.Column("price", sa.String(80), nullable=False),
        sa.Column("qty", sa.String(80), nullable=False),
        sa.Column("quote", sa.String(80), nullable=False),
        sa.Column("fee_asset", sa.String(40), nullable=False),
        sa.Column("fee", sa.String(80), nullable=False),
        sa.Column("is_maker", sa.Boolean(), nullable=False),
        sa.Column("time_ns", sa.String(24), nullable=False),
        sa.UniqueConstraint("instrument", "trade_id"),
    )
    op.create_index("ix_api_fills_strategy_id", "api_fills", ["strategy", "id"])


def downgrade() -> None:
    raise NotImplementedError("history only moves forward; restore a backup instead")
