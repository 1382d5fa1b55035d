"""Derived balances, the entries' transactions, freezes, and the audit log."""

from __future__ import annotations

from collections import defaultdict

import sqlalchemy as sa
from alembic import op

from custody.migrations.append_only import make_append_only
from runtime.database import RawAmount

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_row_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("ledger_entries", sa.Column("tx_hash", sa.String(66), nullable=False, server_default=""))
    balances = op.create_table(
        "ledger_balances",
        sa.Column("account", sa.String(200), primary_key=True),
        sa.Column("asset", sa.String(140), primary_key=True),
        sa.Column("raw", RawAmount(), nullable=False),
    )
    _backfill(balances)
    op.create_table(
        "freezes",
        sa.Column("id", _row_number, primary_key=True, autoincrement=True),
        sa.Column("scope", sa.String(90), nullable=False),
        sa.Column("source", sa.String(80), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_freezes_scope", "freezes", ["scope"])
    op.create_table(
        "freeze_lifts",
        sa.Column("id", _row_number, primary_key=True, autoincrement=True),
        sa.Column("freeze_id", sa.BigInteger(), sa.ForeignKey("freezes.id"), nullable=False),
        sa.Column("operator", sa.String(80), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("freeze_id", "operator"),
    )
    op.create_table(
        "audit_log",
        sa.Column("sequence", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_index("ix_audit_log_kind", "audit_log", ["kind"])
    op.create_index("ix_audit_log_subject", "audit_log", ["subject"])
    for table in ("freezes", "freeze_lifts", "audit_log"):
        make_append_only(table)


def _backfill(balances: sa.Table) -> None:
    """Sum what is booked already: in Python, because SQLite cannot add 78 digits."""
    postings = sa.table("ledger_postings", sa.column("account"), sa.column("asset"), sa.column("raw", RawAmount()))
    totals: dict[tuple[str, str], int] = defaultdict(int)
    for account, asset, raw in op.get_bind().execute(sa.select(postings)):
        totals[account, asset] += raw
    if totals:
        op.bulk_insert(
            balances, [{"account": account, "asset": asset, "raw": raw} for (account, asset), raw in totals.items()]
        )


def downgrade() -> None:
    raise NotImplementedError("money tables only move forward; restore a backup instead")
