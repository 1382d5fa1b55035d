"""The table of policies: every bundle that was ever accepted, append-only."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, String, Text
from sqlmodel import Field, SQLModel

from custody.columns import APPEND_ONLY


class PolicyBundleRow(SQLModel, table=True):
    """A bundle with its signatures, and when it becomes active here."""

    __tablename__ = "policy_bundles"
    __table_args__ = (APPEND_ONLY,)

    version: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    digest: str = Field(sa_column=Column(String(64), nullable=False))
    bundle: str = Field(sa_column=Column(Text, nullable=False))
    signed_s: int = Field(sa_column=Column(BigInteger, nullable=False))
    seen_s: int = Field(sa_column=Column(BigInteger, nullable=False))
    effective_s: int = Field(sa_column=Column(BigInteger, nullable=False))
