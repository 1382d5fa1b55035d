"""The double-entry ledger: entries and postings, append-only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from custody.migrations.append_only import make_append_only
from runtime.database import RawAmount

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_row_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "ledger_entries",
        sa.Column("id", _row_number, primary_key=True, autoincrement=True),
        sa.Column("key", sa.String(200), nullable=False, unique=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("strategy", sa.String(64), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "ledger_postings",
        sa.Column("id", _row_number, primary_key=True, autoincrement=True),
        sa.Column("entry_id", sa.BigInteger(), sa.ForeignKey("ledger_entries.id"), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("account", sa.String(200), nullable=False),
        sa.Column("asset", sa.String(140), nullable=False),
        sa.Column("raw", RawAmount(), nullable=False),
        sa.UniqueConstraint("entry_id", "line"),
    )
    op.create_index("ix_ledger_postings_account_asset", "ledger_postings", ["account", "asset"])
    make_append_only("ledger_entries")
    make_append_only("ledger_postings")


def downgrade() -> None:
    raise NotImplementedError("money tables only move forward; restore a backup instead")
