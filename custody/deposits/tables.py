"""The tables of deposits: addresses, what was seen of the chain, deposits with their history, and sweeps.

`deposit_events` is append-only.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from custody.columns import APPEND_ONLY, row_number
from runtime.database import RawAmount


class DepositAddressRow(SQLModel, table=True):
    """An address given out to a user, for ever. `id` orders them as they were given out."""

    __tablename__ = "deposit_addresses"
    __table_args__ = (
        UniqueConstraint("chain_id", "address"),
        UniqueConstraint("chain_id", "kind", "user", "label"),
        UniqueConstraint("chain_id", "origin", "number"),
    )

    id: int | None = row_number()
    chain_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    user: str = Field(sa_column=Column(String(80), nullable=False))
    kind: str = Field(sa_column=Column(String(16), nullable=False))
    """`forwarder` or `key`."""
    label: str = Field(sa_column=Column(String(64), nullable=False))
    """Which of the user's addresses of this kind: empty for the first."""
    origin: str = Field(sa_column=Column(String(64), nullable=False))
    """Where it comes from: the factory's address, or the account key's first address."""
    number: int = Field(sa_column=Column(BigInteger, nullable=False))
    """Counts an origin's addresses from 0 without a gap; of a key, the index under it."""
    account: str = Field(sa_column=Column(String(64), nullable=False))
    """The user id the factory knows, as hexadecimal; of a key, empty."""
    address: str = Field(sa_column=Column(String(42), nullable=False))
    created_ns: int = Field(sa_column=Column(BigInteger, nullable=False))


class DepositCursorRow(SQLModel, table=True):
    """How far a chain was read: everything up to this block is in the books, and nothing after it."""

    __tablename__ = "deposit_cursors"

    chain_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    number: int = Field(sa_column=Column(BigInteger, nullable=False))
    hash: str = Field(sa_column=Column(String(66), nullable=False))
    finalized: int = Field(sa_column=Column(BigInteger, nullable=False))
    """The newest block known to be final; nothing at or below it is ever undone."""


class DepositBlockRow(SQLModel, table=True):
    """A block that was read and may still be reorganised away."""

    __tablename__ = "deposit_blocks"

    chain_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    number: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    hash: str = Field(sa_column=Column(String(66), nullable=False))


class DepositRow(SQLModel, table=True):
    """One amount that arrived at an address of ours. Its key outlives reorganisations."""

    __tablename__ = "deposits"
    __table_args__ = (
        UniqueConstraint("chain_id", "tx_hash", "log_index", "leg"),
        Index("ix_deposits_state", "chain_id", "state", "block_number"),
        Index("ix_deposits_user", "user"),
        Index("ix_deposits_sweep", "sweep_id"),
    )

    id: int | None = row_number()
    chain_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    tx_hash: str = Field(sa_column=Column(String(66), nullable=False))
    log_index: int = Field(sa_column=Column(Integer, nullable=False))
    """Of the log among its transaction's, so that it stays when the transaction is mined again; -1 for coins."""
    leg: int = Field(sa_column=Column(Integer, nullable=False))
    """Of coins: which call of the transaction moved them, 0 for the transaction itself."""
    occurrence: int = Field(sa_column=Column(Integer, nullable=False))
    """How often it came back after a reorganisation."""
    block_number: int = Field(sa_column=Column(BigInteger, nullable=False))
    block_hash: str = Field(sa_column=Column(String(66), nullable=False))
    user: str = Field(sa_column=Column(String(80), nullable=False))
    address: str = Field(sa_column=Column(String(42), nullable=False))
    asset: str = Field(sa_column=Column(String(140), nullable=False))
    raw: int = Field(sa_column=Column(RawAmount, nullable=False))
    sender: str = Field(sa_column=Column(String(42), nullable=False))
    """Who held it before."""
    origin: str = Field(sa_column=Column(String(42), nullable=False))
    """Who signed the transaction."""
    state: str = Field(sa_column=Column(String(16), nullable=False))
    seen_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    final_ns: int | None = Field(default=None, sa_column=Column(BigInteger))
    sweep_id: str | None = Field(default=None, sa_column=Column(String(64)))
    """The sweep that takes it, or took it."""


class DepositEventRow(SQLModel, table=True):
    """What happened to a deposit, written in the transaction that changed its state and the books."""

    __tablename__ = "deposit_events"
    __table_args__ = (APPEND_ONLY,)

    id: int | None = row_number()
    deposit_id: int = Field(sa_column=Column(BigInteger, ForeignKey("deposits.id"), nullable=False, index=True))
    event: str = Field(sa_column=Column(String(16), nullable=False))
    state: str = Field(sa_column=Column(String(16), nullable=False))
    detail: str = Field(sa_column=Column(Text, nullable=False))
    time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))


class SweepRow(SQLModel, table=True):
    """One transaction that takes final deposits to the vault. Its id is the intent's."""

    __tablename__ = "sweeps"
    __table_args__ = (Index("ix_sweeps_state", "chain_id", "state"),)

    id: str = Field(sa_column=Column(String(64), primary_key=True))
    chain_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    sender: str = Field(sa_column=Column(String(42), nullable=False))
    """Who signs: the sweeping account, or the deposit address itself."""
    target: str = Field(sa_column=Column(String(42), nullable=False))
    state: str = Field(sa_column=Column(String(16), nullable=False))
    """`sent`, `done` (it took something), or `failed`."""
    tx_hash: str = Field(sa_column=Column(String(66), nullable=False))
    detail: str = Field(sa_column=Column(Text, nullable=False))
    created_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    ended_ns: int | None = Field(default=None, sa_column=Column(BigInteger))


class SweepItemRow(SQLModel, table=True):
    """What a sweep takes from one address, and what came of it."""

    __tablename__ = "sweep_items"

    sweep_id: str = Field(sa_column=Column(String(64), ForeignKey("sweeps.id"), primary_key=True))
    number: int = Field(sa_column=Column(Integer, primary_key=True))
    address: str = Field(sa_column=Column(String(42), nullable=False))
    asset: str = Field(sa_column=Column(String(140), nullable=False))
    raw: int = Field(sa_column=Column(RawAmount, nullable=False))
    arrived_raw: int | None = Field(default=None, sa_column=Column(RawAmount))
    """What the vault got; nothing while it is not known, 0 when the item failed."""


class ForeignSweepRow(SQLModel, table=True):
    """A sweep of one of our forwarders that somebody else made: anybody may, the vault is the same."""

    __tablename__ = "foreign_sweeps"
    __table_args__ = (
        UniqueConstraint("chain_id", "tx_hash", "log_index"),
        Index("ix_foreign_sweeps_block", "chain_id", "block_number"),
    )

    id: int | None = row_number()
    chain_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    tx_hash: str = Field(sa_column=Column(String(66), nullable=False))
    log_index: int = Field(sa_column=Column(Integer, nullable=False))
    """Of the log among its transaction's."""
    occurrence: int = Field(sa_column=Column(Integer, nullable=False))
    block_number: int = Field(sa_column=Column(BigInteger, nullable=False))
    address: str = Field(sa_column=Column(String(42), nullable=False))
    asset: str = Field(sa_column=Column(String(140), nullable=False))
    sent_raw: int = Field(sa_column=Column(RawAmount, nullable=False))
    arrived_raw: int = Field(sa_column=Column(RawAmount, nullable=False))
    is_undone: bool = Field(sa_column=Column(Boolean, nullable=False))
    """Its block was reorganised away."""


class GasGrantRow(SQLModel, table=True):
    """Coins the gas tank gave to a deposit address for one sweep. Its id is the intent's."""

    __tablename__ = "gas_grants"
    __table_args__ = (Index("ix_gas_grants_time", "chain_id", "created_ns"),)

    id: str = Field(sa_column=Column(String(64), primary_key=True))
    chain_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    address: str = Field(sa_column=Column(String(42), nullable=False))
    raw: int = Field(sa_column=Column(RawAmount, nullable=False))
    state: str = Field(sa_column=Column(String(16), nullable=False))
    """`sent`, `done` or `failed`."""
    created_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
