"""Swaps that were asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from custody.columns import RowNumber

revision = "0014"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_swaps",
        sa.Column("number", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(40), nullable=False, unique=True),
        sa.Column("organisation", sa.String(40), nullable=False),
        sa.Column("actor", sa.String(80), nullable=False),
        sa.Column("initiator", sa.String(80), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("token_in", sa.String(42), nullable=False),
        sa.Column("token_out", sa.String(42), nullable=False),
        sa.Column("is_exact_out", sa.Boolean(), nullable=False),
        sa.Column("amount_in", sa.String(80), nullable=False),
        sa.Column("amount_out", sa.String(80), nullable=False),
        sa.Column("amount_in_max", sa.String(80), nullable=False),
        sa.Column("amount_out_min", sa.String(80), nullable=False),
        sa.Column("max_hops", sa.Integer(), nullable=False),
        sa.Column("through", sa.String(24), nullable=False),
        sa.Column("slippage_bps", sa.Integer(), nullable=False),
        sa.Column("impact_bps_max", sa.Integer(), nullable=False),
        sa.Column("deadline_ns", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("rule", sa.String(80), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("tx_hash", sa.String(80), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=True),
        sa.Column("amount_in_settled", sa.String(80), nullable=True),
        sa.Column("amount_out_settled", sa.String(80), nullable=True),
        sa.Column("gas_cost_wei", sa.String(80), nullable=True),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("ended_ns", sa.BigInteger(), nullable=True),
    )
    op.create_index("ix_api_swaps_organisation_number", "api_swaps", ["organisation", "number"])
    op.create_index("ix_api_swaps_state", "api_swaps", ["state"])


def downgrade() -> None:
    raise NotImplementedError("swaps only move forward; restore a backup instead")
