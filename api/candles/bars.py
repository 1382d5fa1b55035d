"""What a candle is, and how several become one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final

MINUTE_S: Final = 60
HOUR_S: Final = 3_600
DAY_S: Final = 86_400
KEPT_S: Final = {MINUTE_S: 30 * DAY_S, HOUR_S: 400 * DAY_S, DAY_S: 4_000 * DAY_S}
"""The spans that are written, and how long each is kept."""


class Interval(StrEnum):
    """How long a candle is."""

    MINUTE = "1m"
    FIVE_MINUTES = "5m"
    QUARTER = "15m"
    HOUR = "1h"
    FOUR_HOURS = "4h"
    DAY = "1d"


INTERVALS: Final = MappingProxyType(
    {
        Interval.MINUTE: MINUTE_S,
        Interval.FIVE_MINUTES: 5 * MINUTE_S,
        Interval.QUARTER: 15 * MINUTE_S,
        Interval.HOUR: HOUR_S,
        Interval.FOUR_HOURS: 4 * HOUR_S,
        Interval.DAY: DAY_S,
    }
)
"""In seconds."""


@dataclass(frozen=True, slots=True)
class Candle:
    """Trades from `start_s` on, for as long as whoever asks says."""

    start_s: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    """In the base asset."""
    quote: Decimal
    """The same in the quote asset."""
    trades: int

    @classmethod
    def of_trade(cls, start_s: int, price: Decimal, qty: Decimal) -> Candle:
        return cls(start_s, price, price, price, price, qty, price * qty, 1)

    def then(self, later: Candle) -> Candle:
        """With what followed within the same span."""
        return replace(
            self, high=max(self.high, later.high), low=min(self.low, later.low), close=later.close,
            volume=self.volume + later.volume, quote=self.quote + later.quote, trades=self.trades + later.trades,
        )  # fmt: skip


def span_of(interval_s: int) -> int:
    """The longest span that is kept and makes up an interval."""
    return max(span for span in KEPT_S if interval_s % span == 0)


def merged(candles: Iterable[Candle], interval_s: int) -> Sequence[Candle]:
    """Put candles of a shorter span, oldest first, together into longer ones."""
    found: dict[int, Candle] = {}
    for candle in candles:
        start_s = candle.start_s // interval_s * interval_s
        known = found.get(start_s)
        found[start_s] = replace(candle, start_s=start_s) if known is None else known.then(candle)
    return list(found.values())
