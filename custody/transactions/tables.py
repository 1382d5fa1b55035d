"""The tables of transactions: intents, what they spend, their signed versions, their history, nonces and leases.

`transaction_events` is append-only. Every change of a state is made under the account's lease (`account_leases`): the
token is compared in the same database transaction.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
)
from sqlmodel import Field, SQLModel

from custody.columns import APPEND_ONLY, row_number
from runtime.database import RawAmount


class TransactionRow(SQLModel, table=True):
    """One intent and how far it has come. `id` orders intents as they were recorded."""

    __tablename__ = "transactions"
    __table_args__ = (
        UniqueConstraint("chain_id", "sender", "nonce"),
        Index("ix_transactions_state", "state"),
        Index("ix_transactions_settled", "settled_ns"),
    )

    id: int | None = row_number()
    intent_id: str = Field(sa_column=Column(String(128), nullable=False, unique=True))
    strategy: str = Field(sa_column=Column(String(64), nullable=False))
    purpose: str = Field(sa_column=Column(String(16), nullable=False))
    chain_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    sender: str = Field(sa_column=Column(String(42), nullable=False))
    initiator: str = Field(sa_column=Column(String(64), nullable=False, server_default="engine"))
    """Who asked for it; may not approve it."""
    vault: str = Field(sa_column=Column(String(64), nullable=False, server_default="default"))
    plan: str = Field(sa_column=Column(Text, nullable=False))
    state: str = Field(sa_column=Column(String(24), nullable=False))
    wish: str = Field(default="", sa_column=Column(String(16), nullable=False, server_default=""))
    """What an operator asked for and the desk has not done yet: `cancel`, `hold`, `release`, `speed-up`."""
    decision: str | None = Field(default=None, sa_column=Column(Text))
    """What policy required before it could be approved, as JSON."""
    delayed_until_ns: int | None = Field(default=None, sa_column=Column(BigInteger))
    nonce: int | None = Field(default=None, sa_column=Column(BigInteger))
    approved_ns: int | None = Field(default=None, sa_column=Column(BigInteger))
    tx_hash: str | None = Field(default=None, sa_column=Column(String(66)))
    block_number: int | None = Field(default=None, sa_column=Column(BigInteger))
    block_hash: str | None = Field(default=None, sa_column=Column(String(66)))
    outcome: str | None = Field(default=None, sa_column=Column(String(16)))
    """The step that settled it: `confirmed`, `reverted`, `cancelled`, `lost` or `declined`."""
    settlement: str | None = Field(default=None, sa_column=Column(Text))
    settled_ns: int | None = Field(default=None, sa_column=Column(BigInteger))
    booked: str | None = Field(default=None, sa_column=Column(Text))
    """The ledger entries of the present outcome, as JSON: what a reorganisation undoes."""
    bookings: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    """How often an outcome was booked; counts up when a reorganisation undid one."""


class SpendRow(SQLModel, table=True):
    """What an approved intent may take from the vault: the velocity limit counts these."""

    __tablename__ = "transaction_spends"

    transaction_id: int = Field(sa_column=Column(BigInteger, ForeignKey("transactions.id"), primary_key=True))
    asset: str = Field(sa_column=Column(String(140), primary_key=True))
    raw: int = Field(sa_column=Column(RawAmount, nullable=False))


class AttemptRow(SQLModel, table=True):
    """One version of an intent's transaction: recorded unsigned, then with its raw bytes."""

    __tablename__ = "transaction_attempts"

    transaction_id: int = Field(sa_column=Column(BigInteger, ForeignKey("transactions.id"), primary_key=True))
    number: int = Field(sa_column=Column(Integer, primary_key=True))
    kind: str = Field(default="original", sa_column=Column(String(16), nullable=False, server_default="original"))
    """`original`, `faster` (the same with higher fees) or `cancel` (nothing to ourselves, with higher fees)."""
    unsigned: str = Field(sa_column=Column(Text, nullable=False))
    raw: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    tx_hash: str | None = Field(default=None, sa_column=Column(String(66), index=True))
    refused: str | None = Field(default=None, sa_column=Column(Text))
    ceiling_wei: int = Field(default=0, sa_column=Column(RawAmount, nullable=False, server_default="0"))
    """The most it may cost for being mined."""
    created_ns: int = Field(sa_column=Column(BigInteger, nullable=False, index=True))


class TransactionEventRow(SQLModel, table=True):
    """What happened to an intent, written in the database transaction that changed its state."""

    __tablename__ = "transaction_events"
    __table_args__ = (APPEND_ONLY,)

    id: int | None = row_number()
    transaction_id: int = Field(sa_column=Column(BigInteger, ForeignKey("transactions.id"), nullable=False, index=True))
    event: str = Field(sa_column=Column(String(32), nullable=False))
    state: str = Field(sa_column=Column(String(24), nullable=False))
    detail: str = Field(sa_column=Column(Text, nullable=False))
    time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))


class NonceRow(SQLModel, table=True):
    """The next nonce of an account. Lower ones are each bound to an intent, or listed as free."""

    __tablename__ = "nonces"

    chain_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    address: str = Field(sa_column=Column(String(42), primary_key=True))
    next_nonce: int = Field(sa_column=Column(BigInteger, nullable=False))


class FreeNonceRow(SQLModel, table=True):
    """A nonce below the next one that came back, because nothing was signed under it: given out again first."""

    __tablename__ = "free_nonces"

    chain_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    address: str = Field(sa_column=Column(String(42), primary_key=True))
    nonce: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    freed_ns: int = Field(sa_column=Column(BigInteger, nullable=False))


class LeaseRow(SQLModel, table=True):
    """Who may write an account's transactions. The token counts up with every holder: it is the fence."""

    __tablename__ = "account_leases"

    chain_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    address: str = Field(sa_column=Column(String(42), primary_key=True))
    holder: str = Field(sa_column=Column(String(128), nullable=False))
    token: int = Field(sa_column=Column(BigInteger, nullable=False))
    expires_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    has_lock: bool = Field(sa_column=Column(Boolean, nullable=False))
    """Whether the holder has the system's lock too, which is freed when it dies."""
