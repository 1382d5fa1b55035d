"""The tables of backtests."""

from __future__ import annotations

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from custody.columns import row_number


class BacktestRow(SQLModel, table=True):
    """One job: what is asked, and how far it is. `queued` → `running` → `done`, `failed` or `cancelled`."""

    __tablename__ = "api_backtests"
    __table_args__ = (sa.Index("ix_api_backtests_organisation_number", "organisation", "number"),)

    number: int | None = row_number()
    id: str = Field(max_length=40, unique=True)
    organisation: str = Field(max_length=40)
    actor: str = Field(max_length=80)
    name: str = Field(max_length=80)
    form: str = Field(max_length=8)
    config: str = Field(sa_type=sa.Text)
    """As it was sent."""
    checked: str = Field(sa_type=sa.Text)
    """The same, checked, as JSON: what the job is given."""
    state: str = Field(max_length=12, index=True)
    part: str = Field(default="", max_length=80)
    permille: int = 0
    slot: int | None = None
    attempts: int = 0
    cancel_asked: bool = False
    error: str = Field(default="", sa_type=sa.Text)
    hint: str = Field(default="", sa_type=sa.Text)
    created_ns: int = Field(sa_type=sa.BigInteger)
    started_ns: int | None = Field(default=None, sa_type=sa.BigInteger)
    ended_ns: int | None = Field(default=None, sa_type=sa.BigInteger)


class BacktestResultRow(SQLModel, table=True):
    """What came of one that is done."""

    __tablename__ = "api_backtest_results"

    backtest: str = Field(primary_key=True, max_length=40, foreign_key="api_backtests.id")
    result: str = Field(sa_type=sa.Text)
    curve: str = Field(sa_type=sa.Text)
    report: bytes = Field(sa_type=sa.LargeBinary)
    """The page, packed; see `engine.backtest.packing`."""
