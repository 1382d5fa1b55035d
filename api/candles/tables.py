"""The table of candles: what public trades came to, in spans of a minute, an hour and a day."""

from __future__ import annotations

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class CandleRow(SQLModel, table=True):
    """One span in which something traded. Numbers are decimal text."""

    __tablename__ = "api_candles"
    __table_args__ = (sa.Index("ix_api_candles_span_start", "span_s", "start_s"),)

    instrument: str = Field(primary_key=True, max_length=80)
    span_s: int = Field(primary_key=True)
    start_s: int = Field(primary_key=True, sa_type=sa.BigInteger)
    open: str = Field(max_length=80)
    high: str = Field(max_length=80)
    low: str = Field(max_length=80)
    close: str = Field(max_length=80)
    volume: str = Field(max_length=80)
    quote: str = Field(max_length=80)
    trades: int
