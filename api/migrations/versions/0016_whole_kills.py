"""A press of the kill switch says whether it is of the whole run.

Until here the whole run was a press without strategies. A tenant's that found nothing to stop looked the same, and is
none.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_kills", sa.Column("is_whole", sa.Boolean(), nullable=False, server_default=sa.false()))
    kills = sa.table("api_kills", *(sa.column(name) for name in ("organisation", "target", "strategies", "is_whole")))
    portfolios = sa.table("api_portfolios", sa.column("organisation"), sa.column("has_rest", sa.Boolean()))
    house = sa.select(portfolios.c.organisation).where(portfolios.c.has_rest.is_(sa.true()))
    whole = (kills.c.strategies == "[]", kills.c.target == "all", kills.c.organisation.in_(house))
    op.execute(kills.update().where(*whole).values(is_whole=sa.true()))


def downgrade() -> None:
    raise NotImplementedError("presses only move forward; restore a backup instead")
