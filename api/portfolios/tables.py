"""The tables of portfolios."""

from __future__ import annotations

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class PortfolioRow(SQLModel, table=True):
    """A book of an organisation: strategies whose orders, positions and results it owns."""

    __tablename__ = "api_portfolios"

    id: str = Field(primary_key=True, max_length=40)
    organisation: str = Field(max_length=40, index=True)
    name: str = Field(max_length=80)
    has_rest: bool = False
    """It owns every strategy that is in no other: one portfolio of the installation's own organisation."""
    created_ns: int = Field(sa_type=sa.BigInteger)


class PortfolioStrategyRow(SQLModel, table=True):
    """A strategy is in one portfolio."""

    __tablename__ = "api_portfolio_strategies"

    strategy: str = Field(primary_key=True, max_length=40)
    portfolio: str = Field(max_length=40, foreign_key="api_portfolios.id", index=True)
