"""The tables of session keys: certificates, allotments and revocations, all append-only."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, String, Text
from sqlmodel import Field, SQLModel

from custody.columns import APPEND_ONLY, row_number
from runtime.database import RawAmount


class SessionKeyRow(SQLModel, table=True):
    """One key and what it was granted."""

    __tablename__ = "session_keys"
    __table_args__ = (Index("ix_session_keys_key", "key"), APPEND_ONLY)

    id: int | None = row_number()
    key: str = Field(sa_column=Column(String(80), nullable=False))
    scope: str = Field(sa_column=Column(String(90), nullable=False))
    terms: str = Field(sa_column=Column(Text, nullable=False))
    """`SessionTerms` as JSON."""
    operator: str = Field(sa_column=Column(String(80), nullable=False))
    time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))


class SessionAllotmentRow(SQLModel, table=True):
    """What counts as spent until a window after its end, whether its signer lives to use it or not."""

    __tablename__ = "session_allotments"
    __table_args__ = (Index("ix_session_allotments_key_until", "key_id", "until_ns"), APPEND_ONLY)

    id: int | None = row_number()
    key_id: int = Field(sa_column=Column(BigInteger, ForeignKey("session_keys.id"), nullable=False))
    renews: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    """The allotment that lasts longer by this row, and counts once."""
    instance: str = Field(sa_column=Column(String(32), nullable=False))
    value: int = Field(sa_column=Column(RawAmount, nullable=False))
    count: int = Field(sa_column=Column(BigInteger, nullable=False))
    time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    until_ns: int = Field(sa_column=Column(BigInteger, nullable=False))


class SessionRevocationRow(SQLModel, table=True):
    """The end of a key."""

    __tablename__ = "session_revocations"
    __table_args__ = (APPEND_ONLY,)

    key_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("session_keys.id"), primary_key=True, autoincrement=False)
    )
    source: str = Field(sa_column=Column(String(80), nullable=False))
    reason: str = Field(sa_column=Column(Text, nullable=False))
    time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
