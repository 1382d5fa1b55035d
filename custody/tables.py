"""The tables of custody. Their history is in `custody/migrations`; a test holds the two together.

Ledger entries, postings and transaction events are append-only: triggers in the database refuse UPDATE and DELETE.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from runtime.database import Database, RawAmount

MIGRATIONS: Final = Path(__file__).parent / "migrations"

APPEND_ONLY: Final = ("ledger_entries", "ledger_postings", "transaction_events")

# SQLite numbers rows by itself only under the exact type INTEGER.
_RowNumber = BigInteger().with_variant(Integer(), "sqlite")


def open_books(database: Database) -> Database:
    """Bring the database's schema up to date and hand it back."""
    database.migrate(MIGRATIONS)
    return database


def _number(**options: Any) -> Any:
    return Field(default=None, sa_column=Column(_RowNumber, primary_key=True, autoincrement=True, **options))


class EntryRow(SQLModel, table=True):
    """One journal entry; `key` makes posting idempotent and `digest` tells whether the same thing is posted again."""

    __tablename__ = "ledger_entries"

    id: int | None = _number()
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

    id: int | None = _number()
    entry_id: int = Field(sa_column=Column(BigInteger, ForeignKey("ledger_entries.id"), nullable=False))
    line: int = Field(sa_column=Column(Integer, nullable=False))
    account: str = Field(sa_column=Column(String(200), nullable=False))
    asset: str = Field(sa_column=Column(String(140), nullable=False))
    raw: int = Field(sa_column=Column(RawAmount, nullable=False))


class TransactionRow(SQLModel, table=True):
    """One intent and how far it has come. `id` orders intents as they were recorded."""

    __tablename__ = "transactions"
    __table_args__ = (
        UniqueConstraint("chain_id", "sender", "nonce"),
        Index("ix_transactions_state", "state"),
        Index("ix_transactions_settled", "settled_ns"),
    )

    id: int | None = _number()
    intent_id: str = Field(sa_column=Column(String(128), nullable=False, unique=True))
    strategy: str = Field(sa_column=Column(String(64), nullable=False))
    purpose: str = Field(sa_column=Column(String(16), nullable=False))
    chain_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    sender: str = Field(sa_column=Column(String(42), nullable=False))
    plan: str = Field(sa_column=Column(Text, nullable=False))
    state: str = Field(sa_column=Column(String(16), nullable=False))
    nonce: int | None = Field(default=None, sa_column=Column(BigInteger))
    approved_ns: int | None = Field(default=None, sa_column=Column(BigInteger))
    tx_hash: str | None = Field(default=None, sa_column=Column(String(66)))
    block_number: int | None = Field(default=None, sa_column=Column(BigInteger))
    block_hash: str | None = Field(default=None, sa_column=Column(String(66)))
    settlement: str | None = Field(default=None, sa_column=Column(Text))
    settled_ns: int | None = Field(default=None, sa_column=Column(BigInteger))


class SpendRow(SQLModel, table=True):
    """What an approved intent may take from the vault: the velocity limit counts these."""

    __tablename__ = "transaction_spends"

    transaction_id: int = Field(sa_column=Column(BigInteger, ForeignKey("transactions.id"), primary_key=True))
    asset: str = Field(sa_column=Column(String(140), primary_key=True))
    raw: int = Field(sa_column=Column(RawAmount, nullable=False))


class AttemptRow(SQLModel, table=True):
    """One version of an intent's transaction: recorded unsigned, then with its raw bytes. More than one: fee bumps."""

    __tablename__ = "transaction_attempts"

    transaction_id: int = Field(sa_column=Column(BigInteger, ForeignKey("transactions.id"), primary_key=True))
    number: int = Field(sa_column=Column(Integer, primary_key=True))
    unsigned: str = Field(sa_column=Column(Text, nullable=False))
    raw: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    tx_hash: str | None = Field(default=None, sa_column=Column(String(66), index=True))
    refused: str | None = Field(default=None, sa_column=Column(Text))
    created_ns: int = Field(sa_column=Column(BigInteger, nullable=False))


class TransactionEventRow(SQLModel, table=True):
    """What happened to an intent, written in the database transaction that changed its state."""

    __tablename__ = "transaction_events"

    id: int | None = _number()
    transaction_id: int = Field(sa_column=Column(BigInteger, ForeignKey("transactions.id"), nullable=False, index=True))
    event: str = Field(sa_column=Column(String(32), nullable=False))
    state: str = Field(sa_column=Column(String(16), nullable=False))
    detail: str = Field(sa_column=Column(Text, nullable=False))
    time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))


class NonceRow(SQLModel, table=True):
    """The next nonce of an account. Lower ones are each bound to an intent, without a gap."""

    __tablename__ = "nonces"

    chain_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    address: str = Field(sa_column=Column(String(42), primary_key=True))
    next_nonce: int = Field(sa_column=Column(BigInteger, nullable=False))
