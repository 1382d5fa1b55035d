"""Deposits: addresses, the cursor and recent blocks of each chain, deposits with their history, sweeps, gas grants."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from custody.migrations.append_only import make_append_only
from runtime.database import RawAmount

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_row_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _addresses()
    op.create_table(
        "deposit_cursors",
        sa.Column("chain_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(66), nullable=False),
        sa.Column("finalized", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "deposit_blocks",
        sa.Column("chain_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("hash", sa.String(66), nullable=False),
    )
    _deposits()
    _sweeps()


def _addresses() -> None:
    op.create_table(
        "deposit_addresses",
        sa.Column("id", _row_number, primary_key=True, autoincrement=True),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("user", sa.String(80), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("label", sa.String(64), nullable=False),
        sa.Column("origin", sa.String(64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("address", sa.String(42), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("chain_id", "address"),
        sa.UniqueConstraint("chain_id", "kind", "user", "label"),
        sa.UniqueConstraint("chain_id", "origin", "number"),
    )


def _deposits() -> None:
    op.create_table(
        "deposits",
        sa.Column("id", _row_number, primary_key=True, autoincrement=True),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("tx_hash", sa.String(66), nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False),
        sa.Column("leg", sa.Integer(), nullable=False),
        sa.Column("occurrence", sa.Integer(), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", sa.String(66), nullable=False),
        sa.Column("user", sa.String(80), nullable=False),
        sa.Column("address", sa.String(42), nullable=False),
        sa.Column("asset", sa.String(140), nullable=False),
        sa.Column("raw", RawAmount(), nullable=False),
        sa.Column("sender", sa.String(42), nullable=False),
        sa.Column("origin", sa.String(42), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("seen_ns", sa.BigInteger(), nullable=False),
        sa.Column("final_ns", sa.BigInteger()),
        sa.Column("sweep_id", sa.String(64)),
        sa.UniqueConstraint("chain_id", "tx_hash", "log_index", "leg"),
    )
    op.create_index("ix_deposits_state", "deposits", ["chain_id", "state", "block_number"])
    op.create_index("ix_deposits_user", "deposits", ["user"])
    op.create_index("ix_deposits_sweep", "deposits", ["sweep_id"])
    op.create_table(
        "deposit_events",
        sa.Column("id", _row_number, primary_key=True, autoincrement=True),
        sa.Column("deposit_id", sa.BigInteger(), sa.ForeignKey("deposits.id"), nullable=False),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_deposit_events_deposit_id", "deposit_events", ["deposit_id"])
    make_append_only("deposit_events")


def _sweeps() -> None:
    op.create_table(
        "sweeps",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("sender", sa.String(42), nullable=False),
        sa.Column("target", sa.String(42), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("tx_hash", sa.String(66), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("ended_ns", sa.BigInteger()),
    )
    op.create_index("ix_sweeps_state", "sweeps", ["chain_id", "state"])
    op.create_table(
        "sweep_items",
        sa.Column("sweep_id", sa.String(64), sa.ForeignKey("sweeps.id"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("address", sa.String(42), nullable=False),
        sa.Column("asset", sa.String(140), nullable=False),
        sa.Column("raw", RawAmount(), nullable=False),
        sa.Column("arrived_raw", RawAmount()),
    )
    op.create_table(
        "gas_grants",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.String(42), nullable=False),
        sa.Column("raw", RawAmount(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_gas_grants_time", "gas_grants", ["chain_id", "created_ns"])


def downgrade() -> None:
    raise NotImplementedError("money tables only move forward; restore a backup instead")
