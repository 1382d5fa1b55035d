"""The tables of the kill switch."""

from __future__ import annotations

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class KillRow(SQLModel, table=True):
    """One press: of what, by whom, why; ended when two people said so."""

    __tablename__ = "api_kills"

    id: str = Field(primary_key=True, max_length=40)
    organisation: str = Field(max_length=40, index=True)
    actor: str = Field(max_length=80)
    target: str = Field(max_length=16)
    name: str = Field(max_length=80)
    mode: str = Field(max_length=16)
    reason: str = Field(max_length=200)
    strategies: str = Field(sa_type=sa.Text)
    """JSON list."""
    is_whole: bool
    freeze: int | None = None
    """Id of custody's freeze."""
    created_ns: int = Field(sa_type=sa.BigInteger)
    released_ns: int | None = Field(default=None, sa_type=sa.BigInteger)


class KillReleaseRow(SQLModel, table=True):
    """One person's word that a press may end."""

    __tablename__ = "api_kill_releases"

    kill: str = Field(primary_key=True, max_length=40, foreign_key="api_kills.id")
    user: str = Field(primary_key=True, max_length=40)
    reason: str = Field(max_length=200)
    created_ns: int = Field(sa_type=sa.BigInteger)
