"""The capital ramp: proposals, steps, and the runs of each step."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from custody.columns import RowNumber
from custody.migrations.append_only import make_append_only

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ramp_steps",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("stage", sa.BigInteger(), nullable=False),
        sa.Column("terms", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("proposal_id", sa.BigInteger(), nullable=True),
        sa.Column("operator", sa.String(80), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("proposal_id"),
    )
    op.create_index("ix_ramp_steps_scope", "ramp_steps", ["scope"])
    op.create_table(
        "ramp_proposals",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("step_id", sa.BigInteger(), sa.ForeignKey("ramp_steps.id"), nullable=False),
        sa.Column("stage", sa.BigInteger(), nullable=False),
        sa.Column("terms", sa.String(64), nullable=False),
        sa.Column("operator", sa.String(80), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_ramp_proposals_step_id", "ramp_proposals", ["step_id"])
    op.create_table(
        "ramp_runs",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("step_id", sa.BigInteger(), sa.ForeignKey("ramp_steps.id"), nullable=False),
        sa.Column("run", sa.String(32), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("step_id", "run"),
    )
    for table in ("ramp_steps", "ramp_proposals", "ramp_runs"):
        make_append_only(table)


def downgrade() -> None:
    raise NotImplementedError("steps only move forward; restore a backup instead")
