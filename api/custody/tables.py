"""Whose clients and vaults are. What no row names belongs to the house."""

from __future__ import annotations

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class ClientRow(SQLModel, table=True):
    """A client whose balances custody keeps, and the organisation that it is one of."""

    __tablename__ = "api_custody_clients"
    __table_args__ = (sa.UniqueConstraint("organisation", "name"),)

    id: str = Field(primary_key=True, max_length=64)
    """Its name in the books: `user/<id>/available`. Of the house the name itself, else `<organisation>:<name>`."""
    organisation: str = Field(max_length=40)
    name: str = Field(max_length=40)
    """What the organisation calls it."""
    created_ns: int = Field(sa_type=sa.BigInteger)


class VaultRow(SQLModel, table=True):
    """A vault, by its name in the policy, that belongs to another organisation than the house."""

    __tablename__ = "api_custody_vaults"

    name: str = Field(primary_key=True, max_length=64)
    organisation: str = Field(max_length=40)
    changed_ns: int = Field(sa_type=sa.BigInteger)


class PolicyProposalRow(SQLModel, table=True):
    """A policy that administrators may sign; its signatures so far are in the bundle."""

    __tablename__ = "api_policy_proposals"

    id: str = Field(primary_key=True, max_length=40)
    organisation: str = Field(max_length=40)
    bundle: str = Field(sa_type=sa.Text)
    version: int = Field(sa_type=sa.BigInteger)
    digest: str = Field(max_length=64)
    state: str = Field(max_length=12)
    """`open` or `accepted`."""
    actor: str = Field(max_length=80)
    created_ns: int = Field(sa_type=sa.BigInteger)
