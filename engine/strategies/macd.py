"""MACD: long while the difference of two exponential means is above its own mean, short or flat while it is below.

Within `band_bps` of the price around zero the side stays what it was.
"""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar, Literal

from pydantic import model_validator

from engine.signals import MacdTrend
from engine.strategies.base import NotNegative
from engine.strategies.trend import Length, Trend, TrendSettings


class MacdSettings(TrendSettings):
    """See the module."""

    kind: Literal["macd"] = "macd"
    fast: Length = 12
    slow: Length = 26
    signal: Length = 9
    """In bars; weights are 2 / (length + 1)."""
    band_bps: NotNegative = Decimal(0)
    """Of the price."""

    fixed: ClassVar[tuple[str, ...]] = (*TrendSettings.fixed, "fast", "slow", "signal")

    @model_validator(mode="after")
    def _fast_is_faster(self) -> MacdSettings:
        if self.fast >= self.slow:
            raise ValueError(f"fast {self.fast} is not shorter than slow {self.slow}")
        return self


class MacdStrategy(Trend[MacdSettings]):
    """See the module."""

    _rule: MacdTrend

    def rule(self, settings: MacdSettings) -> MacdTrend:
        return MacdTrend.of(settings.fast, settings.slow, settings.signal, band_bps=float(settings.band_bps))

    def tune(self, settings: MacdSettings) -> None:
        self._rule.band_bps = float(settings.band_bps)
