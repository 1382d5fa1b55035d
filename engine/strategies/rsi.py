"""RSI: Wilder's index of relative strength, followed or faded.

Followed: long above `high`, short or flat below `low`, in between as before. Faded (`reverts`): long below `low` until
the index is back at 50, short above `high` until then.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from engine.signals import RsiLevels
from engine.strategies.trend import Length, Trend, TrendSettings


class RsiSettings(TrendSettings):
    """See the module."""

    kind: Literal["rsi"] = "rsi"
    length: Length = 14
    low: Annotated[Decimal, Field(ge=0, le=50)] = Decimal(45)
    high: Annotated[Decimal, Field(ge=50, le=100)] = Decimal(55)
    reverts: bool = False

    fixed: ClassVar[tuple[str, ...]] = (*TrendSettings.fixed, "length")


class RsiStrategy(Trend[RsiSettings]):
    """See the module."""

    _rule: RsiLevels

    def rule(self, settings: RsiSettings) -> RsiLevels:
        return RsiLevels.of(
            settings.length, low=float(settings.low), high=float(settings.high), reverts=settings.reverts
        )

    def tune(self, settings: RsiSettings) -> None:
        self._rule.low, self._rule.high = float(settings.low), float(settings.high)
        self._rule.reverts = settings.reverts
