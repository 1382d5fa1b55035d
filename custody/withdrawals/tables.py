"""The tables of withdrawals: requests, their history, the address book, and exchanges' sealed secrets.

`withdrawal_events` is append-only.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from custody.columns import APPEND_ONLY, row_number
from runtime.database import RawAmount


class WithdrawalRow(SQLModel, table=True):
    """One withdrawal and how far it has come."""

    __tablename__ = "withdrawals"
    __table_args__ = (UniqueConstraint("client", "client_key"), Index("ix_withdrawals_state", "state"))

    id: int | None = row_number()
    withdrawal_id: str = Field(sa_column=Column(String(40), nullable=False, unique=True))
    """Also the intent id of its transaction and its name at an exchange."""
    client: str = Field(sa_column=Column(String(64), nullable=False))
    """Who asked; may not approve."""
    client_key: str = Field(sa_column=Column(String(128), nullable=False))
    digest: str = Field(sa_column=Column(String(64), nullable=False))
    """Of the request: the same key must come with the same."""
    user: str = Field(sa_column=Column("user_id", String(80), nullable=False, index=True))
    kind: str = Field(sa_column=Column(String(8), nullable=False))
    """`chain` or `venue`."""
    place: str = Field(sa_column=Column(String(64), nullable=False))
    """Chain id, or the venue's name."""
    network: str = Field(sa_column=Column(String(64), nullable=False))
    """The exchange's name of the network; empty on a chain."""
    asset: str = Field(sa_column=Column(String(140), nullable=False))
    raw: int = Field(sa_column=Column(RawAmount, nullable=False))
    """What the recipient is to get."""
    fee_raw: int = Field(sa_column=Column(RawAmount, nullable=False))
    """What the user pays for it, in the same asset."""
    address: str = Field(sa_column=Column(String(128), nullable=False))
    memo: str = Field(sa_column=Column(String(128), nullable=False))
    vault: str = Field(sa_column=Column(String(64), nullable=False))
    state: str = Field(sa_column=Column(String(24), nullable=False))
    followed: str = Field(default="", sa_column=Column(String(128), nullable=False))
    """The state of its transaction that was seen last; at an exchange, which of several a person said it is."""
    reason: str = Field(default="", sa_column=Column(Text, nullable=False))
    tx_hash: str = Field(default="", sa_column=Column(String(128), nullable=False))
    venue_ref: str = Field(default="", sa_column=Column(String(128), nullable=False))
    """The exchange's own id of it, once it is known."""
    venue_fee_raw: int = Field(default=0, sa_column=Column(RawAmount, nullable=False, server_default="0"))
    """What the exchange took for it, out of what we hold there."""
    decision: str = Field(default="", sa_column=Column(Text, nullable=False))
    """What policy required of an exchange withdrawal, as JSON."""
    due_ns: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    """Not before this instant: a delay, or the next time to ask the exchange."""
    asked_ns: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    """When the exchange was asked for it."""
    needs_operator: bool = Field(default=False, sa_column=Column(Boolean, nullable=False))
    """What became of it at the exchange cannot be told by asking."""
    created_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    updated_ns: int = Field(sa_column=Column(BigInteger, nullable=False))


class WithdrawalEventRow(SQLModel, table=True):
    """What happened to a withdrawal, written in the database transaction that changed its state."""

    __tablename__ = "withdrawal_events"
    __table_args__ = (APPEND_ONLY,)

    id: int | None = row_number()
    withdrawal: int = Field(sa_column=Column(BigInteger, ForeignKey("withdrawals.id"), nullable=False, index=True))
    event: str = Field(sa_column=Column(String(24), nullable=False))
    state: str = Field(sa_column=Column(String(24), nullable=False))
    detail: str = Field(sa_column=Column(Text, nullable=False))
    time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))


class AddressRow(SQLModel, table=True):
    """An address a user withdraws to, since when. Removed and added again, it is new again."""

    __tablename__ = "withdrawal_addresses"
    __table_args__ = (Index("ix_withdrawal_addresses_place", "user_id", "place", "address"),)

    id: int | None = row_number()
    user: str = Field(sa_column=Column("user_id", String(80), nullable=False))
    place: str = Field(sa_column=Column(String(64), nullable=False))
    """Chain id, or venue and network: `binance:ETH`."""
    address: str = Field(sa_column=Column(String(128), nullable=False))
    memo: str = Field(sa_column=Column(String(128), nullable=False))
    label: str = Field(sa_column=Column(String(80), nullable=False))
    added_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    removed_ns: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))


class VenueSecretRow(SQLModel, table=True):
    """An exchange's API key that may withdraw, sealed; the row's id is what the envelope is bound to."""

    __tablename__ = "venue_secrets"

    id: str = Field(sa_column=Column(String(80), primary_key=True))
    """`venue/<venue>/withdraw`."""
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    changed_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
