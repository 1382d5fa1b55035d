"""The table of orders that clients asked for."""

from __future__ import annotations

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class OrderRequestRow(SQLModel, table=True):
    """What a client wanted, as it was said; what became of it is the engine's to tell."""

    __tablename__ = "api_order_requests"

    id: str = Field(primary_key=True, max_length=40)
    organisation: str = Field(max_length=40, index=True)
    actor: str = Field(max_length=80)
    strategy: str = Field(max_length=40)
    instrument: str = Field(max_length=80)
    side: str = Field(max_length=8)
    type: str = Field(max_length=16)
    time_in_force: str = Field(max_length=8)
    price: str | None = Field(default=None, max_length=80)
    qty: str = Field(max_length=80)
    created_ns: int = Field(sa_type=sa.BigInteger)
