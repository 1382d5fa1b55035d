"""The tables of orders and trades. Numbers are decimal text, as they are told."""

from __future__ import annotations

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from custody.columns import row_number


class OrderRow(SQLModel, table=True):
    """One order as it was last known."""

    __tablename__ = "api_orders"
    __table_args__ = (sa.Index("ix_api_orders_strategy_id", "strategy", "id"),)

    id: int | None = row_number()
    client_order_id: str = Field(max_length=64, unique=True)
    strategy: str = Field(max_length=40)
    instrument: str = Field(max_length=80)
    side: str = Field(max_length=8)
    type: str = Field(max_length=16)
    time_in_force: str = Field(max_length=8)
    price: str = Field(max_length=80)
    qty: str = Field(max_length=80)
    filled: str = Field(max_length=80)
    state: str = Field(max_length=24)
    reason: str | None = Field(default=None, sa_type=sa.Text)
    venue_order_id: str | None = Field(default=None, max_length=80)
    sent_ns: str = Field(max_length=24)


class FillRow(SQLModel, table=True):
    """One trade; the venue's id makes it unique."""

    __tablename__ = "api_fills"
    __table_args__ = (
        sa.UniqueConstraint("instrument", "trade_id"),
        sa.Index("ix_api_fills_strategy_id", "strategy", "id"),
    )

    id: int | None = row_number()
    strategy: str = Field(max_length=40)
    instrument: str = Field(max_length=80)
    trade_id: str = Field(max_length=80)
    client_order_id: str = Field(max_length=64)
    venue_order_id: str | None = Field(default=None, max_length=80)
    side: str = Field(max_length=8)
    price: str = Field(max_length=80)
    qty: str = Field(max_length=80)
    quote: str = Field(max_length=80)
    fee_asset: str = Field(max_length=40)
    fee: str = Field(max_length=80)
    is_maker: bool
    time_ns: str = Field(max_length=24)
