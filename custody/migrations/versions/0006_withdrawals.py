"""Withdrawals, their history, address books, and exchanges' sealed secrets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from custody.migrations.append_only import make_append_only
from runtime.database import RawAmount

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "withdrawals",
        sa.Column("id", number, primary_key=True, autoincrement=True),
        sa.Column("withdrawal_id", sa.String(40), nullable=False, unique=True),
        sa.Column("client", sa.String(64), nullable=False),
        sa.Column("client_key", sa.String(128), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(80), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("place", sa.String(64), nullable=False),
        sa.Column("network", sa.String(64), nullable=False),
        sa.Column("asset", sa.String(140), nullable=False),
        sa.Column("raw", RawAmount(), nullable=False),
        sa.Column("fee_raw", RawAmount(), nullable=False),
        sa.Column("address", sa.String(128), nullable=False),
        sa.Column("memo", sa.String(128), nullable=False),
        sa.Column("vault", sa.String(64), nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("followed", sa.String(128), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("tx_hash", sa.String(128), nullable=False),
        sa.Column("venue_ref", sa.String(128), nullable=False),
        sa.Column("venue_fee_raw", RawAmount(), nullable=False, server_default="0"),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("due_ns", sa.BigInteger(), nullable=False),
        sa.Column("asked_ns", sa.BigInteger(), nullable=False),
        sa.Column("needs_operator", sa.Boolean(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("updated_ns", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("client", "client_key"),
    )
    op.create_index("ix_withdrawals_state", "withdrawals", ["state"])
    op.create_index("ix_withdrawals_user_id", "withdrawals", ["user_id"])
    op.create_table(
        "withdrawal_events",
        sa.Column("id", number, primary_key=True, autoincrement=True),
        sa.Column("withdrawal", sa.BigInteger(), sa.ForeignKey("withdrawals.id"), nullable=False, index=True),
        sa.Column("event", sa.String(24), nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
    )
    make_append_only("withdrawal_events")
    op.create_table(
        "withdrawal_addresses",
        sa.Column("id", number, primary_key=True, autoincrement=True),
        sa.Column("user_id", sa.String(80), nullable=False),
        sa.Column("place", sa.String(64), nullable=False),
        sa.Column("address", sa.String(128), nullable=False),
        sa.Column("memo", sa.String(128), nullable=False),
        sa.Column("label", sa.String(80), nullable=False),
        sa.Column("added_ns", sa.BigInteger(), nullable=False),
        sa.Column("removed_ns", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_withdrawal_addresses_place", "withdrawal_addresses", ["user_id", "place", "address"])
    op.create_table(
        "venue_secrets",
        sa.Column("id", sa.String(80), primary_key=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("changed_ns", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    raise NotImplementedError("money tables only move forward; restore a backup instead")
