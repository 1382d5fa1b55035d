"""Approvals: what people are asked, what they signed about it, and what services attest."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from custody.migrations.append_only import make_append_only

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_row_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "approval_requests",
        sa.Column("id", _row_number, primary_key=True, autoincrement=True),
        sa.Column("intent_id", sa.String(128), nullable=False, unique=True),
        sa.Column("intent", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("requirements", sa.Text(), nullable=False),
        sa.Column("expires_s", sa.BigInteger(), nullable=False),
        sa.Column("opened_ns", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "approvals",
        sa.Column("id", _row_number, primary_key=True, autoincrement=True),
        sa.Column("intent_id", sa.String(128), sa.ForeignKey("approval_requests.intent_id"), nullable=False),
        sa.Column("approver", sa.String(64), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("proof", sa.Text(), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("intent_id", "key", "verdict"),
    )
    op.create_index("ix_approvals_intent_id", "approvals", ["intent_id"])
    op.create_index("ix_approvals_key", "approvals", ["key"])
    op.create_table(
        "approval_attestations",
        sa.Column("intent_id", sa.String(128), sa.ForeignKey("approval_requests.intent_id"), primary_key=True),
        sa.Column("attestations", sa.Text(), nullable=False),
    )
    make_append_only("approval_requests")
    make_append_only("approvals")


def downgrade() -> None:
    raise NotImplementedError("money tables only move forward; restore a backup instead")
