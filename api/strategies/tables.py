"""The table of what each strategy ran with, version by version."""

from __future__ import annotations

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from custody.columns import row_number


class StrategyVersionRow(SQLModel, table=True):
    """Parameters that the engine took, and who gave them."""

    __tablename__ = "api_strategy_versions"
    __table_args__ = (sa.UniqueConstraint("strategy", "version"),)

    id: int | None = row_number()
    strategy: str = Field(max_length=40)
    version: int
    source: str = Field(max_length=16)
    """`operator`, or `file` where the settings said so."""
    author: str = Field(max_length=120)
    reason: str = Field(max_length=200)
    changed: str = Field(sa_type=sa.Text)
    """JSON: by key from, to."""
    parameters: str = Field(sa_type=sa.Text)
    """JSON: all of them."""
    created_ns: int = Field(sa_type=sa.BigInteger)
