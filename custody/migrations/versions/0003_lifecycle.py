"""A transaction's whole life: who asked, approvals, delay, wishes, finality, free nonces, leases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from custody.migrations.append_only import make_append_only

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _widen_states()
    for column in (
        sa.Column("initiator", sa.String(64), nullable=False, server_default="engine"),
        sa.Column("vault", sa.String(64), nullable=False, server_default="default"),
        sa.Column("wish", sa.String(16), nullable=False, server_default=""),
        sa.Column("decision", sa.Text()),
        sa.Column("delayed_until_ns", sa.BigInteger()),
        sa.Column("outcome", sa.String(16)),
        sa.Column("booked", sa.Text()),
        sa.Column("bookings", sa.Integer(), nullable=False, server_default="0"),
    ):
        op.add_column("transactions", column)
    op.add_column("transaction_attempts", sa.Column("kind", sa.String(16), nullable=False, server_default="original"))
    _name_outcomes()
    op.execute("UPDATE transaction_attempts SET kind = 'faster' WHERE number > 0")
    op.create_table(
        "free_nonces",
        sa.Column("chain_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("address", sa.String(42), primary_key=True),
        sa.Column("nonce", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("freed_ns", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "account_leases",
        sa.Column("chain_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("address", sa.String(42), primary_key=True),
        sa.Column("holder", sa.String(128), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=False),
        sa.Column("has_lock", sa.Boolean(), nullable=False),
    )


def _widen_states() -> None:
    """From 16 to 24 characters: `awaiting-approval` has 17."""
    if op.get_bind().dialect.name == "postgresql":
        for table in ("transactions", "transaction_events"):
            op.alter_column(table, "state", type_=sa.String(24), existing_type=sa.String(16), existing_nullable=False)
        return
    # SQLite cannot alter a column, and a table that others refer to is not rebuilt lightly: a new column takes over.
    for change in ("update", "delete"):
        op.execute(f"DROP TRIGGER transaction_events_no_{change}")
    op.drop_index("ix_transactions_state", "transactions")
    for table in ("transactions", "transaction_events"):
        op.add_column(table, sa.Column("state_wide", sa.String(24), nullable=False, server_default=""))
        op.execute(f"UPDATE {table} SET state_wide = state")
        op.execute(f"ALTER TABLE {table} DROP COLUMN state")
        op.execute(f"ALTER TABLE {table} RENAME COLUMN state_wide TO state")
    op.create_index("ix_transactions_state", "transactions", ["state"])
    make_append_only("transaction_events")


def _name_outcomes() -> None:
    """What was booked before is followed to finality like the rest; what was lost has no hash."""
    for state, outcome, condition in (
        ("refused", "declined", "state = 'refused'"),
        ("lost", "lost", "state = 'failed' AND tx_hash IS NULL"),
        ("safe", "reverted", "state = 'failed'"),
        ("safe", "confirmed", "state = 'confirmed'"),
    ):
        op.execute(f"UPDATE transactions SET state = '{state}', outcome = '{outcome}' WHERE {condition}")


def downgrade() -> None:
    raise NotImplementedError("money tables only move forward; restore a backup instead")
