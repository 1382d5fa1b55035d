"""Windows and time zones: trades put into them by hand, and by a plain sum over the same trades."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cex.sandbox import SymbolSpec
from cex.sandbox.candles import Candles, span
from cex.sandbox.errors import ApiError
from cex.sandbox.market import Market
from cex.sandbox.orders import PublicTrade
from cex.sandbox.windows import rolling_open_ms, trading_day_open_ms, window_ms, window_view, zone_ms

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
SPEC = SymbolSpec("ETH", "USDC", "0.01", "0.0001", "5")
# A Thursday, 02:30 UTC.
NOW = 20_000 * DAY + 2 * HOUR + 30 * MINUTE


def test_sizes_and_zones_are_read_as_the_venue_writes_them() -> None:
    assert [window_ms(text) for text in ("1m", "59m", "23h", "7d")] == [MINUTE, 59 * MINUTE, 23 * HOUR, 7 * DAY]
    zones = {
        "0": 0,
        "8": 8 * HOUR,
        "-1:00": -HOUR,
        "05:45": 5 * HOUR + 45 * MINUTE,
        "+14": 14 * HOUR,
        "-12": -12 * HOUR,
    }
    assert {text: zone_ms(text) for text in zones} == zones
    for read, texts in (
        (window_ms, ("", "0m", "60m", "24h", "8d", "1w", "1d2h")),
        (zone_ms, ("x", "15", "-13", "1:60", "8:")),
    ):
        for text in texts:
            with pytest.raises(ApiError):
                read(text)


def test_a_day_begins_when_the_clocks_of_the_zone_say_so() -> None:
    assert trading_day_open_ms(NOW, 0) == 20_000 * DAY
    assert trading_day_open_ms(NOW, -3 * HOUR) == 19_999 * DAY + 3 * HOUR
    assert trading_day_open_ms(NOW, 14 * HOUR) == 20_000 * DAY - 14 * HOUR
    assert rolling_open_ms(NOW + 47_099, HOUR) == NOW - HOUR
    assert rolling_open_ms(NOW + 47_099, 3 * DAY) == NOW - 3 * DAY


def market_with(trades: list[tuple[int, int, int]]) -> Market:
    """A market in which (when, price, lots) traded."""
    market = Market(SPEC, 300_000)
    for number, (time_ms, price, lots) in enumerate(trades, 1):
        market.printed(PublicTrade(number, SPEC, price, lots, price * lots * SPEC.notional_unit, time_ms, True, 1, 2))
    return market


def test_a_window_holds_what_traded_in_it() -> None:
    market = market_with([(NOW - 5 * HOUR, 100, 7), (NOW - HOUR, 310_000, 2), (NOW - MINUTE, 290_000, 4)])
    view = window_view(market, rolling_open_ms(NOW, 2 * HOUR), NOW, is_mini=False)
    assert (view["openPrice"], view["highPrice"], view["lowPrice"]) == (
        "3100.00000000",
        "3100.00000000",
        "2900.00000000",
    )
    assert (view["priceChange"], view["priceChangePercent"]) == ("-200.00000000", "-6.452")
    assert (view["volume"], view["quoteVolume"], view["count"]) == ("0.00060000", "1.78000000", 2)
    assert (view["firstId"], view["lastId"], view["weightedAvgPrice"]) == (2, 3, "2966.66000000")
    assert set(view) - set(window_view(market, 0, NOW, is_mini=True)) == {
        *("priceChange", "priceChangePercent", "weightedAvgPrice")
    }


TRADES = st.lists(st.tuples(st.integers(0, 20 * HOUR), st.integers(1, 10**6), st.integers(1, 1000)), max_size=30)


@given(TRADES, st.sampled_from(["1h", "2h", "12h", "1d", "1w", "1M"]), st.sampled_from(["8", "-1:00", "05:45", "0:07"]))
def test_candles_of_a_zone_are_those_of_trades_at_its_clocks(
    trades: list[tuple[int, int, int]], interval: str, zone: str
) -> None:
    offset = zone_ms(zone)
    ours, shifted = Candles(), Candles()
    for number, (after_ms, price, lots) in enumerate(sorted(trades), 1):
        ours.add(number, price, lots, price * lots, NOW + after_ms, taker_buys=price % 2 == 0)
        shifted.add(number, price, lots, price * lots, NOW + after_ms + offset, taker_buys=price % 2 == 0)
    expected = shifted.select(interval, None, None, 1_000)
    for candle in expected:
        candle.open_ms -= offset
        candle.close_ms -= offset
    assert ours.select(interval, None, None, 1_000, offset) == expected
    assert all(span(interval, candle.open_ms + offset)[0] == candle.open_ms + offset for candle in expected)
