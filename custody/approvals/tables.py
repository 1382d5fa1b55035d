"""The tables of approvals. What was asked and what was signed about it are append-only."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, String, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from custody.columns import APPEND_ONLY, row_number


class ApprovalRequestRow(SQLModel, table=True):
    """An intent that people are asked about, with the text they are shown."""

    __tablename__ = "approval_requests"
    __table_args__ = (APPEND_ONLY,)

    id: int | None = row_number()
    intent_id: str = Field(sa_column=Column(String(128), nullable=False, unique=True))
    intent: str = Field(sa_column=Column(Text, nullable=False))
    text: str = Field(sa_column=Column(Text, nullable=False))
    digest: str = Field(sa_column=Column(String(64), nullable=False))
    requirements: str = Field(sa_column=Column(Text, nullable=False))
    expires_s: int = Field(sa_column=Column(BigInteger, nullable=False))
    opened_ns: int = Field(sa_column=Column(BigInteger, nullable=False))


class ApprovalRow(SQLModel, table=True):
    """A signed verdict. `counter` is the passkey's, 0 for keys without one."""

    __tablename__ = "approvals"
    __table_args__ = (UniqueConstraint("intent_id", "key", "verdict"), APPEND_ONLY)

    id: int | None = row_number()
    intent_id: str = Field(
        sa_column=Column(String(128), ForeignKey("approval_requests.intent_id"), nullable=False, index=True)
    )
    approver: str = Field(sa_column=Column(String(64), nullable=False))
    key: str = Field(sa_column=Column(Text, nullable=False, index=True))
    verdict: str = Field(sa_column=Column(String(16), nullable=False))
    proof: str = Field(sa_column=Column(Text, nullable=False))
    counter: int = Field(sa_column=Column(BigInteger, nullable=False))
    time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))


class AttestationRow(SQLModel, table=True):
    """The latest statements of services about an intent, passed on to signers as they are."""

    __tablename__ = "approval_attestations"

    intent_id: str = Field(sa_column=Column(String(128), ForeignKey("approval_requests.intent_id"), primary_key=True))
    attestations: str = Field(sa_column=Column(Text, nullable=False))
