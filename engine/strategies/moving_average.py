"""Moving averages: long while the fast mean of closes is above the slow one, short or flat while it is below.

Between the two lies a band of `band_bps` of the slow mean in which the side stays what it was.
"""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from engine.signals import MovingAverages
from engine.strategies.base import NotNegative
from engine.strategies.trend import Length, Trend, TrendSettings


class MovingAverageSettings(TrendSettings):
    """See the module."""

    kind: Literal["moving-average"] = "moving-average"
    fast: Length = 24
    slow: Length = Field(default=168)
    """In bars; exponential means have the weight 2 / (length + 1)."""
    band_bps: NotNegative = Decimal(0)
    exponential: bool = False

    fixed: ClassVar[tuple[str, ...]] = (*TrendSettings.fixed, "fast", "slow", "exponential")

    @model_validator(mode="after")
    def _fast_is_faster(self) -> MovingAverageSettings:
        if self.fast >= self.slow:
            raise ValueError(f"fast {self.fast} is not shorter than slow {self.slow}")
        return self


class MovingAverage(Trend[MovingAverageSettings]):
    """See the module."""

    _rule: MovingAverages

    def rule(self, settings: MovingAverageSettings) -> MovingAverages:
        return MovingAverages.of(
            settings.fast, settings.slow, band_bps=float(settings.band_bps), exponential=settings.exponential
        )

    def tune(self, settings: MovingAverageSettings) -> None:
        self._rule.band_bps = float(settings.band_bps)
