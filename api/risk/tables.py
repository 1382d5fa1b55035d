"""The table of changes of risk limits. The newest of a scope is what was last wanted of it."""

from __future__ import annotations

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from custody.columns import row_number


class LimitChangeRow(SQLModel, table=True):
    """What somebody wanted of the run's limits, or of one strategy's."""

    __tablename__ = "api_limit_changes"

    id: int | None = row_number()
    strategy: str = Field(max_length=40, index=True)
    """Empty: the run's."""
    actor: str = Field(max_length=120)
    reason: str = Field(max_length=200)
    changed: str = Field(sa_type=sa.Text)
    """JSON: by limit from, to."""
    limits: str = Field(sa_type=sa.Text)
    """JSON: what was last wanted of each limit that anybody ever changed."""
    created_ns: int = Field(sa_type=sa.BigInteger)
