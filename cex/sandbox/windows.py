"""Statistics over windows other than the rolling day, and time zones of days and candles, as clients name them."""

from __future__ import annotations

import re
from typing import Any, Final

from cex.sandbox import errors
from cex.sandbox.market import DAY_MS, DayStatistics, Market
from cex.sandbox.wire import units

_MINUTE_MS: Final = 60_000
_QUARTER_MS: Final = 15 * _MINUTE_MS
_WINDOW: Final = re.compile(r"([1-9][0-9]?)([mhd])")
_UNITS_MS: Final = {"m": (59, _MINUTE_MS), "h": (23, 60 * _MINUTE_MS), "d": (7, DAY_MS)}
_ZONE: Final = re.compile(r"([+-]?)([0-9]{1,2})(?::([0-9]{2}))?")
_ZONE_RANGE_MS: Final = (-12 * 3_600_000, 14 * 3_600_000)
STREAM_WINDOWS_MS: Final = {"1h": 3_600_000, "4h": 4 * 3_600_000, "1d": DAY_MS}
"""Windows that have streams."""
WINDOW_LETTERS: Final = {
    "s": "symbol",
    "p": "priceChange",
    "P": "priceChangePercent",
    "w": "weightedAvgPrice",
    "c": "lastPrice",
    "o": "openPrice",
    "h": "highPrice",
    "l": "lowPrice",
    "v": "volume",
    "q": "quoteVolume",
    "O": "openTime",
    "C": "closeTime",
    "F": "firstId",
    "L": "lastId",
    "n": "count",
}
"""What streams call the fields of a window."""


def window_ms(text: str) -> int:
    """Read `1m` to `59m`, `1h` to `23h`, `1d` to `7d`.

    Raises:
        ApiError: -1130.
    """
    match = _WINDOW.fullmatch(text)
    if match is None or int(match[1]) > _UNITS_MS[match[2]][0]:
        raise errors.invalid_parameter("windowSize")
    return int(match[1]) * _UNITS_MS[match[2]][1]


def zone_ms(text: str) -> int:
    """Read a time zone, `8`, `-1:00` or `+05:45`, as what its clocks are ahead of UTC.

    Raises:
        ApiError: -1130.
    """
    match = _ZONE.fullmatch(text)
    minutes = int(match[2]) * 60 + int(match[3] or 0) if match else 0
    offset_ms = (-minutes if match and match[1] == "-" else minutes) * _MINUTE_MS
    least, most = _ZONE_RANGE_MS
    if match is None or int(match[3] or 0) > 59 or not least <= offset_ms <= most:
        raise errors.invalid_parameter("timeZone")
    return offset_ms


def rolling_open_ms(now_ms: int, length_ms: int) -> int:
    """When a rolling window opens: on a minute; beyond a day, of which minutes are kept, on a quarter of an hour."""
    step = _MINUTE_MS if length_ms <= DAY_MS else _QUARTER_MS
    return (now_ms - length_ms) // step * step


def trading_day_open_ms(now_ms: int, offset_ms: int) -> int:
    """When the day began by the clocks of a time zone."""
    return (now_ms + offset_ms) // DAY_MS * DAY_MS - offset_ms


def window_view(market: Market, open_ms: int, close_ms: int, *, is_mini: bool) -> dict[str, Any]:
    """A window as `ticker` and `ticker/tradingDay` tell it."""
    spec, window = market.spec, _statistics(market, open_ms, close_ms)
    tick, lot = spec.tick_raw, spec.lot_raw
    view: dict[str, Any] = {"symbol": spec.name}
    if not is_mini:
        change = market.last_price - window.open
        average = window.quote_raw // (window.lots * spec.notional_unit) if window.lots else market.last_price
        view |= {
            "priceChange": units(change * tick),
            "priceChangePercent": f"{100 * change / window.open:.3f}",
            "weightedAvgPrice": units(average * tick),
        }
    return view | {
        "openPrice": units(window.open * tick),
        "highPrice": units(window.high * tick),
        "lowPrice": units(window.low * tick),
        "lastPrice": units(market.last_price * tick),
        "volume": units(window.lots * lot),
        "quoteVolume": units(window.quote_raw),
        "openTime": open_ms,
        "closeTime": close_ms,
        "firstId": window.first_trade_id,
        "lastId": window.last_trade_id,
        "count": window.trades,
    }


def window_event(market: Market, name: str, now_ms: int) -> dict[str, Any]:
    """A window as the stream `<symbol>@ticker_<name>` tells it."""
    view = window_view(market, rolling_open_ms(now_ms, STREAM_WINDOWS_MS[name]), now_ms, is_mini=False)
    return {"e": f"{name}Ticker", "E": now_ms} | {letter: view[field] for letter, field in WINDOW_LETTERS.items()}


def _statistics(market: Market, open_ms: int, close_ms: int) -> DayStatistics:
    return market.window("1m" if close_ms - open_ms <= DAY_MS + _MINUTE_MS else "15m", open_ms)
