"""The transaction outbox: intents, what they spend, their signed versions, their history, and the nonces."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from custody.migrations.append_only import make_append_only
from runtime.database import RawAmount

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_row_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "transactions",
        sa.Column("id", _row_number, primary_key=True, autoincrement=True),
        sa.Column("intent_id", sa.String(128), nullable=False, unique=True),
        sa.Column("strategy", sa.String(64), nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("sender", sa.String(42), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("nonce", sa.BigInteger()),
        sa.Column("approved_ns", sa.BigInteger()),
        sa.Column("tx_hash", sa.String(66)),
        sa.Column("block_number", sa.BigInteger()),
        sa.Column("block_hash", sa.String(66)),
        sa.Column("settlement", sa.Text()),
        sa.Column("settled_ns", sa.BigInteger()),
        sa.UniqueConstraint("chain_id", "sender", "nonce"),
    )
    op.create_index("ix_transactions_state", "transactions", ["state"])
    op.create_index("ix_transactions_settled", "transactions", ["settled_ns"])
    op.create_table(
        "transaction_spends",
        sa.Column("transaction_id", sa.BigInteger(), sa.ForeignKey("transactions.id"), primary_key=True),
        sa.Column("asset", sa.String(140), primary_key=True),
        sa.Column("raw", RawAmount(), nullable=False),
    )
    op.create_table(
        "transaction_attempts",
        sa.Column("transaction_id", sa.BigInteger(), sa.ForeignKey("transactions.id"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("unsigned", sa.Text(), nullable=False),
        sa.Column("raw", sa.LargeBinary()),
        sa.Column("tx_hash", sa.String(66)),
        sa.Column("refused", sa.Text()),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_transaction_attempts_tx_hash", "transaction_attempts", ["tx_hash"])
    op.create_table(
        "transaction_events",
        sa.Column("id", _row_number, primary_key=True, autoincrement=True),
        sa.Column("transaction_id", sa.BigInteger(), sa.ForeignKey("transactions.id"), nullable=False),
        sa.Column("event", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_transaction_events_transaction_id", "transaction_events", ["transaction_id"])
    op.create_table(
        "nonces",
        sa.Column("chain_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("address", sa.String(42), primary_key=True),
        sa.Column("next_nonce", sa.BigInteger(), nullable=False),
    )
    make_append_only("transaction_events")


def downgrade() -> None:
    raise NotImplementedError("money tables only move forward; restore a backup instead")
