"""Breakout of Donchian's channel: long when a close is above every high of the last `enter` bars, flat when it falls
below the lows of the last `leave`; short alike.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from engine.signals import Breakout
from engine.strategies.trend import Length, Trend, TrendSettings


class BreakoutSettings(TrendSettings):
    """See the module."""

    kind: Literal["breakout"] = "breakout"
    enter: Length = 480
    leave: Length = 240
    """In bars."""

    fixed: ClassVar[tuple[str, ...]] = (*TrendSettings.fixed, "enter", "leave")

    @model_validator(mode="after")
    def _leaves_sooner(self) -> BreakoutSettings:
        if self.leave > self.enter:
            raise ValueError(f"leave {self.leave} is longer than enter {self.enter}")
        return self


class BreakoutStrategy(Trend[BreakoutSettings]):
    """See the module."""

    _rule: Breakout

    def rule(self, settings: BreakoutSettings) -> Breakout:
        return Breakout.of(settings.enter, settings.leave)
