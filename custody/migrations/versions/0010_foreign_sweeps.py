"""Sweeps that others make, and what a sweep's own row need not repeat of its transaction."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from runtime.database import RawAmount

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_row_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    # The plan stands in the transaction of the same id; nothing was written to these columns yet.
    op.drop_column("sweeps", "plan")
    op.drop_column("gas_grants", "plan")
    op.create_table(
        "foreign_sweeps",
        sa.Column("id", _row_number, primary_key=True, autoincrement=True),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("tx_hash", sa.String(66), nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False),
        sa.Column("occurrence", sa.Integer(), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.String(42), nullable=False),
        sa.Column("asset", sa.String(140), nullable=False),
        sa.Column("sent_raw", RawAmount(), nullable=False),
        sa.Column("arrived_raw", RawAmount(), nullable=False),
        sa.Column("is_undone", sa.Boolean(), nullable=False),
        sa.UniqueConstraint("chain_id", "tx_hash", "log_index"),
    )
    op.create_index("ix_foreign_sweeps_block", "foreign_sweeps", ["chain_id", "block_number"])


def downgrade() -> None:
    raise NotImplementedError("money tables only move forward; restore a backup instead")
