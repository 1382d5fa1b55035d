"""An invitation says what its holder will be; who it is for need not be known yet."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # None was ever given out: the release before made organisations with their owners only.
    op.drop_table("api_invitations")
    op.create_table(
        "api_invitations",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("organisation", sa.String(40), sa.ForeignKey("api_organisations.id"), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("roles", sa.String(120), nullable=False),
        sa.Column("portfolios", sa.Text(), nullable=True),
        sa.Column("invited_by", sa.String(80), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("ix_api_invitations_organisation", "api_invitations", ["organisation"])


def downgrade() -> None:
    raise NotImplementedError("people and keys only move forward; restore a backup instead")
