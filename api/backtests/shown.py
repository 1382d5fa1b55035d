"""Backtests as they are told: to routes, on the stream."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, Field

from api.backtests.tables import BacktestRow
from api.core.times import instant, instant_or_none

State = Literal["queued", "running", "done", "failed", "cancelled"]


class Backtest(BaseModel):
    """A job, and how far it is."""

    id: str = Field(examples=["bt_0123456789abcdef01234567"])
    name: str
    state: State
    progress: str = Field(description="Of the part that is being done, 0 to 1.", examples=["0.420"])
    part: str = Field(description="What is being done.", examples=["running"])
    attempts: int = Field(description="How often a worker began it.")
    cancelling: bool = Field(description="It was asked to stop and has not yet.")
    error: str = Field(description="Of one that failed.")
    hint: str
    created_by: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


def shown(row: BacktestRow) -> Backtest:
    return Backtest.model_validate(
        {
            "id": row.id, "name": row.name, "state": row.state, "progress": f"{Decimal(row.permille) / 1_000:.3f}",
            "part": row.part, "attempts": row.attempts, "cancelling": row.cancel_asked and row.ended_ns is None,
            "error": row.error, "hint": row.hint, "created_by": row.actor, "created_at": instant(row.created_ns),
            "started_at": instant_or_none(row.started_ns), "ended_at": instant_or_none(row.ended_ns),
        }
    )  # fmt: skip


def as_text(value: Any) -> Any:
    """A result with every fraction as decimal text: counts stay numbers, what is not known is null."""
    match value:
        case dict():
            return {str(name): as_text(inner) for name, inner in value.items()}
        case list() | tuple():
            return [as_text(inner) for inner in value]
        case float():
            return f"{Decimal(repr(value)):f}"
    return value
