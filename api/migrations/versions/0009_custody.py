"""Whose custody's clients and vaults are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_custody_clients",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("organisation", sa.String(40), nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("organisation", "name"),
    )
    op.create_table(
        "api_custody_vaults",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("organisation", sa.String(40), nullable=False),
        sa.Column("changed_ns", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    raise NotImplementedError("ownership only moves forward; restore a backup instead")
