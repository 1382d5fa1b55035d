"""The table of pulses: what works in the background says here that it does."""

from __future__ import annotations

import sqlalchemy as sa
from sqlmodel import Field, Session, SQLModel


class PulseRow(SQLModel, table=True):
    """When somebody was alive last."""

    __tablename__ = "api_pulses"

    name: str = Field(primary_key=True, max_length=40)
    time_ns: int = Field(sa_type=sa.BigInteger)


def note_pulse(session: Session, name: str, now_ns: int) -> None:
    """Say that somebody is alive now."""
    session.merge(PulseRow(name=name, time_ns=now_ns))
