"""The tables of custody. Their history is in `custody/migrations`; a test holds the two together.

Ledger entries, postings and transaction events are append-only: triggers in the database refuse UPDATE and DELETE.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from custody.approvals import tables as approval_tables
from custody.columns import row_number
from custody.transactions import tables as transaction_tables  # noqa: F401 - declares them
from runtime.database import Database, RawAmount

MIGRATIONS: Final = Path(__file__).parent / "migrations"

APPEND_ONLY: Final = (
    "ledger_entries",
    "ledger_postings",
    "transaction_events",
    *approval_tables.APPEND_ONLY,
)


def open_books(database: Database) -> Database:
    """Bring the database's schema up to date and hand it back."""
    database.migrate(MIGRATIONS)
    return database


class EntryRow(SQLModel, table=True):
    """One journal entry; `key` makes posting idempotent and `digest` tells whether the same thing is posted again."""

    __tablename__ = "ledger_entries"

    id: int | None = row_number()
    key: str = Field(sa_column=Column(String(200), nullable=False, unique=True))
    kind: str = Field(sa_column=Column(String(32), nullable=False))
    strategy: str = Field(sa_column=Column(String(64), nullable=False))
    note: str = Field(sa_column=Column(Text, nullable=False))
    digest: str = Field(sa_column=Column(String(64), nullable=False))
    time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))


class PostingRow(SQLModel, table=True):
    """One leg of an entry: an amount added to (or, negative, taken from) an account."""

    __tablename__ = "ledger_postings"
    __table_args__ = (
        UniqueConstraint("entry_id", "line"),
        Index("ix_ledger_postings_account_asset", "account", "asset"),
    )

    id: int | None = row_number()
    entry_id: int = Field(sa_column=Column(BigInteger, ForeignKey("ledger_entries.id"), nullable=False))
    line: int = Field(sa_column=Column(Integer, nullable=False))
    account: str = Field(sa_column=Column(String(200), nullable=False))
    asset: str = Field(sa_column=Column(String(140), nullable=False))
    raw: int = Field(sa_column=Column(RawAmount, nullable=False))
