"""The ledger's tables. Entries and postings are append-only; balances are derived, and checked by `verify`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from custody.columns import APPEND_ONLY, row_number
from runtime.database import RawAmount


class EntryRow(SQLModel, table=True):
    """One journal entry; `key` makes posting idempotent and `digest` tells whether the same thing is posted again."""

    __tablename__ = "ledger_entries"
    __table_args__ = (APPEND_ONLY,)

    id: int | None = row_number()
    key: str = Field(sa_column=Column(String(200), nullable=False, unique=True))
    kind: str = Field(sa_column=Column(String(32), nullable=False))
    strategy: str = Field(sa_column=Column(String(64), nullable=False))
    note: str = Field(sa_column=Column(Text, nullable=False))
    digest: str = Field(sa_column=Column(String(64), nullable=False))
    time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    tx_hash: str = Field(default="", sa_column=Column(String(66), nullable=False, server_default=""))


class PostingRow(SQLModel, table=True):
    """One leg of an entry: an amount added to (or, negative, taken from) an account."""

    __tablename__ = "ledger_postings"
    __table_args__ = (
        UniqueConstraint("entry_id", "line"),
        Index("ix_ledger_postings_account_asset", "account", "asset"),
        APPEND_ONLY,
    )

    id: int | None = row_number()
    entry_id: int = Field(sa_column=Column(BigInteger, ForeignKey("ledger_entries.id"), nullable=False))
    line: int = Field(sa_column=Column(Integer, nullable=False))
    account: str = Field(sa_column=Column(String(200), nullable=False))
    asset: str = Field(sa_column=Column(String(140), nullable=False))
    raw: int = Field(sa_column=Column(RawAmount, nullable=False))


class BalanceRow(SQLModel, table=True):
    """What an account holds of an asset, kept in the transaction that books: reading it costs the same for ever.

    Its row is also the lock under which an account is spent from.
    """

    __tablename__ = "ledger_balances"

    account: str = Field(sa_column=Column(String(200), primary_key=True))
    asset: str = Field(sa_column=Column(String(140), primary_key=True))
    raw: int = Field(sa_column=Column(RawAmount, nullable=False))
