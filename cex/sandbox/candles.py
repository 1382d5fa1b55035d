"""Candles of every interval Binance names, built from trades."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import takewhile
from typing import Final

_MINUTE: Final = 60_000
_QUARTER: Final = 15 * _MINUTE
_DAY: Final = 86_400_000
INTERVALS_MS: Final = {
    "1s": 1_000,
    "1m": _MINUTE,
    "3m": 3 * _MINUTE,
    "5m": 5 * _MINUTE,
    "15m": 15 * _MINUTE,
    "30m": 30 * _MINUTE,
    "1h": 60 * _MINUTE,
    "2h": 120 * _MINUTE,
    "4h": 240 * _MINUTE,
    "6h": 360 * _MINUTE,
    "8h": 480 * _MINUTE,
    "12h": 720 * _MINUTE,
    "1d": _DAY,
    "3d": 3 * _DAY,
    "1w": 7 * _DAY,
    "1M": 0,
}
"""Length by name; a month has none of its own."""

KEPT: Final = 1_500
"""Candles per interval: a day of minutes, and the most one request may ask for (1,000)."""


@dataclass(slots=True)
class Candle:
    """Trades of one interval. Prices in ticks, sizes in lots, values in 1e-8 quote units."""

    open_ms: int
    close_ms: int
    open: int
    high: int
    low: int
    close: int
    lots: int = 0
    quote_raw: int = 0
    trades: int = 0
    taker_buy_lots: int = 0
    taker_buy_quote_raw: int = 0
    first_trade_id: int = -1
    last_trade_id: int = -1


class Candles:
    """Candles of one symbol. Only intervals in which something traded exist."""

    def __init__(self) -> None:
        self._by_interval: dict[str, deque[Candle]] = {name: deque(maxlen=KEPT) for name in INTERVALS_MS}

    def add(self, trade_id: int, price: int, lots: int, quote_raw: int, time_ms: int, *, taker_buys: bool) -> None:
        for interval, candles in self._by_interval.items():
            candle = candles[-1] if candles else None
            if candle is None or time_ms > candle.close_ms:
                open_ms, close_ms = span(interval, time_ms)
                candle = Candle(open_ms, close_ms, price, price, price, price, first_trade_id=trade_id)
                candles.append(candle)
            candle.high = max(candle.high, price)
            candle.low = min(candle.low, price)
            candle.close = price
            candle.lots += lots
            candle.quote_raw += quote_raw
            candle.trades += 1
            candle.last_trade_id = trade_id
            if taker_buys:
                candle.taker_buy_lots += lots
                candle.taker_buy_quote_raw += quote_raw

    def changed_since(self, trade_id: int) -> Iterator[tuple[str, int, Candle]]:
        """Candles that hold a later trade, with their interval and their slot among `KEPT`."""
        for interval, candles in self._by_interval.items():
            for candle in reversed(candles):
                if candle.last_trade_id <= trade_id:
                    break
                length = INTERVALS_MS[interval] or 28 * _DAY  # No two months begin in the same four weeks.
                yield interval, candle.open_ms // length % KEPT, candle

    def resume(self, interval: str, candle: Candle) -> None:
        """Put back what an exchange before this one kept; oldest first."""
        self._by_interval[interval].append(candle)

    def last(self, interval: str) -> Candle | None:
        candles = self._by_interval[interval]
        return candles[-1] if candles else None

    def select(
        self, interval: str, start_ms: int | None, end_ms: int | None, limit: int, offset_ms: int = 0
    ) -> list[Candle]:
        """Candles that open within the bounds: the first ones from a start, else the latest."""
        found = [
            candle
            for candle in (self.zoned(interval, offset_ms) if offset_ms else self._by_interval[interval])
            if (start_ms is None or candle.open_ms >= start_ms) and (end_ms is None or candle.open_ms <= end_ms)
        ]
        return found[:limit] if start_ms is not None else found[-limit:]

    def zoned(self, interval: str, offset_ms: int) -> list[Candle]:
        """Candles by the clocks of a time zone, put together of short ones, as far back as those are kept."""
        if not offset_ms or (INTERVALS_MS[interval] and not offset_ms % INTERVALS_MS[interval]):
            return list(self._by_interval[interval])
        found: list[Candle] = []
        for part in self._by_interval["1m" if offset_ms % _QUARTER else "15m"]:
            open_ms, close_ms = (moment - offset_ms for moment in span(interval, part.open_ms + offset_ms))
            if found and found[-1].open_ms == open_ms:
                _join(found[-1], part)
            else:
                found.append(replace(part, open_ms=open_ms, close_ms=close_ms))
        return found

    def since(self, interval: str, time_ms: int) -> list[Candle]:
        """Candles that end after an instant, oldest first."""
        # From the newest on: every order asks for the last five minutes, whatever else is kept.
        latest = takewhile(lambda candle: candle.close_ms >= time_ms, reversed(self._by_interval[interval]))
        return list(latest)[::-1]


def _join(candle: Candle, later: Candle) -> None:
    candle.high, candle.low, candle.close = max(candle.high, later.high), min(candle.low, later.low), later.close
    candle.lots += later.lots
    candle.quote_raw += later.quote_raw
    candle.trades += later.trades
    candle.taker_buy_lots += later.taker_buy_lots
    candle.taker_buy_quote_raw += later.taker_buy_quote_raw
    candle.last_trade_id = later.last_trade_id


def span(interval: str, time_ms: int) -> tuple[int, int]:
    """First and last millisecond of the interval that holds an instant. Weeks begin on Monday, months on the first."""
    if interval == "1M":
        start = datetime.fromtimestamp(time_ms / 1000, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        end = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
        return int(start.timestamp()) * 1000, int(end.timestamp()) * 1000 - 1
    length = INTERVALS_MS[interval]
    # The epoch was a Thursday.
    offset = 4 * _DAY if interval == "1w" else 0
    open_ms = (time_ms - offset) // length * length + offset
    return open_ms, open_ms + length - 1
