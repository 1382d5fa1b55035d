"""The table of effects that happen once."""

from __future__ import annotations

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class IdempotencyKey(SQLModel, table=True):
    """One mutating request of an organisation: what was asked, and what was answered. Written with the effect."""

    __tablename__ = "api_idempotency_keys"

    organisation: str = Field(primary_key=True, max_length=40)
    key: str = Field(primary_key=True, max_length=255)
    route: str = Field(max_length=120)
    request_digest: str = Field(max_length=64)
    status: int
    answer: str = Field(sa_type=sa.Text)
    created_ns: int = Field(sa_type=sa.BigInteger, index=True)
