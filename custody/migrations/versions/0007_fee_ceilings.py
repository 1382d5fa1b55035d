"""What each version of a transaction may cost at most: the hourly cap counts these."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from runtime.database import RawAmount

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("transaction_attempts", sa.Column("ceiling_wei", RawAmount(), nullable=False, server_default="0"))
    op.create_index("ix_transaction_attempts_created_ns", "transaction_attempts", ["created_ns"])


def downgrade() -> None:
    raise NotImplementedError("money tables only move forward; restore a backup instead")
