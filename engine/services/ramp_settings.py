"""Settings of the capital ramp: stages, and what each day is expected to bring. See docs/ramp.md."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from engine.strategies.base import Positive
from runtime import SettingsPart

BOUNDS: Final = ("order_notional_max", "swap_notional_max", "position_notional_max", "exposure_notional_max")
"""Limits of `[engine.risk]` that a stage may hold lower, beside the capital."""


class RampStage(SettingsPart):
    """How much may be put to work at one stage, and what must have been seen there before the next."""

    capital: Positive
    """What all strategies together may put to work, in the unit of account."""
    order_notional_max: Positive | None = None
    """As in `[engine.risk]`, as the three below; the smaller of the two holds. Without it, what is there."""
    swap_notional_max: Positive | None = None
    position_notional_max: Positive | None = None
    exposure_notional_max: Positive | None = None
    days_min: int = Field(default=7, ge=1)
    """Days (UTC) with 20 hours of trading or more, at this stage, before a step up."""
    result_min: Annotated[Decimal, Field(ge=0, le=1)] = Decimal("0.5")
    """The least share of the expected result."""
    drawdown_max: Positive
    """The deepest fall of the result below its peak since this stage began, in the unit of account."""


class RampExpected(SettingsPart):
    """What a day is expected to bring: by numbers, or by a saved backtest."""

    mean: Positive | None = None
    """Of a day's result, in the unit of account."""
    deviation: Positive | None = None
    """Standard deviation of a day's result."""
    backtest: str = ""
    """Folder that `capstan backtest run --save` wrote (or its result.json), in the place of the two numbers."""
    capital: Positive | None = None
    """The capital these were earned with: they are scaled to each stage's. Without it they hold as they stand."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.mean is None) != (self.deviation is None):
            raise ValueError("mean and deviation belong together")
        if (self.mean is None) != bool(self.backtest):
            raise ValueError("either mean and deviation or backtest says what is expected, not both")
        return self


class RampSettings(SettingsPart):
    """Capital that grows by stages, each step up decided by two people."""

    stages: Annotated[tuple[RampStage, ...], Field(min_length=1)]
    """From the lowest up; no limit of a stage may be below that of the stage before it."""
    expected: RampExpected

    @model_validator(mode="after")
    def _rising(self) -> Self:
        _check_rising(self.stages)
        return self


def _check_rising(stages: Sequence[RampStage]) -> None:
    for number, (lower, higher) in enumerate(pairwise(stages), 2):
        if higher.capital <= lower.capital:
            raise ValueError(f"stage {number}: capital {higher.capital} is not above stage {number - 1}'s")
        for name in BOUNDS:
            before, after = getattr(lower, name), getattr(higher, name)
            if after is not None and (before is None or after < before):
                raise ValueError(f"stage {number}: {name} is below stage {number - 1}'s")
