"""Policies that administrators have signed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from custody.migrations.append_only import make_append_only

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "policy_bundles",
        sa.Column("version", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("bundle", sa.Text(), nullable=False),
        sa.Column("signed_s", sa.BigInteger(), nullable=False),
        sa.Column("seen_s", sa.BigInteger(), nullable=False),
        sa.Column("effective_s", sa.BigInteger(), nullable=False),
    )
    make_append_only("policy_bundles")


def downgrade() -> None:
    raise NotImplementedError("policies only move forward; restore a backup instead")
