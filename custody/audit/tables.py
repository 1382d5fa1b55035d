"""The audit log's table."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String, Text
from sqlmodel import Field, SQLModel

from custody.columns import APPEND_ONLY


class AuditRow(SQLModel, table=True):
    """One record. `hash` is over all of it and over `previous`, the hash of the record before."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("ix_audit_log_kind", "kind"),
        Index("ix_audit_log_subject", "subject"),
        APPEND_ONLY,
    )

    sequence: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    kind: str = Field(sa_column=Column(String(64), nullable=False))
    subject: str = Field(sa_column=Column(String(200), nullable=False))
    detail: str = Field(sa_column=Column(Text, nullable=False))
    previous: str = Field(sa_column=Column(String(64), nullable=False))
    hash: str = Field(sa_column=Column(String(64), nullable=False))


class AuditCheckpointRow(SQLModel, table=True):
    """A signed statement about the first `count` records. `frontier` is the Merkle tree's, to go on from."""

    __tablename__ = "audit_checkpoints"
    __table_args__ = (APPEND_ONLY,)

    count: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    head: str = Field(sa_column=Column(String(64), nullable=False))
    root: str = Field(sa_column=Column(String(64), nullable=False))
    time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    key: str = Field(sa_column=Column(String(80), nullable=False))
    signature: str = Field(sa_column=Column(String(130), nullable=False))
    frontier: str = Field(sa_column=Column(Text, nullable=False))


class AuditExportRow(SQLModel, table=True):
    """A checkpoint that has reached a place off this host."""

    __tablename__ = "audit_exports"
    __table_args__ = (APPEND_ONLY,)

    count: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    target: str = Field(sa_column=Column(String(200), primary_key=True))
    time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
