"""The table of swaps."""

from __future__ import annotations

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from custody.columns import row_number


class SwapRow(SQLModel, table=True):
    """One swap that was asked for: `requested` → `running` → `mined`, `failed` or `refused`. Amounts are raw text."""

    __tablename__ = "api_swaps"
    __table_args__ = (sa.Index("ix_api_swaps_organisation_number", "organisation", "number"),)

    number: int | None = row_number()
    id: str = Field(max_length=40, unique=True)
    organisation: str = Field(max_length=40)
    actor: str = Field(max_length=80)
    initiator: str = Field(max_length=80)
    """Who asks, as custody's policy knows people."""
    state: str = Field(max_length=12, index=True)
    chain_id: int = Field(sa_type=sa.BigInteger)
    token_in: str = Field(max_length=42)
    token_out: str = Field(max_length=42)
    is_exact_out: bool
    amount_in: str = Field(max_length=80)
    amount_out: str = Field(max_length=80)
    """As quoted."""
    amount_in_max: str = Field(max_length=80)
    amount_out_min: str = Field(max_length=80)
    """What is accepted at the worst, whatever happens in between."""
    max_hops: int
    through: str = Field(max_length=24)
    slippage_bps: int
    impact_bps_max: int
    deadline_ns: int = Field(sa_type=sa.BigInteger)
    """It is not sent later than this."""
    attempts: int = 0
    rule: str = Field(default="", max_length=80)
    reason: str = Field(default="", sa_type=sa.Text)
    tx_hash: str = Field(default="", max_length=80)
    block_number: int | None = Field(default=None, sa_type=sa.BigInteger)
    amount_in_settled: str | None = Field(default=None, max_length=80)
    amount_out_settled: str | None = Field(default=None, max_length=80)
    gas_cost_wei: str | None = Field(default=None, max_length=80)
    created_ns: int = Field(sa_type=sa.BigInteger)
    ended_ns: int | None = Field(default=None, sa_type=sa.BigInteger)

    @property
    def intent_id(self) -> str:
        """Custody's name for the swap: it happens under this one, once, or not at all."""
        return intent_of(self.id)


def intent_of(swap: str) -> str:
    return f"swap-{swap}"
